//! An object as the cache knows it: pinned to one version, and named by 128 bits in the block table.

use rfuse_block::{BlockSize, ByteRange, Extent, ObjectId, ObjectKey, Version};
use sha2::{Digest, Sha256};

/// 128 bits that stand for an [`ObjectId`] and its size in the block table.
///
/// A truncated SHA-256 over a seed of this process, so that names can be chosen neither to meet nor to crowd
/// one part of the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ObjectTag(pub(crate) u64, pub(crate) u64);

impl ObjectTag {
    /// The tag of `size` bytes of `id` under `seed`.
    pub(crate) fn new(seed: [u8; 16], id: &ObjectId, size: u64) -> Self {
        let key = id.key.as_bytes();
        let digest = Sha256::new()
            .chain_update(seed)
            .chain_update(size.to_le_bytes())
            .chain_update((key.len() as u64).to_le_bytes())
            .chain_update(key)
            .chain_update(id.version.as_str())
            .finalize();
        let word = |from: usize| digest[from..from + 8].iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
        Self(word(0), word(8))
    }
}

impl ObjectTag {
    /// What stands for `key` whatever its version.
    pub(crate) fn of_name(seed: [u8; 16], key: &ObjectKey) -> Self {
        // No version is empty and no object has all bytes there are.
        Self::new(seed, &ObjectId { key: key.clone(), version: Version::new("") }, u64::MAX)
    }
}

/// One content of one object, ready to be read: made once at open, shared by its handles.
#[derive(Clone, Debug)]
pub struct PinnedObject {
    /// Which bytes.
    pub id: ObjectId,
    /// How many of them, as the listing or HEAD that named the version said.
    pub size: u64,
    pub(crate) tag: ObjectTag,
}

impl PinnedObject {
    /// The bytes of `extent`.
    pub(crate) fn range_of(&self, extent: Extent, size: BlockSize) -> ByteRange {
        extent.range(size, self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rfuse_block::{ObjectKey, Version};

    #[test]
    fn contents_that_differ_in_anything_have_different_tags() {
        let tag = |seed: u8, key: &str, version: &str, size| {
            let id = ObjectId { key: ObjectKey::from(key), version: Version::new(version) };
            ObjectTag::new([seed; 16], &id, size)
        };
        let all = [
            tag(0, "a", "b", 1),
            tag(1, "a", "b", 1),
            tag(0, "ab", "", 1),
            tag(0, "", "ab", 1),
            tag(0, "a", "b", 2),
            tag(0, "a", "c", 1),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|other| other != one));
        }
        assert_eq!(tag(0, "a", "b", 1), all[0]);
    }
}
