//! Where a block lies: a hash table of chains through the slots, cut into regions with a lock each.
//!
//! Its size is fixed with the pool's: two chain heads a slot, and the links lie in the slots themselves. The
//! neighbours of a block, 64 to a group, have neighbouring heads under one lock, so a long read takes few
//! locks and walks the table in order. A lock is held for some nanoseconds a block and never across anything
//! that waits.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rfuse_block::BlockIndex;

use crate::memory::pool::Pool;
use crate::object::ObjectTag;

/// Blocks whose table entries share a lock: a block's number without its last six bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Group {
    pub(crate) tag: ObjectTag,
    pub(crate) number: u64,
}

/// Blocks in a group; a set of them is a `u64`.
pub(crate) const GROUP: u64 = 64;

impl Group {
    /// The group of block `index`, and the bit that stands for it there.
    pub(crate) fn of(tag: ObjectTag, index: BlockIndex) -> (Self, u32) {
        (Self { tag, number: index.0 / GROUP }, (index.0 % GROUP) as u32)
    }

    /// The block that `bit` stands for.
    pub(crate) fn block(self, bit: u32) -> BlockIndex {
        BlockIndex(self.number * GROUP + u64::from(bit))
    }

    /// The groups of `count` blocks from `first` on, in order, each with the set of its blocks.
    pub(crate) fn covering(tag: ObjectTag, first: BlockIndex, count: u64) -> impl Iterator<Item = (Self, u64)> {
        let end = first.0 + count;
        let groups = if count == 0 { 0..0 } else { first.0 / GROUP..(end - 1) / GROUP + 1 };
        groups.map(move |number| {
            let (from, to) = (first.0.max(number * GROUP) % GROUP, (end - number * GROUP).min(GROUP));
            (Self { tag, number }, (u64::MAX >> (GROUP - (to - from))) << from)
        })
    }

    /// Well mixed bits; tags are seeded anew by every process, so nobody outside can make them meet.
    pub(crate) fn hash(self) -> u64 {
        let ObjectTag(low, high) = self.tag;
        let product = u128::from(low ^ self.number.wrapping_mul(0x9E37_79B9_7F4A_7C15)) * 0xD6E8_FEB8_6659_FD93;
        (product as u64) ^ ((product >> 64) as u64) ^ high
    }
}

/// The runs of neighbouring blocks in a set: the bit of the first, and how many.
pub(crate) fn bit_runs(mut set: u64) -> impl Iterator<Item = (u32, u32)> {
    std::iter::from_fn(move || {
        if set == 0 {
            return None;
        }
        let first = set.trailing_zeros();
        let count = (set >> first).trailing_ones();
        set &= !((u64::MAX >> (64 - count)) << first);
        Some((first, count))
    })
}

/// The table.
#[derive(Debug)]
pub(crate) struct Index {
    pool: Arc<Pool>,
    /// Each region: the first slot of each chain, plus one; zero is none.
    regions: Box<[Mutex<Vec<u32>>]>,
}

impl Index {
    /// A table for the slots of `pool`.
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        let heads = (pool.capacity() * 2).max(GROUP as usize);
        let regions = (heads / (4 * GROUP as usize)).clamp(1, 256);
        let heads = heads.div_ceil(regions);
        Self { pool, regions: (0..regions).map(|_| Mutex::new(vec![0; heads])).collect() }
    }

    /// Bytes of bookkeeping.
    pub(crate) fn overhead(&self) -> usize {
        self.regions.iter().map(|region| size_of_val(region) + lock(region).capacity() * size_of::<u32>()).sum()
    }

    /// The part of the table that knows `group`, locked.
    pub(crate) fn region(&self, group: Group) -> Region<'_> {
        let hash = group.hash();
        let heads = lock(&self.regions[scale(hash >> 32, self.regions.len())]);
        let start = scale(hash & 0xFFFF_FFFF, heads.len());
        Region { pool: &self.pool, heads, start, group }
    }
}

fn lock(region: &Mutex<Vec<u32>>) -> MutexGuard<'_, Vec<u32>> {
    region.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `part` of 2^32, scaled to below `size`.
fn scale(part: u64, size: usize) -> usize {
    ((part * size as u64) >> 32) as usize
}

