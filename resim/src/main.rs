//! `rfuse-resim`: sample jobs that read plain files, and say how fast the data came.
//!
//! Drive-log replay, token training and an input/output load, on a GPU or on this processor. Nothing here knows
//! rfuse: the same binary measures a local disk, another mount or rfuse.

mod ahead;
mod checksum;
mod cli;
mod device;
mod files;
mod generate;
mod load;
mod log;
mod manifest;
mod message;
mod meter;
mod outcome;
mod output;
mod pattern;
mod perception;
mod plan;
mod progress;
mod random;
mod replay;
mod report;
mod requirement;
mod scene;
mod score;
mod submit;
mod train;
mod usage;
mod verdict;
mod weights;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
