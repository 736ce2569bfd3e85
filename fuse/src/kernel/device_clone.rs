//! A second descriptor of one FUSE connection, with a queue of its own.
#![expect(unsafe_code, reason = "an ioctl has no safe face")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io;
use rustix::ioctl::{Setter, ioctl, opcode};

/// `FUSE_DEV_IOC_CLONE` of `linux/fuse.h`: `_IOR(229, 0, uint32_t)`.
const CLONE: rustix::ioctl::Opcode = opcode::read::<u32>(229, 0);

/// Joins `fresh`, just opened from /dev/fuse, to the connection of `session`.
pub(super) fn join(fresh: BorrowedFd<'_>, session: BorrowedFd<'_>) -> io::Result<()> {
    let session = session.as_fd().as_raw_fd().cast_unsigned();
    // SAFETY: the kernel reads one u32, the number of the descriptor to join, from the pointer and writes nothing.
    unsafe { ioctl(fresh, Setter::<CLONE, u32>::new(session)) }
}
