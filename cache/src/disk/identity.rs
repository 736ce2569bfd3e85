//! What a block on disk is known by: a fingerprint to find it, and a checksum that fits no other block.
//!
//! The checksum is seeded with everything that names the block, so bytes that lie where they should not, or are
//! not all of it, fit as little as bytes that have changed. The fingerprint of a block is that of its group with
//! the block's own bit below, so that neighbours are found together.

use rfuse_block::BlockIndex;
use twox_hash::XxHash3_64;

use crate::memory::index::Group;
use crate::object::ObjectTag;

/// Bits of a fingerprint that say which block of its group it is.
const BIT: u64 = 63;

/// The fingerprint of block `bit` of `group`; never zero, which is an empty place.
pub(crate) fn fingerprint(group: Group, bit: u32) -> u64 {
    let mixed = mix(group.hash(), group.number ^ 0x243F_6A88_85A3_08D3) & !BIT;
    let mixed = if mixed == 0 { BIT + 1 } else { mixed };
    mixed | u64::from(bit)
}

/// The fingerprint of block `index` of `tag`.
pub(crate) fn fingerprint_of(tag: ObjectTag, index: BlockIndex) -> u64 {
    let (group, bit) = Group::of(tag, index);
    fingerprint(group, bit)
}

/// Which block of its group `fingerprint` stands for.
pub(crate) fn bit_of(fingerprint: u64) -> u32 {
    (fingerprint & BIT) as u32
}

/// The checksum of `bytes`, the content of block `index` of `tag`: a whole block, with noughts behind the end of
/// the object, whose size is part of the tag.
pub(crate) fn checksum(tag: ObjectTag, index: BlockIndex, bytes: &[u8]) -> u64 {
    let seed = mix(tag.0 ^ index.0, mix(tag.1, bytes.len() as u64 ^ 0x1319_8A2E_0370_7344));
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9E37_79B9_7F4A_7C15) * u128::from(b ^ 0xD6E8_FEB8_6659_FD93 | 1);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_checksum_fits_one_block_of_one_object_of_one_length() {
        let bytes = [7; 4096];
        let right = checksum(ObjectTag(1, 2), BlockIndex(3), &bytes);
        assert_eq!(right, checksum(ObjectTag(1, 2), BlockIndex(3), &bytes));
        let mut flipped = bytes;
        flipped[4095] ^= 1;
        let wrong = [
            checksum(ObjectTag(1, 2), BlockIndex(4), &bytes),
            checksum(ObjectTag(1, 3), BlockIndex(3), &bytes),
            checksum(ObjectTag(0, 2), BlockIndex(3), &bytes),
            checksum(ObjectTag(1, 2), BlockIndex(3), &bytes[..4095]),
            checksum(ObjectTag(1, 2), BlockIndex(3), &flipped),
        ];
        assert!(!wrong.contains(&right));
    }

    #[test]
    fn fingerprints_of_a_million_blocks_are_all_different() {
        let mut seen = HashSet::new();
        for object in 0..10 {
            for index in 0..100_000 {
                let tag = ObjectTag(object, object.wrapping_mul(0x1234_5678_9ABC_DEF1));
                let mark = fingerprint_of(tag, BlockIndex(index));
                assert!(mark != 0 && seen.insert(mark));
                assert_eq!(u64::from(bit_of(mark)), index % 64);
            }
        }
    }
}
