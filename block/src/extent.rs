//! The run of neighbouring blocks that one request fetches.
//!
//! The cache unit and the fetch unit are different things: a block is small so that a random read costs
//! little, an extent is as long as what is missing, so that a long read costs few requests.

use crate::{BlockIndex, BlockSize, ByteRange};

/// `count` neighbouring blocks from `first` on; never empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The first block.
    pub first: BlockIndex,
    /// How many blocks, at least one.
    pub count: u32,
}

impl Extent {
    /// The bytes of the extent in an object of `object_size` bytes.
    pub fn range(self, size: BlockSize, object_size: u64) -> ByteRange {
        let start = self.first.0.saturating_mul(size.bytes());
        ByteRange::at(start, u64::from(self.count) * size.bytes()).clamp_to(object_size)
    }

    /// The blocks of the extent, in order.
    pub fn blocks(self) -> impl ExactSizeIterator<Item = BlockIndex> + Clone {
        (0..self.count).map(move |i| BlockIndex(self.first.0 + u64::from(i)))
    }
}

/// Joins ascending block numbers into the fewest extents of at most `max_count` blocks each.
///
/// # Panics
/// If `max_count` is zero.
pub fn runs(blocks: impl IntoIterator<Item = BlockIndex>, max_count: u32) -> Vec<Extent> {
    assert!(max_count > 0, "an extent holds at least one block");
    let mut extents: Vec<Extent> = Vec::new();
    for block in blocks {
        match extents.last_mut() {
            Some(last) if last.count < max_count && block.0 == last.first.0 + u64::from(last.count) => last.count += 1,
            _ => extents.push(Extent { first: block, count: 1 }),
        }
    }
    extents
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn runs_hold_exactly_the_blocks_given(blocks: BTreeSet<u16>, max in 1u32..300) {
            let extents = runs(blocks.iter().map(|&b| BlockIndex(b.into())), max);
            let back: Vec<u64> = extents.iter().flat_map(|e| e.blocks()).map(|b| b.0).collect();
            prop_assert_eq!(back, blocks.iter().map(|&b| u64::from(b)).collect::<Vec<_>>());
            prop_assert!(extents.iter().all(|e| (1..=max).contains(&e.count)));
        }

        #[test]
        fn no_two_runs_could_have_been_one(blocks: BTreeSet<u8>) {
            let extents = runs(blocks.iter().map(|&b| BlockIndex(b.into())), 1000);
            for pair in extents.windows(2) {
                prop_assert!(pair[0].first.0 + u64::from(pair[0].count) < pair[1].first.0);
            }
        }
    }

    #[test]
    fn the_last_extent_ends_with_the_object() {
        let extent = Extent { first: BlockIndex(2), count: 4 };
        assert_eq!(extent.range(BlockSize::MIN, 10_000), ByteRange::new(8192, 10_000));
    }
}
