//! `rfuse trace`: what a job reads, to be its plan the next time.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use rfuse_config::control::{Reply, Request};

use crate::ask::{ask, registered_name};
use crate::outcome::Failure;
use crate::process::say;

/// Record what is read through a mount, for `rfuse mount --plan` and `rfuse plan`.
///
/// Recorded is what the kernel asks for: what its page cache answers is not. So start with a fresh mount, or after
/// `echo 1 > /proc/sys/vm/drop_caches`.
#[derive(Debug, Args)]
pub(crate) struct TraceCommand {
    #[command(subcommand)]
    verb: TraceVerb,
}

#[derive(Debug, Subcommand)]
enum TraceVerb {
    /// Begin to record what is read through the mount on DIR
    Start {
        /// The folder
        dir: PathBuf,
        /// Where to write it, on a local disk; must not exist
        file: PathBuf,
    },
    /// End it, and say what was recorded
    Stop {
        /// The folder
        dir: PathBuf,
    },
}

/// The last reads may have to be written.
const PATIENCE: Duration = Duration::from_secs(60);

impl TraceCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.verb {
            TraceVerb::Start { dir, file } => {
                let file = std::path::absolute(&file).unwrap_or(file);
                ask(&registered_name(&dir), &Request::StartTrace { file }, PATIENCE).map(drop)
            }
            TraceVerb::Stop { dir } => {
                if let Reply::Traced { file, reads, dropped } =
                    ask(&registered_name(&dir), &Request::StopTrace, PATIENCE)?
                {
                    let lost = if dropped > 0 {
                        format!(", {dropped} reads lost: its disk is too slow")
                    } else {
                        String::new()
                    };
                    say(format!("{reads} reads in {}{lost}", file.display()));
                }
                Ok(())
            }
        }
    }
}
