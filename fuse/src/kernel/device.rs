//! /dev/fuse: messages come out, answers go in, one system call each.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::{self, Errno};
use smallvec::SmallVec;
use zerocopy::IntoBytes;

use super::abi::OutHeader;
use super::device_clone;

/// Bytes of the largest message the kernel sends: `max_write` as it is negotiated, and the headers before it.
pub const MESSAGE_MAX: usize = WRITE_MAX as usize + 4096;
/// `max_write`: what the kernel may send in one WRITE. The kernel refuses to talk into buffers smaller than it.
pub(crate) const WRITE_MAX: u32 = 1 << 20;
/// Pieces of one vectored write at most (UIO_MAXIOV).
const PIECES_MAX: usize = 1024;

/// One descriptor of a FUSE connection.
///
/// An answer must go to the descriptor its request came from: the kernel keeps a queue for each.
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
}

impl Device {
    /// Opens /dev/fuse, not yet mounted anywhere.
    ///
    /// # Errors
    /// NOENT, NODEV or NXIO without FUSE in the kernel; ACCESS or PERM where it is forbidden.
    pub fn open() -> io::Result<Self> {
        rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map(Self::adopt)
    }

    /// Takes over a descriptor that somebody else opened and mounted: a mount helper, or a holder that keeps
    /// it over restarts.
    pub fn adopt(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Another descriptor of the same connection, for another thread.
    ///
    /// # Errors
    /// As [`Device::open`]; INVAL when this one is not mounted.
    pub fn another(&self) -> io::Result<Self> {
        let fresh = Self::open()?;
        fresh.join(self)?;
        Ok(fresh)
    }

    /// Joins this descriptor, just opened from /dev/fuse, to the connection of `mounted`.
    ///
    /// # Errors
    /// INVAL when `mounted` is not, or when this one belongs to a connection already.
    pub fn join(&self, mounted: &Self) -> io::Result<()> {
        device_clone::join(self.fd.as_fd(), mounted.fd.as_fd())
    }

    /// Waits for a message; its bytes in `buffer`.
    ///
    /// # Errors
    /// NODEV after unmounting; NOENT, INTR and AGAIN for reasons that pass.
    pub fn receive<'a>(&self, buffer: &'a mut MessageBuffer) -> io::Result<&'a [u8]> {
        let bytes = buffer.words.as_mut_bytes();
        let length = io::read(&self.fd, &mut *bytes)?;
        Ok(&bytes[..length])
    }

    /// Sends a header and what follows it as one message. `error` is 0, a negative errno, or, with `unique`
    /// 0, the code of a notification.
    ///
    /// # Errors
    /// NOENT when nobody waits for the answer any more; NODEV after unmounting; INVAL for nonsense.
    pub(crate) fn send<'a>(
        &self,
        unique: u64,
        error: i32,
        pieces: impl IntoIterator<Item = IoSlice<'a>>,
    ) -> io::Result<()> {
        let mut header = OutHeader { len: 0, error, unique };
        let mut message: SmallVec<[IoSlice<'_>; 8]> = SmallVec::new();
        message.push(IoSlice::new(&[]));
        for piece in pieces {
            message.push(piece);
        }
        let body: usize = message.iter().map(|piece| piece.len()).sum();
        header.len = u32::try_from(size_of::<OutHeader>() + body).map_err(|_| Errno::TOOBIG)?;
        message[0] = IoSlice::new(header.as_bytes());
        if message.len() > PIECES_MAX {
            // Blocks of less than 1 KiB in a reply of 1 MiB: rare enough to pay a copy.
            let whole: Vec<u8> = message.iter().flat_map(|piece| piece.iter().copied()).collect();
            return io::write(&self.fd, &whole).map(drop);
        }
        io::writev(&self.fd, &message).map(drop)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Room for one message, aligned for its structures. Pages that no message reaches are never touched.
#[derive(Debug)]
pub struct MessageBuffer {
    words: Box<[u64]>,
}

impl MessageBuffer {
    /// Room for [`MESSAGE_MAX`] bytes.
    pub fn new() -> Self {
        Self { words: vec![0; MESSAGE_MAX / size_of::<u64>()].into() }
    }
}

impl Default for MessageBuffer {
    fn default() -> Self {
        Self::new()
    }
}
