//! A tree of files over a store. No FUSE word lives here, so that tests and benches need no kernel.

mod answer;
mod attr;
mod error;

pub use answer::Answer;
pub use attr::{Attr, FileKind, Inode};
pub use error::{Errno, FsError};
