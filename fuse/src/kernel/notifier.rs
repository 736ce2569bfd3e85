//! What is told to the kernel without being asked.

use std::io::IoSlice;
use std::iter;
use std::sync::Arc;

use rustix::io::{self, Errno};
use zerocopy::IntoBytes;

use super::Link;
use super::abi::{InvalEntryOut, InvalInodeOut, StoreOut, notify};

/// Speaks to the kernel's caches.
///
/// Never from a worker that holds a request of the same file: the kernel may wait for a page that only this
/// request can fill. Use it from tasks.
#[derive(Clone, Debug)]
pub struct Notifier {
    link: Arc<Link>,
}

impl Notifier {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// Drops the attributes of `node`, and of its cached pages those that touch `length` bytes from `offset`
    /// (0 for the length: to the end).
    ///
    /// # Errors
    /// As [`Notifier::store`].
    pub fn invalidate_inode(&self, node: u64, offset: u64, length: u64) -> io::Result<()> {
        let off = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
        let len = i64::try_from(length).map_err(|_| Errno::INVAL)?;
        let message = InvalInodeOut { ino: node, off, len };
        self.tell(notify::INVAL_INODE, [IoSlice::new(message.as_bytes())])
    }

    /// Drops `name` in the directory `parent`, so that the next use asks again.
    ///
    /// # Errors
    /// As [`Notifier::store`].
    pub fn invalidate_entry(&self, parent: u64, name: &[u8]) -> io::Result<()> {
        let namelen = u32::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?;
        let message = InvalEntryOut { parent, namelen, flags: 0 };
        self.tell(notify::INVAL_ENTRY, [IoSlice::new(message.as_bytes()), IoSlice::new(name), IoSlice::new(&[0])])
    }

    /// Puts bytes of `node` into the page cache. They must not reach behind the end of the file, which the
    /// kernel would move.
    ///
    /// # Errors
    /// NOENT when the kernel does not know the inode (any more); NODEV after unmounting.
    pub fn store(&self, node: u64, offset: u64, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        let bytes = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let size = u32::try_from(bytes).map_err(|_| Errno::TOOBIG)?;
        let message = StoreOut { nodeid: node, offset, size, padding: 0 };
        self.tell(notify::STORE, iter::once(IoSlice::new(message.as_bytes())).chain(pieces.iter().copied()))
    }

    /// Asks for every unanswered request again (Linux 6.9), after taking a connection over.
    ///
    /// # Errors
    /// INVAL on older kernels; NODEV after unmounting.
    pub fn resend(&self) -> io::Result<()> {
        self.tell(notify::RESEND, [])
    }

    fn tell<'a>(&self, code: i32, pieces: impl IntoIterator<Item = IoSlice<'a>>) -> io::Result<()> {
        self.link.device().send(0, code, pieces)
    }
}
