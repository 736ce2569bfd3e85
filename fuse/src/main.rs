//! `rfuse`: objects as files. The binary: words in, a mount or a message out.

mod admin;
mod ask;
mod assemble;
mod bounded;
mod cli;
mod daemon;
mod handover;
mod keeping;
mod message;
mod numbers;
mod outcome;
mod planning;
mod process;
mod prometheus;
mod run_dir;
mod screen;
mod selection;
mod serve;
mod settings;
mod telemetry;
mod terminal;
mod top;
mod unfinished;

use std::process::ExitCode;

fn main() -> ExitCode {
    process::forbid_core_dumps();
    cli::run(std::env::args_os())
}
