//! The command line: verbs and their words. What is not built is not shown.

mod generate;
mod load;
mod replay;
mod submit;
mod train;
mod words;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::outcome::{Exit, Failure};
use crate::output::Output;
use crate::report;
use crate::requirement::Requirements;
use crate::verdict::Outcome;

/// Sample GPU jobs that read plain files and say how fast the data came.
#[derive(Debug, Parser)]
#[command(name = "rfuse-resim", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 5 not found, 10 a requirement was missed.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make drive logs and token files that follow from a seed
    Generate(generate::GenerateCommand),
    /// Replay drive logs through perception, compare with the recorded truth
    Replay(replay::ReplayCommand),
    /// Read shuffled records of token files into a training step
    Train(train::TrainCommand),
    /// Read every byte to the device, and to a copy if wanted
    Load(load::LoadCommand),
    /// Run many jobs on a Kubernetes cluster, gather their verdicts
    Submit(Box<submit::SubmitCommand>),
}

/// Runs the command line and shows what failed.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" of code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    let done = match cli.verb {
        Verb::Generate(command) => command.run(),
        Verb::Replay(command) => command.run(),
        Verb::Train(command) => command.run(),
        Verb::Load(command) => command.run(),
        Verb::Submit(command) => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.code()
        }
    }
}

/// What every job that measures can be told.
#[derive(Debug, clap::Args)]
struct Judging {
    /// What must be reached, such as "gbps>=1, wait<=5%, checksum, recall>=1"; missed: exit code 10
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    require: Requirements,
    /// Print the verdict as one line of JSON
    #[arg(long)]
    json: bool,
}

impl Judging {
    /// Judges a run, tells of it, and keeps `verdict.json` and `report.html` in a folder if there is one.
    fn tell(self, outcome: Outcome, folder: Option<&Path>) -> Result<(), Failure> {
        let Outcome { mut verdict, failure } = outcome;
        let checked = self.require.check(&verdict);
        verdict.judge(checked);
        let json = serde_json::to_string(&verdict).map_err(|error| {
            Failure::new(Exit::Failed, "write the verdict", error.to_string(), "report this with the command line")
        })?;
        if self.json {
            print_line(&json);
        } else {
            report::lines(&verdict).iter().for_each(|line| print_line(line));
        }
        let kept = folder.map_or(Ok(()), |folder| {
            Output::write(&folder.join("verdict.json"), json.as_bytes())?;
            Output::write(&folder.join("report.html"), report::page(&verdict).as_bytes())
        });
        match (failure, kept) {
            (Some(failure), _) | (None, Err(failure)) => return Err(failure),
            (None, Ok(())) => {}
        }
        let missed: Vec<String> = verdict
            .requirements
            .iter()
            .filter(|checked| !checked.met)
            .map(|checked| format!("{} ({})", checked.requirement, checked.actual))
            .collect();
        if missed.is_empty() {
            return Ok(());
        }
        let help = "the report shows where the time went; --require says what is asked for";
        Err(Failure::new(Exit::Missed, "call this run good", format!("it missed {}", missed.join(", ")), help))
    }
}

/// Says that a plan was written.
#[expect(clippy::unnecessary_wraps, reason = "it ends commands that can fail")]
fn told(path: &Path, reads: u64) -> Result<(), Failure> {
    print_line(&format!("wrote {reads} reads to {}", path.display()));
    Ok(())
}

/// A line of standard output; nobody listening is no failure.
fn print_line(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound_and_short_help_fits_a_screen() {
        Cli::command().debug_assert();
        for verb in Cli::command().get_subcommands_mut() {
            let help = verb.render_help().to_string();
            assert!(help.lines().count() <= 50, "{}: {} lines", verb.get_name(), help.lines().count());
        }
    }
}
