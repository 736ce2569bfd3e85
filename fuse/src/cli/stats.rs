//! `rfuse stats DIR`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rfuse_config::control::{Reply, Request, Statistics};

use super::top::costly;
use crate::ask::{ask, registered_name, statistics};
use crate::outcome::Failure;
use crate::process::say;
use crate::{screen, top};

/// Show how a mount does: where reads are answered, what the store is asked.
#[derive(Debug, Args)]
pub(crate) struct StatsCommand {
    /// The folder
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the text that Prometheus reads
    #[arg(long, conflicts_with = "json")]
    prometheus: bool,
    /// Which files readers waited for most, instead
    #[arg(long, conflicts_with_all = ["prometheus", "watch"])]
    files: bool,
    /// Again every two seconds, until Ctrl-C
    #[arg(short, long, conflicts_with = "prometheus")]
    watch: bool,
}

const PATIENCE: Duration = Duration::from_secs(5);
/// Files that are shown.
const FILES: usize = 20;
const PAUSE: Duration = Duration::from_secs(2);

impl StatsCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let dir = registered_name(&self.dir);
        if self.prometheus {
            if let Reply::Metrics(text) = ask(&dir, &Request::Metrics, PATIENCE)? {
                say(text.trim_end());
            }
            return Ok(());
        }
        if self.files {
            return self.show_files(&dir);
        }
        let first = self.show(&dir, None)?;
        if self.watch { self.follow(&dir, first) } else { Ok(()) }
    }

    fn show_files(&self, dir: &Path) -> Result<(), Failure> {
        let files = costly(dir, FILES, PATIENCE)?;
        if self.json {
            say(serde_json::to_string(&files).unwrap_or_default());
        } else if files.is_empty() {
            say("no reader has waited for a file that the kernel still knows");
        } else {
            say(files.iter().map(top::file).collect::<Vec<_>>().join("\n"));
        }
        Ok(())
    }

    /// Shows it again and again; ends when the mount does.
    fn follow(&self, dir: &Path, mut before: Statistics) -> Result<(), Failure> {
        loop {
            std::thread::sleep(PAUSE);
            if !self.json {
                say("");
            }
            before = self.show(dir, Some(&before))?;
        }
    }

    fn show(&self, dir: &Path, before: Option<&Statistics>) -> Result<Statistics, Failure> {
        let now = statistics(dir, PATIENCE)?;
        if self.json {
            say(serde_json::to_string(&now).unwrap_or_default());
        } else {
            say(screen::stats(&now, before));
        }
        Ok(now)
    }
}
