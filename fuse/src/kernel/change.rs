//! Messages that ask for a change, parsed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Opcode;
use super::abi::{
    CreateIn, FallocateIn, FlushIn, FsyncIn, LinkIn, MkdirIn, MknodIn, Rename2In, RenameIn, SetattrIn, SetxattrIn,
    WriteIn, fattr,
};
use super::request::{name, take};

/// What is to be changed. Sizes and offsets are bytes, modes and flags those of the system calls.
#[derive(PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are those of linux/fuse.h")]
pub enum Change<'a> {
    Setattr {
        handle: Option<u64>,
        set: SetAttr,
    },
    Create {
        name: &'a [u8],
        flags: u32,
        mode: u32,
    },
    Mknod {
        name: &'a [u8],
        mode: u32,
    },
    Mkdir {
        name: &'a [u8],
        mode: u32,
    },
    Symlink {
        name: &'a [u8],
        target: &'a [u8],
    },
    Link,
    Unlink {
        name: &'a [u8],
    },
    Rmdir {
        name: &'a [u8],
    },
    Rename {
        name: &'a [u8],
        parent: u64,
        new_name: &'a [u8],
        flags: u32,
    },
    Write {
        handle: u64,
        offset: u64,
        bytes: &'a [u8],
    },
    /// A descriptor was closed; others of the same handle may be left.
    Flush {
        handle: u64,
    },
    Fsync {
        handle: u64,
    },
    Fallocate {
        handle: u64,
        offset: u64,
        length: u64,
        mode: u32,
    },
    Setxattr {
        name: &'a [u8],
        value: &'a [u8],
        flags: u32,
    },
    Removexattr {
        name: &'a [u8],
    },
}

/// What SETATTR sets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[expect(missing_docs, reason = "the fields are those of linux/fuse.h")]
pub struct SetAttr {
    pub size: Option<u64>,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub modified: Option<SystemTime>,
    pub accessed: Option<SystemTime>,
}

impl<'a> Change<'a> {
    /// Reads one message; none when it makes no sense.
    pub(super) fn parse(opcode: Opcode, body: &'a [u8]) -> Option<Self> {
        Some(match opcode {
            Opcode::Setattr => set_attr(&take(body)?),
            Opcode::Create => {
                let CreateIn { flags, mode, .. } = take(body)?;
                Self::Create { name: name(body.get(size_of::<CreateIn>()..)?)?, flags, mode }
            }
            Opcode::Mknod => {
                let mode = take::<MknodIn>(body)?.mode;
                Self::Mknod { name: name(body.get(size_of::<MknodIn>()..)?)?, mode }
            }
            Opcode::Mkdir => {
                let mode = take::<MkdirIn>(body)?.mode;
                Self::Mkdir { name: name(body.get(size_of::<MkdirIn>()..)?)?, mode }
            }
            Opcode::Symlink => {
                let (name, target) = two_names(body)?;
                Self::Symlink { name, target }
            }
            Opcode::Link => {
                take::<LinkIn>(body)?;
                Self::Link
            }
            Opcode::Unlink => Self::Unlink { name: name(body)? },
            Opcode::Rmdir => Self::Rmdir { name: name(body)? },
            Opcode::Rename => {
                let parent = take::<RenameIn>(body)?.newdir;
                let (name, new_name) = two_names(body.get(size_of::<RenameIn>()..)?)?;
                Self::Rename { name, parent, new_name, flags: 0 }
            }
            Opcode::Rename2 => {
                let Rename2In { newdir: parent, flags, .. } = take(body)?;
                let (name, new_name) = two_names(body.get(size_of::<Rename2In>()..)?)?;
                Self::Rename { name, parent, new_name, flags }
            }
            Opcode::Write => {
                let WriteIn { fh: handle, offset, size, .. } = take(body)?;
                let bytes = body.get(size_of::<WriteIn>()..)?.get(..usize::try_from(size).ok()?)?;
                Self::Write { handle, offset, bytes }
            }
            Opcode::Flush => Self::Flush { handle: take::<FlushIn>(body)?.fh },
            Opcode::Fsync => Self::Fsync { handle: take::<FsyncIn>(body)?.fh },
            Opcode::Fallocate => {
                let FallocateIn { fh: handle, offset, length, mode, .. } = take(body)?;
                Self::Fallocate { handle, offset, length, mode }
            }
            Opcode::Setxattr => {
                // Without FUSE_SETXATTR_EXT, which is not asked for, the structure ends here.
                let SetxattrIn { size, flags } = take(body)?;
                let rest = body.get(size_of::<SetxattrIn>()..)?;
                let name = name(rest)?;
                let value = rest.get(name.len() + 1..)?.get(..size as usize)?;
                Self::Setxattr { name, value, flags }
            }
            Opcode::Removexattr => Self::Removexattr { name: name(body)? },
            _ => return None,
        })
    }
}

