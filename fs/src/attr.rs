//! What `stat` says.

use std::time::SystemTime;

use crate::posix::Posix;

/// The number of a file or directory, stable for the life of the mount. The root is 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Inode(pub u64);

impl Inode {
    /// The root directory.
    pub const ROOT: Self = Self(1);
}

/// What an inode is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FileKind {
    /// A regular file: an object.
    File,
    /// A directory: a prefix, a marker, or both.
    Directory,
    /// A symbolic link: an object whose content or metadata names the target.
    Symlink,
}

/// The attributes of an inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    /// Its number.
    pub inode: Inode,
    /// What it is.
    pub kind: FileKind,
    /// Bytes; 0 for directories.
    pub size: u64,
    /// Last write; the start of the mount for implied directories.
    pub modified: SystemTime,
    /// Last read as it was set, else the last write: reading leaves no trace.
    pub accessed: SystemTime,
    /// When the object was stored last, with its bytes or what is kept beside them.
    pub changed: SystemTime,
    /// Permission bits, without the type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Links: 1 for files, 2 for directories, 0 for what has lost its name.
    pub links: u32,
}

impl Attr {
    /// The same with what is kept beside the object in the place of what is usual. A link's mode is no
    /// question of keeping: Linux has one for all of them.
    pub(crate) fn with(self, posix: &Posix) -> Self {
        let modified = posix.modified.unwrap_or(self.modified);
        Self {
            modified,
            accessed: posix.accessed.unwrap_or(modified),
            mode: if self.kind == FileKind::Symlink { self.mode } else { posix.mode.unwrap_or(self.mode) },
            uid: posix.uid.unwrap_or(self.uid),
            gid: posix.gid.unwrap_or(self.gid),
            ..self
        }
    }
}
