//! The answer to a read: pieces of blocks, in order.

use std::io::IoSlice;

use bytes::Bytes;

use crate::memory::pool::Blocks;

/// Pieces that together are the bytes of a read. They hold their blocks in memory until dropped.
///
/// Blocks that lie side by side in memory are one piece.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    held: Held,
    /// Where in the first block the answer starts.
    start: usize,
    length: usize,
}

#[derive(Clone, Debug, Default)]
enum Held {
    #[default]
    Nothing,
    Blocks(Blocks),
    /// Bytes of a read too long to hold all its blocks at once.
    Copied(Bytes),
}

impl Slices {
    /// The `length` bytes from byte `start` of the first of `blocks` on.
    pub(crate) fn of_blocks(blocks: Blocks, start: usize, length: usize) -> Self {
        Self { held: Held::Blocks(blocks), start, length }
    }

    /// These bytes, in one piece.
    pub(crate) fn copied(bytes: Bytes) -> Self {
        Self { start: 0, length: bytes.len(), held: Held::Copied(bytes) }
    }

    /// Bytes in all pieces.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The pieces, in order; none is empty.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let (blocks, copied) = match &self.held {
            Held::Nothing => (None, None),
            Held::Blocks(blocks) => (Some(blocks.pieces(self.start, self.length)), None),
            Held::Copied(bytes) => (None, Some(bytes.as_ref())),
        };
        blocks.into_iter().flatten().chain(copied)
    }

    /// The pieces for a vectored write.
    pub fn io_slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        self.iter().map(IoSlice::new)
    }

    /// All pieces copied into one buffer.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.length);
        self.iter().for_each(|piece| all.extend_from_slice(piece));
        all
    }
}

/// Bytes that are in memory for another reason than being remembered.
impl From<Bytes> for Slices {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::default() } else { Self::copied(bytes) }
    }
}
