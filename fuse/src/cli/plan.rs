//! `rfuse plan`: what a job will read, so that it is there before it asks.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use rfuse_config::control::{Reply, Request};
use rfuse_prefetch::access::{AccessPlan, TEXT_HEAD, write_line};
use serde::Serialize;

use crate::ask::{ask, registered_name};
use crate::outcome::{Exit, Failure, one_line};
use crate::planning;
use crate::process::say;
use crate::screen::{bytes, share};

/// Show, merge and follow access plans: what a job will read, in order.
///
/// A plan is a trace that `rfuse trace` took, or a text: the line "# rfuse plan v1", then a line for each read,
/// PATH, OFFSET and LENGTH in bytes with a tab between them. A loader that knows its shuffle seed can write one.
#[derive(Debug, Args)]
pub(crate) struct PlanCommand {
    #[command(subcommand)]
    verb: PlanVerb,
}

#[derive(Debug, Subcommand)]
enum PlanVerb {
    /// Print a plan or a trace as text
    Show {
        /// The plan
        file: PathBuf,
        /// Reads at most
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// What a plan holds: files, reads, bytes, how much of it is in order
    Stats {
        /// The plan
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Put plans behind each other into one
    Merge {
        /// The plans, in order
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Where to write it; must not exist
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Let the mount on DIR follow a plan, from its beginning
    Load {
        /// The folder
        dir: PathBuf,
        /// The plan
        file: PathBuf,
    },
    /// Let the mount on DIR follow no plan any more
    Drop {
        /// The folder
        dir: PathBuf,
    },
}

const PATIENCE: Duration = Duration::from_secs(60);

/// What a plan holds.
#[derive(Debug, Serialize)]
struct Figures {
    files: usize,
    reads: usize,
    bytes: u64,
    distinct_bytes: u64,
    /// Reads that begin where the one before them of that file ended.
    in_order: usize,
}

impl PlanCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.verb {
            PlanVerb::Show { file, limit } => show(&read(&file)?, limit.unwrap_or(usize::MAX)),
            PlanVerb::Stats { file, json } => {
                let figures = figures(&read(&file)?);
                say(if json { serde_json::to_string(&figures).unwrap_or_default() } else { words(&file, &figures) });
                Ok(())
            }
            PlanVerb::Merge { files, output } => merge(&files, &output),
            PlanVerb::Load { dir, file } => {
                // Here, so that a mistake is told to whoever made it and not only to the log.
                let plan = read(&file)?;
                let absolute = std::path::absolute(&file).unwrap_or(file);
                tell(&dir, &Request::LoadPlan { file: absolute })?;
                say(format!("following {} reads of {} files", plan.steps.len(), plan.files.len()));
                Ok(())
            }
            PlanVerb::Drop { dir } => tell(&dir, &Request::DropPlan),
        }
    }
}

fn tell(dir: &Path, request: &Request) -> Result<(), Failure> {
    ask(&registered_name(dir), request, PATIENCE).map(drop::<Reply>)
}

fn read(file: &Path) -> Result<AccessPlan, Failure> {
    planning::read(file).map_err(|error| {
        let help = "a plan is a file of `rfuse trace`, or a text as `rfuse plan --help` says";
        let exit = if matches!(error, planning::LoadError::Read(..)) { Exit::NotFound } else { Exit::Config };
        Failure::new(exit, "use the plan", error.to_string(), help)
    })
}

fn show(plan: &AccessPlan, limit: usize) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = (|| {
        writeln!(out, "{TEXT_HEAD}")?;
        for step in plan.steps.iter().take(limit) {
            write_line(&mut out, plan.files[step.file as usize].as_bytes(), step.range())?;
        }
        out.flush()
    })();
    match written {
        // Whoever has seen enough closes the pipe.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, "print the plan", error.to_string(), "print it into a file with room"))
        }
        _ => Ok(()),
    }
}

fn merge(files: &[PathBuf], output: &Path) -> Result<(), Failure> {
    let failed = |why: String| {
        Failure::new(Exit::Failed, &format!("write {}", output.display()), why, "choose another file for --output")
    };
    let mut merged = AccessPlan::default();
    for file in files {
        merged = merged.append(&read(file)?).map_err(|error| failed(error.to_string()))?;
    }
    let written = File::options().write(true).create_new(true).open(output).and_then(|file| {
        let mut out = BufWriter::new(file);
        writeln!(out, "{TEXT_HEAD}")?;
        for step in &merged.steps {
            write_line(&mut out, merged.files[step.file as usize].as_bytes(), step.range())?;
        }
        out.flush()
    });
    written.map_err(|error| failed(error.to_string()))?;
    say(format!("{} reads of {} files", merged.steps.len(), merged.files.len()));
    Ok(())
}

fn figures(plan: &AccessPlan) -> Figures {
    let mut ends = vec![None; plan.files.len()];
    let mut in_order = 0;
    for step in &plan.steps {
        let end = &mut ends[step.file as usize];
        in_order += usize::from(*end == Some(step.offset));
        *end = Some(step.range().end());
    }
    let (bytes, distinct_bytes) = (plan.bytes(), plan.distinct_bytes());
    Figures { files: plan.files.len(), reads: plan.steps.len(), bytes, distinct_bytes, in_order }
}

fn words(file: &Path, figures: &Figures) -> String {
    let Figures { files, reads, bytes: all, distinct_bytes, in_order } = figures;
    [
        one_line(&file.display().to_string()),
        format!("reads      {reads} of {files} files, {} of them in order", share(*in_order as u64, *reads as u64)),
        format!("bytes      {} read, {} of them distinct", bytes(*all), bytes(*distinct_bytes)),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_count_order_a_file() {
        let plan = AccessPlan::parse(b"# rfuse plan v1\na\t0\t4\nb\t0\t4\na\t4\t4\nb\t8\t4\na\t4\t4\n").unwrap();
        let figures = figures(&plan);
        assert_eq!((figures.reads, figures.in_order, figures.bytes, figures.distinct_bytes), (5, 1, 20, 16));
        assert!(words(Path::new("p\nq"), &figures).lines().count() == 3);
    }
}
