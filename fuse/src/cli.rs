//! The command line: verbs and their words. What is not built is not shown.

mod check;
mod config;
mod invalidate;
mod list;
mod mount;
mod mount_words;
mod pages;
mod pin;
mod plan;
mod recover;
mod setting_flags;
mod stats;
mod top;
mod trace;
mod unmount;
mod warm;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rfuse_config::{LogFormat, LogOptions};

use crate::outcome::{Exit, Failure};
use crate::{daemon, handover, telemetry};

/// Make a bucket a folder: objects of Azure Blob, S3 or a local directory as files.
#[derive(Debug, Parser)]
#[command(name = "rfuse", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_long_help = pages::AFTER_HELP, propagate_version = false)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make the objects of URL files in DIR
    Mount(Box<mount::MountCommand>),
    /// Unmount DIR
    Unmount(unmount::UnmountCommand),
    /// Show the mounts of this user
    List(list::ListCommand),
    /// Show how a mount does: where reads are answered, what the store is asked
    Stats(stats::StatsCommand),
    /// Watch all mounts of this user, live
    Top(top::TopCommand),
    /// Bring files into the cache before a job starts
    Warm(warm::WarmCommand),
    /// Keep files in the cache folder
    Pin(pin::PinCommand),
    /// Keep files no longer than others
    Unpin(pin::UnpinCommand),
    /// Forget what is remembered of files and names
    Invalidate(invalidate::InvalidateCommand),
    /// Record what a job reads, to be its plan the next time
    Trace(trace::TraceCommand),
    /// Show, merge and follow access plans: what a job will read
    Plan(plan::PlanCommand),
    /// Would it work? Try URL, credential, a listing and a read without mounting
    Check(Box<check::CheckCommand>),
    /// Show the settings in force, or turn those of blobfuse2 into ours
    Config(Box<config::ConfigCommand>),
    /// Show, store or discard what was written and never stored
    Recover(Box<recover::RecoverCommand>),
    /// Print the completions of a shell
    Completion(pages::CompletionCommand),
    /// Print the manual, or write its pages into a directory
    Man(pages::ManCommand),
    /// Serve a mount whose command line comes through standard input
    #[command(hide = true)]
    Daemon,
    /// Serve a mount whose descriptors and settings come through the socket that is standard input
    #[command(hide = true)]
    Handover,
}

/// Runs the command line and shows what failed.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<String> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let Some(arguments) = mount_helper(arguments) else { return ExitCode::SUCCESS };
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" of code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    match cli.run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.code()
        }
    }
}

impl Cli {
    fn run(self, arguments: &[String]) -> Result<(), Failure> {
        match self.verb {
            Verb::Mount(command) => command.run(arguments),
            Verb::Unmount(command) => command.run(),
            Verb::List(command) => command.run(),
            Verb::Stats(command) => command.run(),
            Verb::Top(command) => command.run(),
            Verb::Warm(command) => command.run(),
            Verb::Pin(command) => command.run(),
            Verb::Unpin(command) => command.run(),
            Verb::Invalidate(command) => command.run(),
            Verb::Trace(command) => command.run(),
            Verb::Plan(command) => command.run(),
            Verb::Check(command) => command.run(),
            Verb::Config(command) => command.run(),
            Verb::Recover(command) => command.run(),
            Verb::Completion(command) => command.run(),
            Verb::Man(command) => command.run(),
            Verb::Daemon => serve_daemon(),
            Verb::Handover => handover::serve(),
        }
    }
}

/// mount(8) calls us as `mount.rfuse`, and `mount.fuse` as `rfuse URL DIR -o …`; both mean `rfuse mount`.
fn mount_helper(arguments: Vec<String>) -> Option<Vec<String>> {
    let called = arguments.first().map(Path::new).and_then(Path::file_name).map(|name| name.to_string_lossy());
    let by_name = called.is_some_and(|name| name.starts_with("mount."));
    let by_url = arguments.get(1).is_some_and(|first| first.contains("://") || first == "mem:");
    if by_name || by_url { mount_words::from_helper(arguments) } else { Some(arguments) }
}

fn serve_daemon() -> Result<(), Failure> {
    let outcome = daemon::arguments().and_then(|arguments| match Cli::try_parse_from(&arguments) {
        Ok(Cli { verb: Verb::Mount(command) }) => Ok(command),
        _ => Err(Failure::new(Exit::Usage, "start", "that is no command line of a mount", "use rfuse mount URL DIR")),
    });
    match outcome {
        Ok(command) => command.serve_as_daemon(),
        Err(failure) => {
            daemon::report(&Err(failure.clone()));
            Err(failure)
        }
    }
}

/// The log of a short command: warnings only, to standard error.
fn quiet_log() {
    let _ = telemetry::start(&LogOptions { level: "warn".to_owned(), format: LogFormat::Text, file: None });
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_short_help_of_every_verb_fits_a_screen() {
        for verb in Cli::command().get_subcommands_mut() {
            let help = verb.render_help().to_string();
            assert!(help.lines().count() <= 40, "{}: {} lines", verb.get_name(), help.lines().count());
        }
    }

    #[test]
    fn called_as_a_mount_helper_it_mounts() {
        let given = ["/sbin/mount.fuse.rfuse", "mem:", "/mnt", "-o", "rw"].map(str::to_owned).to_vec();
        assert_eq!(mount_helper(given).unwrap()[..4], ["rfuse", "mount", "mem:", "/mnt"]);
        let plain = ["rfuse", "list"].map(str::to_owned).to_vec();
        assert_eq!(mount_helper(plain.clone()), Some(plain));
    }
}