/// The entries of a group, and of others that share its lock.
pub(crate) struct Region<'a> {
    pool: &'a Pool,
    heads: MutexGuard<'a, Vec<u32>>,
    start: usize,
    group: Group,
}

impl Region<'_> {
    /// The slot that holds the block of `bit`.
    pub(crate) fn find(&self, bit: u32) -> Option<u32> {
        let mut link = self.heads[self.head(bit)];
        while link != 0 {
            let slot = link - 1;
            if self.holds(slot, bit) {
                return Some(slot);
            }
            link = self.pool.slot(slot).next.load(Ordering::Relaxed);
        }
        None
    }

    /// Notes that `slot`, which is in no chain, holds the block of `bit`, which no other slot does.
    pub(crate) fn insert(&mut self, bit: u32, slot: u32) {
        let head = self.head(bit);
        let label = self.pool.slot(slot);
        label.tag[0].store(self.group.tag.0, Ordering::Relaxed);
        label.tag[1].store(self.group.tag.1, Ordering::Relaxed);
        label.index.store(self.group.block(bit).0, Ordering::Relaxed);
        label.next.store(self.heads[head], Ordering::Relaxed);
        self.heads[head] = slot + 1;
    }

    /// Forgets the block of `bit`: the slot that held it.
    pub(crate) fn remove(&mut self, bit: u32) -> Option<u32> {
        let head = self.head(bit);
        let mut before = None;
        let mut link = self.heads[head];
        while link != 0 {
            let slot = link - 1;
            let next = self.pool.slot(slot).next.load(Ordering::Relaxed);
            if self.holds(slot, bit) {
                match before {
                    None => self.heads[head] = next,
                    Some(before) => self.pool.slot(before).next.store(next, Ordering::Relaxed),
                }
                return Some(slot);
            }
            before = Some(slot);
            link = next;
        }
        None
    }

    fn head(&self, bit: u32) -> usize {
        let head = self.start + bit as usize;
        if head < self.heads.len() { head } else { head - self.heads.len() }
    }

    fn holds(&self, slot: u32, bit: u32) -> bool {
        let (tag, index) = label_of(self.pool, slot);
        index == self.group.block(bit) && tag == self.group.tag
    }
}

/// The block `slot` was last noted for.
pub(crate) fn label_of(pool: &Pool, slot: u32) -> (ObjectTag, BlockIndex) {
    let label = pool.slot(slot);
    let tag = ObjectTag(label.tag[0].load(Ordering::Relaxed), label.tag[1].load(Ordering::Relaxed));
    (tag, BlockIndex(label.index.load(Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rfuse_block::BlockSize;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn groups_cover_exactly_the_blocks_asked_for(first in 0u64..1000, count in 0u64..500) {
            let tag = ObjectTag(1, 2);
            let blocks: Vec<u64> = Group::covering(tag, BlockIndex(first), count)
                .flat_map(|(group, set)| bit_runs(set).flat_map(move |(bit, n)| (bit..bit + n).map(move |b| group.block(b).0)))
                .collect();
            prop_assert_eq!(blocks, (first..first + count).collect::<Vec<_>>());
        }

        #[test]
        fn the_table_answers_as_a_map_would(
            slots in 1u32..200,
            steps in proptest::collection::vec((0u8..3, 0u64..3, 0u64..150), 1..400),
        ) {
            let pool = Pool::new(BlockSize::MIN, slots);
            let index = Index::new(pool);
            let mut model = HashMap::new();
            let mut unused: Vec<u32> = (0..slots).collect();
            for (what, tag, block) in steps {
                let (group, bit) = Group::of(ObjectTag(tag, 7), BlockIndex(block));
                let mut region = index.region(group);
                prop_assert_eq!(region.find(bit), model.get(&(tag, block)).copied());
                if what == 0 {
                    let removed = region.remove(bit);
                    prop_assert_eq!(removed, model.remove(&(tag, block)));
                    unused.extend(removed);
                } else if !model.contains_key(&(tag, block)) && let Some(slot) = unused.pop() {
                    region.insert(bit, slot);
                    model.insert((tag, block), slot);
                }
            }
        }
    }
}
