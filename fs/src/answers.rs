//! What the operations answer with.

use std::time::Duration;

use serde::Serialize;

use crate::{Attr, Handle};

/// The answer to a lookup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// The name exists; the caller now holds one more reference to the inode, given back by
    /// [`forget`](crate::FileSystem::forget).
    Found {
        /// What it is.
        attr: Attr,
        /// How long name and attributes may be believed.
        ttl: Duration,
    },
    /// The name does not exist.
    Absent {
        /// How long that may be believed.
        ttl: Duration,
    },
}

/// An opened file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Its number.
    pub handle: Handle,
    /// Whether pages that the kernel kept from earlier opens are those of this version.
    pub keep_cache: bool,
}

/// One entry of a directory, `.` and `..` included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// The name: bytes without `/` and NUL, at most 255.
    pub name: Vec<u8>,
    /// Number, kind and attributes.
    pub attr: Attr,
    /// Where reading goes on after this entry.
    pub next: u64,
    /// How long name and attributes may be believed.
    pub ttl: Duration,
}

/// What `df` shows. An object store has no size, so the figures are round ones that leave no program short
/// of space and overflow none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatFs {
    /// Bytes in a block of the counts below.
    pub block_size: u32,
    /// Blocks in all.
    pub blocks: u64,
    /// Blocks free.
    pub blocks_free: u64,
    /// Files in all.
    pub files: u64,
    /// Files that could still be made.
    pub files_free: u64,
    /// Longest name in bytes.
    pub name_max: u32,
}

/// Operations answered so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Operations {
    /// Names looked up.
    pub lookup: u64,
    /// Attributes asked for.
    pub getattr: u64,
    /// Files opened.
    pub open: u64,
    /// Reads.
    pub read: u64,
    /// Reads that memory answered on the asking thread.
    pub read_ready: u64,
    /// Directories opened.
    pub opendir: u64,
    /// Pieces of directories read.
    pub readdir: u64,
}

/// What was planned ahead of readers, and what came of it; in bytes but for the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct AheadSnapshot {
    /// Streams followed.
    pub streams: u64,
    /// Planned.
    pub planned: u64,
    /// Planned and then read.
    pub used: u64,
    /// Planned and not read before the stream was over.
    pub wasted: u64,
}

/// How a handle's reads reach the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// Through the kernel's page cache.
    Pages,
    /// Straight into the program's memory.
    Direct,
}

/// What the file system holds and has done, for `rfuse stats`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct FsSnapshot {
    /// Inodes the kernel holds references to.
    pub inodes: u64,
    /// Names remembered, over all directories.
    pub entries: u64,
    /// Names at most.
    pub entries_max: u64,
    /// Names remembered not to exist.
    pub negative_entries: u64,
    /// Files and directories open.
    pub handles: u64,
    /// Directories whose listing is remembered.
    pub listings: u64,
    /// Walks that are listed flat at the moment.
    pub walks: u64,
    /// Objects no path leads to, met so far (see `docs/decisions/0008`).
    pub unreachable_objects: u64,
    /// Handles that met a changed object.
    pub stale_handles: u64,
    /// Files that are being written, or closed and not stored yet.
    pub edits: u64,
    /// Bytes of them on local disk.
    pub spool_bytes: u64,
    /// Operations answered.
    pub operations: Operations,
    /// Bytes asked for ahead of readers because a file's own index named them.
    pub hinted_bytes: u64,
    /// What was planned ahead of readers.
    pub ahead: AheadSnapshot,
}
