//! One message from the kernel, parsed.

use rustix::io::Errno;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::abi::{
    AccessIn, BatchForgetIn, ForgetIn, ForgetOne, GETATTR_FH, GetattrIn, GetxattrIn, InHeader, InitIn, InterruptIn,
    OpenIn, ReadIn, ReleaseIn,
};
use super::{Change, Opcode};

/// A request and who sent it.
#[derive(Debug)]
pub struct Request<'a> {
    /// Names the request in its answer.
    pub unique: u64,
    /// The inode it is about; 0 where it is about none.
    pub node: u64,
    /// The caller's user.
    pub uid: u32,
    /// The caller's group.
    pub gid: u32,
    /// The caller's process as this namespace sees it; 0 when it cannot, or for read-ahead.
    pub pid: u32,
    /// What for, by number; none for one that is not known.
    pub opcode: Option<Opcode>,
    /// What for.
    pub operation: Operation<'a>,
}

/// What the kernel wants. Sizes and offsets are bytes.
#[derive(PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are those of linux/fuse.h")]
pub enum Operation<'a> {
    /// Begin: what the kernel offers, and `flags2` of it.
    Init {
        offer: InitIn,
        flags2: u32,
    },
    /// The inode behind a name.
    Lookup {
        name: &'a [u8],
    },
    /// References to drop; has no answer.
    Forget {
        lookups: u64,
    },
    /// References to drop of many inodes; has no answer.
    BatchForget(&'a [ForgetOne]),
    Getattr {
        handle: Option<u64>,
    },
    Readlink,
    /// `flags` are those of open(2).
    Open {
        flags: u32,
    },
    Read {
        handle: u64,
        offset: u64,
        size: u32,
    },
    Release {
        handle: u64,
    },
    Opendir,
    /// `plus`: with attributes, counting a reference for each entry.
    Readdir {
        handle: u64,
        offset: u64,
        size: u32,
        plus: bool,
    },
    Releasedir {
        handle: u64,
    },
    Statfs,
    /// `mask` is that of access(2).
    Access {
        mask: u32,
    },
    /// `size` 0 asks for the size alone.
    Getxattr {
        name: &'a [u8],
        size: u32,
    },
    /// `size` 0 asks for the size alone.
    Listxattr {
        size: u32,
    },
    /// The caller of `unique` has a signal; has no answer.
    Interrupt {
        unique: u64,
    },
    /// Something is to be changed.
    Change(Change<'a>),
    /// The end.
    Destroy,
    /// Nothing that is done here, or nothing that makes sense.
    Refused(Errno),
}

impl<'a> Request<'a> {
    /// Reads one message. None when it is too short to be answered at all.
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let (header, body) = InHeader::read_from_prefix(message).ok()?;
        // Extensions (security contexts of creations) lie behind the body; nothing here uses them.
        let body = body.get(..body.len().checked_sub(usize::from(header.total_extlen) * 8)?)?;
        let opcode = Opcode::new(header.opcode);
        let operation = match opcode {
            Some(opcode) => Operation::parse(opcode, body).unwrap_or(Operation::Refused(Errno::INVAL)),
            None => Operation::Refused(Errno::NOSYS),
        };
        let InHeader { unique, nodeid: node, uid, gid, pid, .. } = header;
        Some(Self { unique, node, uid, gid, pid, opcode, operation })
    }
}

