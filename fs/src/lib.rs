//! A tree of files over a store. No FUSE word lives here, so that tests and benches need no kernel.
//!
//! The store knows keys; programs know paths. This room is the difference: names into keys (`name`), keys
//! into directories (`gather`, `listing`, `flat`), what is remembered of them (`directories`, `inodes`), and
//! files pinned to a version (`open_file`).

mod answer;
mod answers;
mod ask;
mod attr;
mod child;
mod counters;
mod directories;
mod error;
mod expiry;
mod filesystem;
mod flat;
mod follower;
mod gather;
mod handle;
mod hinted;
mod inodes;
mod known;
mod labels;
mod lister;
mod listing;
mod lookup;
mod name;
mod open_directory;
mod open_file;
mod planned;
mod posix;
mod spool;
mod walk;
mod write;
mod xattr;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use answer::Answer;
pub use answers::{AheadSnapshot, DirEntry, Entry, FsSnapshot, Opened, Operations, StatFs, Via};
pub use attr::{Attr, FileKind, Inode};
pub use error::{Errno, FsError};
pub use expiry::{Clock, Moment};
pub use filesystem::FileSystem;
pub use follower::{PageCache, Pages};
pub use handle::Handle;
pub use known::{FileCost, Forgotten};
pub use planned::PlanSnapshot;
pub use spool::Leftover;
pub use write::attributes::AttrChange;

pub use write::files::{AllocateMode, WriteMode};
pub use write::labels::LabelMode;
pub use write::rename::RenameMode;

/// Locks, and goes on with what a panicking thread left: every critical section leaves its data whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
