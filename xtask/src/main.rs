//! `cargo xtask`: everything a developer or CI does besides building.
//!
//! `demo` shows the main job with no cloud account, `test` runs every test there is, `check` what must pass
//! before a commit. Each installs what it needs and leaves nothing running. Scripts would have grown logic;
//! this is the logic.
#![expect(clippy::print_stdout, reason = "a developer's tool talks on standard output")]

mod bench;
mod charts;
mod check;
mod conformance;
mod demo;
mod dockerfiles;
mod e2e;
mod image;
mod kernels;
mod mount;
mod promises;
mod servers;
mod shell;
mod tally;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Set-up, checks, tests and the demonstration of rfuse.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand)]
enum Job {
    /// Shows the main job: sample data in a local folder, mounted, read as a training loader and a log
    /// replayer do, checked and measured.
    Demo(demo::Options),
    /// Installs what the tests need and runs all of them: format, lints, documentation, licences, unit,
    /// property and conformance tests, real servers, real mounts, real readers, the demo.
    Test(test::Options),
    /// Measures every row of the table beside its yardstick on a quiet machine: Markdown, JSON and a picture.
    Bench(bench::Options),
    /// What must pass before a commit, without servers and mounts: format, lints, documentation, licences,
    /// house rules.
    Check,
    /// Builds a container image without a container engine.
    Image(image::Options),
    /// Checks charts, manifests, examples and Dockerfiles without a cluster or a container engine.
    Charts(charts::Options),
    /// Runs the driver on the cluster that KUBECONFIG names: real pods, real mounts, everything killed.
    E2e(e2e::Options),
    /// Compiles the GPU kernels of the sample jobs to PTX, which is checked in; needs no GPU.
    Kernels(kernels::Options),
    /// The house rules alone: arrows between rooms, file heads, dead files.
    Tidy,
}

fn main() -> ExitCode {
    let done = std::env::set_current_dir(shell::root()).map_err(Into::into).and_then(|()| match Cli::parse().job {
        Job::Demo(options) => demo::run(&options),
        Job::Test(options) => test::run(&options),
        Job::Bench(options) => bench::run(&options),
        Job::Check => check::run(),
        Job::Charts(options) => charts::run(&options),
        Job::Image(options) => image::run_job(&options),
        Job::E2e(options) => e2e::run(&options),
        Job::Kernels(options) => kernels::run(&options),
        Job::Tidy => tidy::run(),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