impl<'a> Operation<'a> {
    fn parse(opcode: Opcode, body: &'a [u8]) -> Option<Self> {
        Some(match opcode {
            Opcode::Init => {
                let offer: InitIn = take(body)?;
                let flags2 = u32::read_from_prefix(body.get(size_of::<InitIn>()..)?).map_or(0, |(flags2, _)| flags2);
                Self::Init { offer, flags2 }
            }
            Opcode::Lookup => Self::Lookup { name: name(body)? },
            Opcode::Forget => Self::Forget { lookups: take::<ForgetIn>(body)?.nlookup },
            Opcode::BatchForget => {
                let (head, rest) = BatchForgetIn::read_from_prefix(body).ok()?;
                let count = usize::try_from(head.count).ok()?;
                Self::BatchForget(<[ForgetOne]>::ref_from_prefix_with_elems(rest, count).ok()?.0)
            }
            Opcode::Getattr => {
                let GetattrIn { getattr_flags, fh, .. } = take(body)?;
                Self::Getattr { handle: (getattr_flags & GETATTR_FH != 0).then_some(fh) }
            }
            Opcode::Readlink => Self::Readlink,
            Opcode::Open => Self::Open { flags: take::<OpenIn>(body)?.flags },
            Opcode::Opendir => Self::Opendir,
            Opcode::Read => {
                let ReadIn { fh: handle, offset, size, .. } = take(body)?;
                Self::Read { handle, offset, size }
            }
            Opcode::Readdir | Opcode::Readdirplus => {
                let ReadIn { fh: handle, offset, size, .. } = take(body)?;
                Self::Readdir { handle, offset, size, plus: opcode == Opcode::Readdirplus }
            }
            Opcode::Release => Self::Release { handle: take::<ReleaseIn>(body)?.fh },
            Opcode::Releasedir => Self::Releasedir { handle: take::<ReleaseIn>(body)?.fh },
            Opcode::Statfs => Self::Statfs,
            Opcode::Access => Self::Access { mask: take::<AccessIn>(body)?.mask },
            Opcode::Getxattr => {
                let size = take::<GetxattrIn>(body)?.size;
                Self::Getxattr { name: name(body.get(size_of::<GetxattrIn>()..)?)?, size }
            }
            Opcode::Listxattr => Self::Listxattr { size: take::<GetxattrIn>(body)?.size },
            Opcode::Interrupt => Self::Interrupt { unique: take::<InterruptIn>(body)?.unique },
            Opcode::Destroy => Self::Destroy,
            changing if changing.changes() => Self::Change(Change::parse(changing, body)?),
            refused => Self::Refused(refused.refusal()),
        })
    }
}

pub(super) fn take<T: FromBytes + KnownLayout + Immutable>(body: &[u8]) -> Option<T> {
    T::read_from_prefix(body).ok().map(|(value, _)| value)
}

/// The bytes before the NUL that must follow them.
pub(super) fn name(body: &[u8]) -> Option<&[u8]> {
    body.split_at_checked(body.iter().position(|&byte| byte == 0)?).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::*;

    fn message(opcode: Opcode, body: &[u8]) -> Vec<u8> {
        let header = InHeader { len: 0, opcode: opcode as u32, unique: 8, nodeid: 3, ..InHeader::default() };
        [header.as_bytes(), body].concat()
    }

    #[test]
    fn a_read_is_understood() {
        let body = ReadIn { fh: 7, offset: 1 << 40, size: 4096, ..ReadIn::default() };
        let message = message(Opcode::Read, body.as_bytes());
        let request = Request::parse(&message).unwrap();
        assert_eq!((request.unique, request.node), (8, 3));
        assert_eq!(request.operation, Operation::Read { handle: 7, offset: 1 << 40, size: 4096 });
    }

    #[test]
    fn a_name_ends_at_its_nul() {
        let message = message(Opcode::Lookup, b"a\xff b\0");
        assert_eq!(Request::parse(&message).unwrap().operation, Operation::Lookup { name: b"a\xff b" });
    }

    #[test]
    fn a_batch_shorter_than_its_count_is_refused() {
        let mut body = BatchForgetIn { count: 2, dummy: 0 }.as_bytes().to_vec();
        body.extend(ForgetOne { nodeid: 1, nlookup: 1 }.as_bytes());
        let message = message(Opcode::BatchForget, &body);
        assert_eq!(Request::parse(&message).unwrap().operation, Operation::Refused(Errno::INVAL));
    }

    proptest! {
        #[test]
        fn no_message_is_a_panic(opcode in 0_u32..60, body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut message = InHeader { opcode, ..InHeader::default() }.as_bytes().to_vec();
            message.extend(body);
            prop_assert!(Request::parse(&message).is_some());
            for end in 0..message.len() {
                let _ = Request::parse(&message[..end]);
            }
        }
    }
}