fn two_names(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = name(body)?;
    Some((first, name(body.get(first.len() + 1..)?)?))
}

fn set_attr(message: &SetattrIn) -> Change<'static> {
    let valid = |bit: u32| message.valid & bit != 0;
    // One look at the clock, so that both are the same.
    let now = SystemTime::now();
    let modified = match () {
        () if valid(fattr::MTIME_NOW) => Some(now),
        () if valid(fattr::MTIME) => time(message.mtime, message.mtimensec),
        () => None,
    };
    let accessed = match () {
        () if valid(fattr::ATIME_NOW) => Some(now),
        () if valid(fattr::ATIME) => time(message.atime, message.atimensec),
        () => None,
    };
    let set = SetAttr {
        size: valid(fattr::SIZE).then_some(message.size),
        mode: valid(fattr::MODE).then_some(message.mode),
        uid: valid(fattr::UID).then_some(message.uid),
        gid: valid(fattr::GID).then_some(message.gid),
        modified,
        accessed,
    };
    Change::Setattr { handle: valid(fattr::FH).then_some(message.fh), set }
}

/// Seconds since 1970 in two's complement, and nanoseconds after them.
fn time(seconds: u64, nanos: u32) -> Option<SystemTime> {
    let nanos = Duration::from_nanos(u64::from(nanos.min(999_999_999)));
    let seconds = seconds.cast_signed();
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let whole = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    whole?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;

    #[test]
    fn a_write_is_understood_and_a_short_one_is_not() {
        let head = WriteIn { fh: 7, offset: 5, size: 3, ..WriteIn::default() };
        let body = [head.as_bytes(), b"abc"].concat();
        assert_eq!(Change::parse(Opcode::Write, &body), Some(Change::Write { handle: 7, offset: 5, bytes: b"abc" }));
        assert_eq!(Change::parse(Opcode::Write, &body[..body.len() - 1]), None);
    }

    #[test]
    fn an_attribute_has_a_name_and_a_value_that_may_hold_anything() {
        let head = SetxattrIn { size: 3, flags: 1 };
        let body = [head.as_bytes(), b"user.a\0x\0y"].concat();
        let expected = Change::Setxattr { name: b"user.a", value: b"x\0y", flags: 1 };
        assert_eq!(Change::parse(Opcode::Setxattr, &body), Some(expected));
        assert_eq!(Change::parse(Opcode::Setxattr, &body[..body.len() - 1]), None);
    }

    #[test]
    fn both_names_of_a_rename_are_found() {
        let head = Rename2In { newdir: 9, flags: 1, padding: 0 };
        let body = [head.as_bytes(), b"old\0new\0"].concat();
        let expected = Change::Rename { name: b"old", parent: 9, new_name: b"new", flags: 1 };
        assert_eq!(Change::parse(Opcode::Rename2, &body), Some(expected));
        assert_eq!(Change::parse(Opcode::Rename2, &body[..body.len() - 1]), None, "the second has no end");
    }

    #[test]
    fn only_what_is_marked_valid_is_set() {
        let message =
            SetattrIn { valid: fattr::SIZE | fattr::FH, fh: 3, size: 10, mode: 0o777, ..SetattrIn::default() };
        let expected = Change::Setattr { handle: Some(3), set: SetAttr { size: Some(10), ..SetAttr::default() } };
        assert_eq!(Change::parse(Opcode::Setattr, message.as_bytes()), Some(expected));
    }

    #[test]
    fn times_before_1970_are_times() {
        assert_eq!(time(u64::MAX - 1, 500_000_000), Some(UNIX_EPOCH - Duration::from_millis(1500)));
        assert_eq!(time(1, 5), Some(UNIX_EPOCH + Duration::new(1, 5)));
    }
}
