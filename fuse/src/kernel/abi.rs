//! The structures of `linux/fuse.h`, protocol 7.45, as far as files need them.
//!
//! Names and fields are the kernel's without the `fuse_` prefix; every structure is native-endian and a
//! multiple of 8 bytes, so that a 32-bit daemon speaks to a 64-bit kernel.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Major version of the protocol; the only one there is.
pub const MAJOR: u32 = 7;
/// The newest minor version known here (Linux 6.18).
pub const MINOR: u32 = 45;
/// The oldest minor version accepted: Linux 4.20, the first with `max_pages` and cached symlinks.
pub const MINOR_MIN: u32 = 28;

/// Bits of `flags` (low half) and `flags2` (high half) in INIT.
pub mod init {
    /// Several reads of one file may be under way at once.
    pub const ASYNC_READ: u64 = 1;
    /// OPEN says when the file is to be emptied; no SETATTR follows.
    pub const ATOMIC_O_TRUNC: u64 = 1 << 3;
    /// Requests larger than a page.
    pub const BIG_WRITES: u64 = 1 << 5;
    /// READDIRPLUS is understood.
    pub const DO_READDIRPLUS: u64 = 1 << 13;
    /// The kernel chooses between READDIR and READDIRPLUS by what the program does.
    pub const READDIRPLUS_AUTO: u64 = 1 << 14;
    /// Direct reads are sent in parallel, and asynchronously for asynchronous callers.
    pub const ASYNC_DIO: u64 = 1 << 15;
    /// Look-ups and listings of one directory may run in parallel.
    pub const PARALLEL_DIROPS: u64 = 1 << 18;
    /// `max_pages` of the answer counts.
    pub const MAX_PAGES: u64 = 1 << 22;
    /// Targets of symbolic links are remembered by the kernel.
    pub const CACHE_SYMLINKS: u64 = 1 << 23;
    /// Cached pages are dropped only when they are asked to be, or at open.
    pub const EXPLICIT_INVAL_DATA: u64 = 1 << 25;
    /// `flags2` counts.
    pub const INIT_EXT: u64 = 1 << 30;
    /// Files opened with direct IO may still be mapped.
    pub const DIRECT_IO_ALLOW_MMAP: u64 = 1 << 36;
    /// The kernel can send its unanswered requests again.
    pub const HAS_RESEND: u64 = 1 << 39;
}

/// Bits of `open_flags` in [`OpenOut`].
pub mod fopen {
    /// No page cache for this descriptor.
    pub const DIRECT_IO: u32 = 1;
    /// What the page cache holds of this file is still right.
    pub const KEEP_CACHE: u32 = 1 << 1;
}

/// Bits of `valid` in [`SetattrIn`].
pub mod fattr {
    /// The mode.
    pub const MODE: u32 = 1;
    /// The owner.
    pub const UID: u32 = 1 << 1;
    /// The group.
    pub const GID: u32 = 1 << 2;
    /// The size.
    pub const SIZE: u32 = 1 << 3;
    /// The time of the last read.
    pub const ATIME: u32 = 1 << 4;
    /// The time of the last write.
    pub const MTIME: u32 = 1 << 5;
    /// `fh` is a handle.
    pub const FH: u32 = 1 << 6;
    /// The time of the last read is now.
    pub const ATIME_NOW: u32 = 1 << 7;
    /// The time of the last write is now.
    pub const MTIME_NOW: u32 = 1 << 8;
}

/// Codes of unasked messages to the kernel, in the error field of [`OutHeader`].
pub mod notify {
    /// Drop attributes and pages of an inode.
    pub const INVAL_INODE: i32 = 2;
    /// Drop a name.
    pub const INVAL_ENTRY: i32 = 3;
    /// Put bytes into the page cache.
    pub const STORE: i32 = 4;
    /// Send all unanswered requests again (Linux 6.9).
    pub const RESEND: i32 = 7;
}

/// Set in `unique` of an INTERRUPT itself.
pub const UNIQUE_INTERRUPT: u64 = 1;
/// Set in `getattr_flags` when `fh` is valid.
pub const GETATTR_FH: u32 = 1;

macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        #[expect(missing_docs, reason = "the fields are those of linux/fuse.h")]
        pub struct $name { $(pub $field: $type),* }
    };
}

message!(/** Starts every request. */
    InHeader { len: u32, opcode: u32, unique: u64, nodeid: u64, uid: u32, gid: u32, pid: u32, total_extlen: u16, padding: u16 });
message!(/** Starts every answer: `error` is 0 or a negative errno. */
    OutHeader { len: u32, error: i32, unique: u64 });
message!(/** What the kernel offers. */
    InitIn { major: u32, minor: u32, max_readahead: u32, flags: u32 });
message!(/** What is taken. */
InitOut {
    major: u32, minor: u32, max_readahead: u32, flags: u32, max_background: u16, congestion_threshold: u16,
    max_write: u32, time_gran: u32, max_pages: u16, map_alignment: u16, flags2: u32, max_stack_depth: u32,
    request_timeout: u16, unused: [u16; 11],
});
message!(/** Attributes. */
Attr {
    ino: u64, size: u64, blocks: u64, atime: u64, mtime: u64, ctime: u64, atimensec: u32, mtimensec: u32,
    ctimensec: u32, mode: u32, nlink: u32, uid: u32, gid: u32, rdev: u32, blksize: u32, flags: u32,
});
message!(/** GETATTR. */
    GetattrIn { getattr_flags: u32, dummy: u32, fh: u64 });
