//! What `stat` says.

use std::time::SystemTime;

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
    /// Permission bits, without the type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Links: 1 for files, 2 for directories.
    pub links: u32,
}
