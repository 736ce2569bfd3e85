//! `rfuse invalidate`: forget what is remembered.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rfuse_config::control::{Reply, Request};

use crate::ask::{ask, registered_name};
use crate::outcome::{Exit, Failure};
use crate::process::say;
use crate::selection::Selection;

/// Forget names, sizes and bytes that are remembered, so that the next look asks the store.
///
/// Needed only where somebody else has changed objects and --metadata-ttl is too long to wait for: bytes are never
/// those of another version. Descriptors that are open read on. Without a path, everything.
#[derive(Debug, Args)]
pub(crate) struct InvalidateCommand {
    /// The mounted folder
    dir: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const PATIENCE: Duration = Duration::from_secs(30);
/// Paths of one question.
const AT_ONCE: usize = 1000;

impl InvalidateCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let dir = registered_name(&self.dir);
        let paths = self.selection.plain(&dir)?;
        let chunks = if paths.is_empty() { vec![&[][..]] } else { paths.chunks(AT_ONCE).collect() };
        let (mut all_files, mut all_blocks) = (0, 0);
        for paths in chunks {
            match ask(&dir, &Request::Invalidate { paths: paths.to_vec() }, PATIENCE)? {
                Reply::Invalidated { files, blocks } => {
                    all_files += files;
                    all_blocks += blocks;
                }
                _ => {
                    let why = "the mount answered something else";
                    return Err(Failure::new(Exit::Failed, "invalidate", why, "mount again"));
                }
            }
        }
        say(if self.json {
            serde_json::json!({ "files": all_files, "blocks": all_blocks }).to_string()
        } else {
            format!("forgot {all_files} files and directories, {all_blocks} blocks")
        });
        Ok(())
    }
}
