//! `rfuse pin` and `rfuse unpin`: what stays in the cache folder whatever comes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rfuse_config::control::{FileRange, Reply, Request};

use crate::ask::{ask, registered_name};
use crate::outcome::{Exit, Failure};
use crate::process::say;
use crate::screen::bytes;
use crate::selection::{Selection, words};

/// Keep files in the cache folder, from when they come there until `rfuse unpin`.
///
/// Nothing is fetched: `rfuse warm --pin` does both. Pins outlive the mount and are respected by every mount that
/// shares the folder; three quarters of it can be pinned.
#[derive(Debug, Args)]
pub(crate) struct PinCommand {
    /// The mounted folder
    dir: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Keep files no longer than others.
///
/// Without a path, everything that mounts of this URL have pinned in the folder.
#[derive(Debug, Args)]
pub(crate) struct UnpinCommand {
    /// The mounted folder
    dir: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Files of one question.
const AT_ONCE: usize = 1000;
/// Versions may have to be asked for.
const PATIENCE: Duration = Duration::from_secs(30);

impl PinCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let dir = registered_name(&self.dir);
        let ranges = self.selection.ranges(&dir)?;
        let pinned = pin_all(&dir, &ranges)?;
        tell(self.json, pinned, &format!("pinned {}", words(&ranges)));
        Ok(())
    }
}

impl UnpinCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let dir = registered_name(&self.dir);
        let names = self.selection.names(&dir)?;
        let mut unpinned = 0;
        let chunks = if names.is_empty() { vec![&[][..]] } else { names.chunks(AT_ONCE).collect() };
        for names in chunks {
            unpinned += pinned(&ask(&dir, &Request::Unpin { paths: names.to_vec() }, PATIENCE)?)?;
        }
        tell(self.json, unpinned, &format!("unpinned {}", bytes(unpinned)));
        Ok(())
    }
}

fn tell(json: bool, count: u64, words: &str) {
    say(if json { serde_json::json!({ "bytes": count }).to_string() } else { words.to_owned() });
}

/// Pins `ranges`; how many bytes they are.
///
/// # Errors
/// What the mount said; some may be pinned then.
pub(crate) fn pin_all(dir: &Path, ranges: &[FileRange]) -> Result<u64, Failure> {
    let mut all = 0;
    for files in ranges.chunks(AT_ONCE) {
        all += pinned(&ask(dir, &Request::Pin { files: files.to_vec() }, PATIENCE)?)?;
    }
    Ok(all)
}

fn pinned(reply: &Reply) -> Result<u64, Failure> {
    match reply {
        Reply::Pinned { bytes } => Ok(*bytes),
        _ => Err(Failure::new(Exit::Failed, "pin", "the mount answered something else", "mount again")),
    }
}
