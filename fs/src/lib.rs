//! A tree of files over a store. No FUSE word lives here, so that tests and benches need no kernel.

mod answer;
mod answers;
mod attr;
mod error;
mod filesystem;
mod handle;

pub use answer::Answer;
pub use answers::{DirEntry, Entry, FsSnapshot, Opened, Operations, StatFs};
pub use attr::{Attr, FileKind, Inode};
pub use error::{Errno, FsError};
pub use filesystem::FileSystem;
pub use handle::Handle;
