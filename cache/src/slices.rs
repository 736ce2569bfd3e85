//! The answer to a read: pieces of blocks, in order.

use std::io::IoSlice;

use bytes::Bytes;
use smallvec::SmallVec;

/// Pieces that together are the bytes of a read. They hold their blocks in memory until dropped.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    pieces: SmallVec<[Bytes; 2]>,
}

impl Slices {
    pub(crate) fn one(bytes: Bytes) -> Self {
        Self { pieces: SmallVec::from_buf_and_len([bytes, Bytes::new()], 1) }
    }

    /// Bytes in all pieces.
    pub fn length(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// The pieces, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(AsRef::as_ref)
    }

    /// The pieces for a vectored write.
    pub fn io_slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        self.iter().map(IoSlice::new)
    }

    /// All pieces copied into one buffer.
    pub fn to_vec(&self) -> Vec<u8> {
        self.iter().collect::<Vec<_>>().concat()
    }
}
