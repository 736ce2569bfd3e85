//! Which block a byte lies in.

use std::fmt;

use crate::ByteRange;

/// The size of a cache block in bytes: a power of two from 4 KiB to 64 MiB.
///
/// The size of a block is what the cache remembers and evicts as one; what is fetched as one is an
/// [`Extent`](crate::Extent).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockSize {
    /// log2 of the size, 12 to 26.
    shift: u8,
}

/// A number of bytes that cannot be a block size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidBlockSize(pub u64);

impl fmt::Display for InvalidBlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes is not a block size: take a power of two from 4KiB to 64MiB", self.0)
    }
}

impl std::error::Error for InvalidBlockSize {}

/// The position of a block in its object: block `i` holds the bytes from `i × block size` on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BlockIndex(pub u64);

impl BlockIndex {
    /// The block after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl BlockSize {
    /// 4 KiB, one page: the smallest block.
    pub const MIN: Self = Self { shift: 12 };
    /// 64 MiB: the largest block.
    pub const MAX: Self = Self { shift: 26 };

    /// A block size of `bytes`.
    ///
    /// # Errors
    /// [`InvalidBlockSize`] unless `bytes` is a power of two from 4 KiB to 64 MiB.
    pub fn new(bytes: u64) -> Result<Self, InvalidBlockSize> {
        let in_range = (Self::MIN.bytes()..=Self::MAX.bytes()).contains(&bytes);
        if !in_range || !bytes.is_power_of_two() {
            return Err(InvalidBlockSize(bytes));
        }
        Ok(Self { shift: bytes.trailing_zeros() as u8 })
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        1 << self.shift
    }

    /// The block that holds the byte at `offset`.
    pub fn block_of(self, offset: u64) -> BlockIndex {
        BlockIndex(offset >> self.shift)
    }

    /// The bytes of block `index` in an object of `object_size` bytes; the last block may be short, a block
    /// past the end is empty.
    pub fn range_of(self, index: BlockIndex, object_size: u64) -> ByteRange {
        ByteRange::at(index.0.saturating_mul(self.bytes()), self.bytes()).clamp_to(object_size)
    }

    /// The blocks that hold the bytes of `range`, in order; none for an empty range.
    pub fn blocks_of(self, range: ByteRange) -> impl ExactSizeIterator<Item = BlockIndex> + Clone {
        let first = range.start() >> self.shift;
        let count = if range.is_empty() { 0 } else { ((range.end() - 1) >> self.shift) - first + 1 };
        // A kernel read is at most a few MiB and an extent at most a few GiB, so the count fits.
        (0..usize::try_from(count).unwrap_or(usize::MAX)).map(move |i| BlockIndex(first + i as u64))
    }
}

impl Default for BlockSize {
    fn default() -> Self {
        Self::MIN
    }
}

impl fmt::Display for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes() {
            bytes if bytes >= 1 << 20 => write!(f, "{}MiB", bytes >> 20),
            bytes => write!(f, "{}KiB", bytes >> 10),
        }
    }
}

impl fmt::Debug for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_powers_of_two_in_range_are_block_sizes() {
        for bad in [0, 1, 2048, 4095, 4097, 12288, 128 << 20, u64::MAX] {
            assert_eq!(BlockSize::new(bad), Err(InvalidBlockSize(bad)));
        }
        assert_eq!(BlockSize::new(4096), Ok(BlockSize::MIN));
        assert_eq!(BlockSize::new(64 << 20), Ok(BlockSize::MAX));
    }

    proptest! {
        #[test]
        fn the_blocks_of_a_range_cover_it_and_no_block_more(
            shift in 12u32..=26, start in 0..1u64 << 50, length in 0..64u64 << 20,
        ) {
            let size = BlockSize::new(1 << shift).unwrap();
            let range = ByteRange::at(start, length);
            let blocks: Vec<_> = size.blocks_of(range).collect();
            let covered: u64 = blocks.iter()
                .map(|&block| size.range_of(block, u64::MAX).intersect(range).length())
                .sum();
            prop_assert_eq!(covered, length);
            prop_assert!(blocks.iter().all(|&b| !size.range_of(b, u64::MAX).intersect(range).is_empty()));
        }
    }
}
