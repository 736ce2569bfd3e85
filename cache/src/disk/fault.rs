//! What goes wrong with the disk: counted every time, said once.
//!
//! A fault never reaches a reader. It is said again only after the same thing has worked in between, so a broken
//! disk is one line of the log and not one for each block.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What can go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The folder cannot be used.
    Folder,
    /// A segment cannot be made or written.
    Write,
    /// A segment cannot be read.
    Read,
    /// What was read is not what was written.
    Corrupt,
}

/// The faults of one folder.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    said: [AtomicBool; 4],
    errors: AtomicU64,
    corrupt: AtomicU64,
}

impl Faults {
    /// Counts a fault, and says it if it is news.
    pub(crate) fn tell(&self, fault: Fault, dir: &Path, why: &dyn std::fmt::Display) {
        let counter = if fault == Fault::Corrupt { &self.corrupt } else { &self.errors };
        counter.fetch_add(1, Relaxed);
        if self.said[fault as usize].swap(true, Relaxed) {
            return;
        }
        let dir = dir.display();
        match fault {
            Fault::Folder => tracing::warn!(%dir, %why, "the cache folder cannot be used; blocks come from the store"),
            Fault::Write => tracing::warn!(%dir, %why, "nothing is written to the cache folder until this is over"),
            Fault::Read => tracing::warn!(%dir, %why, "the cache folder cannot be read; blocks come from the store"),
            Fault::Corrupt => {
                tracing::warn!(%dir, %why, "a cache file is damaged; such blocks come from the store (disk_corrupt counts them)");
            }
        }
    }

    /// It works again.
    pub(crate) fn over(&self, fault: Fault) {
        if self.said[fault as usize].load(Relaxed) && self.said[fault as usize].swap(false, Relaxed) {
            tracing::info!(?fault, "the cache folder works again");
        }
    }

    /// Faults other than damaged blocks.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Damaged blocks and index files.
    pub(crate) fn corrupt(&self) -> u64 {
        self.corrupt.load(Relaxed)
    }
}
