//! What a process before this one was asked to write and never stored.
//!
//! Storing it is safe when no program has the mount: before the first request, and after the last. In between a
//! program may be writing the same file anew, and what it writes is newer. Each file is stored only over the
//! version that it was opened at; what somebody has overtaken stays in the spool, and is said.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rfuse_config::MountConfig;
use rfuse_fs::{FileSystem, Leftover};
use tokio::runtime::Runtime;

/// How long a file that cannot be stored is kept, since it was written last: long enough for somebody to look, and not
/// for ever, because the disk is the node's.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// What was left of this mount. What processes before this one left of files that are stored is removed.
pub(crate) fn find(config: &MountConfig) -> Vec<Leftover> {
    let Some(root) = config.fs.spool.as_ref().filter(|_| !config.fs.read_only) else { return Vec::new() };
    if let Err(error) = Leftover::sweep(root) {
        tracing::warn!(%error, spool = %root.display(), "the spool cannot be tidied");
    }
    let mut left = Leftover::all(root).unwrap_or_default();
    left.retain(|one| one.origin == config.fs.origin);
    left
}

/// Stores it, as far as it can be done in `time`; logs what came of each file.
pub(crate) fn store(runtime: &Runtime, files: &Arc<FileSystem>, config: &MountConfig, time: Duration) {
    let end = Instant::now() + time;
    for leftover in find(config) {
        let rest = end.saturating_duration_since(Instant::now());
        let stored = runtime.block_on(async { tokio::time::timeout(rest, files.recover(&leftover)).await });
        let (key, size) = (&leftover.key, leftover.size);
        match stored {
            Ok(Ok(())) => tracing::warn!(%key, size, "an unfinished file of a process before this one is stored"),
            Ok(Err(error)) if leftover.modified.elapsed().is_ok_and(|age| age > KEPT) => {
                tracing::error!(%key, size, %error, "an unfinished file is given up: for a week it could not be stored");
                if let Err(error) = leftover.discard() {
                    tracing::error!(%key, %error, "an unfinished file that was given up cannot be removed");
                }
            }
            Ok(Err(error)) => {
                tracing::error!(%key, size, %error, bytes = %leftover.data.display(), "an unfinished file stays in the spool");
            }
            Err(_) => {
                tracing::error!(%key, size, "an unfinished file could not be stored in time; it stays in the spool");
            }
        }
    }
}
