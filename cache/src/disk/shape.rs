//! How large a segment is, and what its files are called.
//!
//! All segments of one block size and one size of cache are alike, so a place on disk is one number. The shape
//! is in the file's name: a listing alone says what a file is good for.

use rfuse_block::BlockSize;

/// What all segments have in common that one process reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    pub(crate) block_size: BlockSize,
    /// Blocks in a segment.
    pub(crate) slots: u32,
}

/// One segment: two files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct SegmentName {
    pub(crate) id: u64,
    block_bytes: u64,
    slots: u32,
}

/// What a file of the folder is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// The blocks.
    Blocks,
    /// Which they are, of a segment that is finished.
    Index,
    /// Which they are, of one that is being filled or was when its writer died.
    Open,
}

/// Bytes of an index file before its entries.
pub(crate) const HEAD: u64 = 64;
/// Bytes of an entry: fingerprint and checksum.
pub(crate) const ENTRY: u64 = 16;

/// Fewer segments would be rewritten all the time.
const SEGMENTS_LEAST: u64 = 4;

impl Shape {
    /// The shape of segments of `block_size` in a cache of `size` bytes: a 32nd of it, from 1 to 256 MiB in
    /// steps of four, and at least four blocks. None if not even four segments fit.
    pub(crate) fn of(block_size: BlockSize, size: u64) -> Option<Self> {
        let fitting = [256, 64, 16, 4].into_iter().map(|mib| mib << 20).find(|&bytes| bytes <= size / 32);
        let bytes = fitting.unwrap_or(1 << 20).max(4 * block_size.bytes());
        let shape = Self { block_size, slots: (bytes / block_size.bytes()) as u32 };
        (shape.bytes() * SEGMENTS_LEAST <= size).then_some(shape)
    }

    /// Bytes of a segment, both files.
    pub(crate) fn bytes(self) -> u64 {
        self.data_bytes() + HEAD + u64::from(self.slots) * ENTRY
    }

    /// Bytes of the blocks.
    pub(crate) fn data_bytes(self) -> u64 {
        u64::from(self.slots) * self.block_size.bytes()
    }

    /// The segment `id` of this shape.
    pub(crate) fn name(self, id: u64) -> SegmentName {
        SegmentName { id, block_bytes: self.block_size.bytes(), slots: self.slots }
    }
}

impl SegmentName {
    /// The file that holds `part`.
    pub(crate) fn file(self, part: Part) -> String {
        let extension = match part {
            Part::Blocks => "blocks",
            Part::Index => "index",
            Part::Open => "open",
        };
        format!("{:016x}-{}-{}.{extension}", self.id, self.block_bytes, self.slots)
    }

    /// What the file called `name` is; none for files that are not ours.
    pub(crate) fn parse(name: &str) -> Option<(Self, Part)> {
        let (stem, extension) = name.split_once('.')?;
        let part = match extension {
            "blocks" => Part::Blocks,
            "index" => Part::Index,
            "open" => Part::Open,
            _ => return None,
        };
        let mut words = stem.split('-');
        let id = u64::from_str_radix(words.next()?, 16).ok()?;
        let parsed = Self { id, block_bytes: words.next()?.parse().ok()?, slots: words.next()?.parse().ok()? };
        (parsed.file(part) == name).then_some((parsed, part))
    }

    /// Whose blocks it was made for: half of its id.
    pub(crate) fn scope(self) -> u32 {
        (self.id >> 32) as u32
    }

    /// Whether it is of `shape`.
    pub(crate) fn is_of(self, shape: Shape) -> bool {
        self == shape.name(self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_of_any_size_is_cut_into_some_dozens_of_segments() {
        for (size, slots) in [(16 << 20, 256), (1 << 30, 4096), (10 << 30, 65_536), (100 << 30, 65_536)] {
            assert_eq!(Shape::of(BlockSize::MIN, size).unwrap().slots, slots, "{size}");
        }
        assert!(Shape::of(BlockSize::MIN, 4 << 20).is_none(), "the index files take room, too");
        assert_eq!(Shape::of(BlockSize::MAX, 2 << 30).unwrap().slots, 4);
        assert!(Shape::of(BlockSize::MAX, 1 << 30).is_none());
    }

    #[test]
    fn a_name_says_what_a_file_is_and_strangers_are_not_ours() {
        let name = Shape { block_size: BlockSize::MIN, slots: 256 }.name(0xAB);
        for part in [Part::Blocks, Part::Index, Part::Open] {
            assert_eq!(SegmentName::parse(&name.file(part)), Some((name, part)));
        }
        for stranger in ["lost+found", "ab-4096-256.blocks", "00000000000000ab-4096-256.blocks.bak", "seed", "x.index"]
        {
            assert_eq!(SegmentName::parse(stranger), None, "{stranger}");
        }
    }
}
