//! Attributes, times and kinds in the kernel's words.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rfuse_fs::{Attr, Entry, FileKind, StatFs};

use crate::kernel::abi;

/// What `st_blksize` says: the size programs read in when they have no better idea.
const BLOCK: u32 = 4096;

pub(crate) fn attr(attr: &Attr) -> abi::Attr {
    let ((atime, atimensec), (mtime, mtimensec)) = (time(attr.accessed), time(attr.modified));
    let (ctime, ctimensec) = time(attr.changed);
    abi::Attr {
        ino: attr.inode.0,
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime,
        mtime,
        ctime,
        atimensec,
        mtimensec,
        ctimensec,
        mode: kind(attr.kind) << 12 | attr.mode & 0o7777,
        nlink: attr.links,
        uid: attr.uid,
        gid: attr.gid,
        blksize: BLOCK,
        ..abi::Attr::default()
    }
}

pub(crate) fn attr_out(value: &Attr, ttl: Duration) -> abi::AttrOut {
    abi::AttrOut { attr_valid: ttl.as_secs(), attr_valid_nsec: ttl.subsec_nanos(), dummy: 0, attr: attr(value) }
}

/// A name and what it stands for. For a name that does not exist the kernel wants inode 0.
pub(crate) fn entry(entry: &Entry) -> abi::EntryOut {
    match entry {
        Entry::Found { attr, ttl } => found(attr, *ttl),
        Entry::Absent { ttl } => {
            abi::EntryOut { entry_valid: ttl.as_secs(), entry_valid_nsec: ttl.subsec_nanos(), ..Default::default() }
        }
    }
}

pub(crate) fn found(value: &Attr, ttl: Duration) -> abi::EntryOut {
    abi::EntryOut {
        nodeid: value.inode.0,
        generation: 0,
        entry_valid: ttl.as_secs(),
        attr_valid: ttl.as_secs(),
        entry_valid_nsec: ttl.subsec_nanos(),
        attr_valid_nsec: ttl.subsec_nanos(),
        attr: attr(value),
    }
}

pub(crate) fn statfs(figures: &StatFs) -> abi::StatfsOut {
    abi::StatfsOut {
        blocks: figures.blocks,
        bfree: figures.blocks_free,
        bavail: figures.blocks_free,
        files: figures.files,
        ffree: figures.files_free,
        bsize: figures.block_size,
        namelen: figures.name_max,
        frsize: figures.block_size,
        ..abi::StatfsOut::default()
    }
}

/// The `DT_` number of a directory entry, which is also the top of `st_mode`.
pub(crate) fn kind(kind: FileKind) -> u32 {
    match kind {
        FileKind::Directory => 4,
        FileKind::File => 8,
        FileKind::Symlink => 10,
    }
}

/// Seconds since 1970, in two's complement before it, and nanoseconds.
fn time(time: SystemTime) -> (u64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (since.as_secs(), since.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            match before.subsec_nanos() {
                0 => (before.as_secs().wrapping_neg(), 0),
                nanos => ((before.as_secs() + 1).wrapping_neg(), 1_000_000_000 - nanos),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rfuse_fs::Inode;

    use super::*;

    #[test]
    fn times_before_1970_count_backwards() {
        assert_eq!(time(UNIX_EPOCH), (0, 0));
        assert_eq!(time(UNIX_EPOCH + Duration::from_millis(1500)), (1, 500_000_000));
        assert_eq!(time(UNIX_EPOCH - Duration::from_secs(2)), (u64::MAX - 1, 0));
        assert_eq!(time(UNIX_EPOCH - Duration::from_millis(1500)), (u64::MAX - 1, 500_000_000));
    }

    #[test]
    fn a_file_has_its_type_and_bits_and_sectors() {
        let file = Attr {
            inode: Inode(7),
            kind: FileKind::File,
            size: 513,
            modified: UNIX_EPOCH,
            accessed: UNIX_EPOCH,
            changed: UNIX_EPOCH,
            mode: 0o444,
            uid: 1,
            gid: 2,
            links: 1,
        };
        let words = attr(&file);
        assert_eq!((words.mode, words.blocks, words.ino), (0o100_444, 2, 7));
        assert_eq!(attr(&Attr { kind: FileKind::Directory, mode: 0o555, ..file }).mode, 0o040_555);
        assert_eq!(attr(&Attr { kind: FileKind::Symlink, mode: 0o777, ..file }).mode, 0o120_777);
    }
}