message!(/** Attributes and how long to believe them. */
    AttrOut { attr_valid: u64, attr_valid_nsec: u32, dummy: u32, attr: Attr });
message!(/** A name and what it stands for. */
EntryOut {
    nodeid: u64, generation: u64, entry_valid: u64, attr_valid: u64, entry_valid_nsec: u32, attr_valid_nsec: u32,
    attr: Attr,
});
message!(/** FORGET. */
    ForgetIn { nlookup: u64 });
message!(/** One inode of a BATCH_FORGET. */
    ForgetOne { nodeid: u64, nlookup: u64 });
message!(/** BATCH_FORGET, followed by `count` of [`ForgetOne`]. */
    BatchForgetIn { count: u32, dummy: u32 });
message!(/** OPEN and OPENDIR. */
    OpenIn { flags: u32, open_flags: u32 });
message!(/** A handle. */
    OpenOut { fh: u64, open_flags: u32, backing_id: i32 });
message!(/** RELEASE and RELEASEDIR. */
    ReleaseIn { fh: u64, flags: u32, release_flags: u32, lock_owner: u64 });
message!(/** READ, READDIR and READDIRPLUS. */
    ReadIn { fh: u64, offset: u64, size: u32, read_flags: u32, lock_owner: u64, flags: u32, padding: u32 });
message!(/** SETATTR. */
SetattrIn {
    valid: u32, padding: u32, fh: u64, size: u64, lock_owner: u64, atime: u64, mtime: u64, ctime: u64,
    atimensec: u32, mtimensec: u32, ctimensec: u32, mode: u32, unused4: u32, uid: u32, gid: u32, unused5: u32,
});
message!(/** MKNOD, followed by the name. */
    MknodIn { mode: u32, rdev: u32, umask: u32, padding: u32 });
message!(/** MKDIR, followed by the name. */
    MkdirIn { mode: u32, umask: u32 });
message!(/** CREATE, followed by the name. */
    CreateIn { flags: u32, mode: u32, umask: u32, open_flags: u32 });
message!(/** LINK, followed by the name. */
    LinkIn { oldnodeid: u64 });
message!(/** RENAME, followed by both names. */
    RenameIn { newdir: u64 });
message!(/** RENAME2, followed by both names. */
    Rename2In { newdir: u64, flags: u32, padding: u32 });
message!(/** WRITE, followed by the bytes. */
    WriteIn { fh: u64, offset: u64, size: u32, write_flags: u32, lock_owner: u64, flags: u32, padding: u32 });
message!(/** How much was written. */
    WriteOut { size: u32, padding: u32 });
message!(/** FLUSH. */
    FlushIn { fh: u64, unused: u32, padding: u32, lock_owner: u64 });
message!(/** FSYNC. */
    FsyncIn { fh: u64, fsync_flags: u32, padding: u32 });
message!(/** FALLOCATE. */
    FallocateIn { fh: u64, offset: u64, length: u64, mode: u32, padding: u32 });
message!(/** File system figures. */
StatfsOut {
    blocks: u64, bfree: u64, bavail: u64, files: u64, ffree: u64, bsize: u32, namelen: u32, frsize: u32,
    padding: u32, spare: [u32; 6],
});
message!(/** ACCESS. */
    AccessIn { mask: u32, padding: u32 });
message!(/** SETXATTR, followed by name and value. */
    SetxattrIn { size: u32, flags: u32 });
message!(/** GETXATTR, followed by the name, and LISTXATTR. */
    GetxattrIn { size: u32, padding: u32 });
message!(/** The size an attribute or list needs. */
    GetxattrOut { size: u32, padding: u32 });
message!(/** INTERRUPT. */
    InterruptIn { unique: u64 });
message!(/** Starts an entry of a listing, followed by the name, padded to 8 bytes. */
    Dirent { ino: u64, off: u64, namelen: u32, kind: u32 });
message!(/** Drop an inode's pages in a range; `off` < 0 keeps the pages. */
    InvalInodeOut { ino: u64, off: i64, len: i64 });
message!(/** Drop a name, which follows with a NUL. */
    InvalEntryOut { parent: u64, namelen: u32, flags: u32 });
message!(/** Bytes for the page cache follow. */
    StoreOut { nodeid: u64, offset: u64, size: u32, padding: u32 });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_header() {
        let sizes = [
            (size_of::<InHeader>(), 40),
            (size_of::<OutHeader>(), 16),
            (size_of::<InitOut>(), 64),
            (size_of::<Attr>(), 88),
            (size_of::<AttrOut>(), 104),
            (size_of::<EntryOut>(), 128),
            (size_of::<OpenOut>(), 16),
            (size_of::<ReleaseIn>(), 24),
            (size_of::<ReadIn>(), 40),
            (size_of::<SetattrIn>(), 88),
            (size_of::<MknodIn>(), 16),
            (size_of::<MkdirIn>(), 8),
            (size_of::<CreateIn>(), 16),
            (size_of::<Rename2In>(), 16),
            (size_of::<WriteIn>(), 40),
            (size_of::<FlushIn>(), 24),
            (size_of::<FsyncIn>(), 16),
            (size_of::<FallocateIn>(), 32),
            (size_of::<SetxattrIn>(), 8),
            (size_of::<StatfsOut>(), 80),
            (size_of::<Dirent>(), 24),
            (size_of::<StoreOut>(), 24),
        ];
        for (index, (ours, theirs)) in sizes.into_iter().enumerate() {
            assert_eq!(ours, theirs, "structure {index}");
        }
    }
}
