//! How a file is cut into the parts of an upload.
//!
//! Stores take 10,000 parts (S3) or 50,000 (Azure) whose size is chosen before the size of the file is known.
//! So parts grow: after each thousand they are twice as long. With 8 MiB to begin with, 8 GB take a thousand
//! parts, 120 GB four thousand (the last of 64 MiB) and 5 TiB, the largest object of S3, under ten thousand.

use rfuse_block::ByteRange;

/// Parts of one size.
const TIER: u64 = 1000;
/// Parts at most: what S3 takes.
const PARTS_MAX: u64 = 10_000;

/// The cuts; part `i` of a file lies at the same place whatever the file's size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Grid {
    first: u64,
}

impl Grid {
    /// Parts of `first` bytes (at least one) to begin with.
    pub(crate) fn new(first: u64) -> Self {
        Self { first: first.max(1) }
    }

    /// Bytes of the first part.
    pub(crate) fn first(self) -> u64 {
        self.first
    }

    /// Where part `index`, counted from 0, lies.
    pub(crate) fn part(self, index: u64) -> ByteRange {
        let (tier, place) = (index / TIER, index % TIER);
        let scale = 1_u64.checked_shl(u32::try_from(tier).unwrap_or(u32::MAX)).unwrap_or(u64::MAX);
        let before = (scale - 1).saturating_mul(TIER);
        let size = self.first.saturating_mul(scale);
        ByteRange::at(self.first.saturating_mul(before).saturating_add(place.saturating_mul(size)), size)
    }

    /// The part that byte `offset` lies in.
    pub(crate) fn index(self, offset: u64) -> u64 {
        let unit = self.first.saturating_mul(TIER);
        let tier = u64::from((offset / unit + 1).ilog2());
        let start = self.part(tier * TIER);
        tier * TIER + (offset - start.start()) / start.length()
    }

    /// Bytes of the largest file.
    pub(crate) fn size_max(self) -> u64 {
        self.part(PARTS_MAX - 1).end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_largest_object_of_s3_fits() {
        let grid = Grid::new(8 << 20);
        assert!(grid.size_max() > 5 << 40);
        assert_eq!(grid.part(999).end(), grid.part(1000).start());
        assert_eq!(grid.part(1000).length(), 16 << 20);
        assert!(grid.part(grid.index((5 << 40) - 1)).length() <= 5 << 30, "and so does the largest part");
    }

    proptest! {
        #[test]
        fn parts_follow_each_other_and_every_byte_is_in_its_own(first in 1u64..1 << 24, index in 0u64..9999, offset: u64) {
            let grid = Grid::new(first);
            prop_assert_eq!(grid.part(index).end(), grid.part(index + 1).start());
            let offset = offset % grid.size_max();
            let part = grid.part(grid.index(offset));
            prop_assert!(part.start() <= offset && offset < part.end());
        }
    }
}
