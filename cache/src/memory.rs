//! The memory tier: blocks in a pool, found through an index, leaving as the eviction decides.
//!
//! All of it lives inside one number of bytes: the slots, what is known about them, and what is being fetched,
//! which lands in slots too. When no slot is free and no block can leave, a fetch waits in line; that is never
//! an error. Locks are taken in the order eviction, region, free slots, and none is held across a wait.

pub(crate) mod budget;
pub(crate) mod eviction;
pub(crate) mod free;
pub(crate) mod ghost;
pub(crate) mod index;
pub(crate) mod line;
pub(crate) mod pool;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rfuse_block::{BlockIndex, BlockSize, Extent};

use crate::memory::eviction::{Eviction, Reason, Residents};
use crate::memory::index::{GROUP, Group, Index, bit_runs, label_of};
use crate::memory::pool::{Blocks, Pool, Slots, Standing};
use crate::object::ObjectTag;

/// Bytes of bookkeeping a slot costs at most: a 32-byte record, two chain heads of four bytes, two queue links
/// of four and a place of one, a ghost entry of eight, and a little over one bit in the map of free slots, in
/// all a little over 57.
pub(crate) const OVERHEAD: u64 = 64;

/// Bytes set aside for what does not grow with the slots: the table of fetches, their futures and waiters.
const FIXED: u64 = 512 << 10;

/// Fewer slots cannot serve two readers whose reads straddle a block boundary.
const LEAST_SLOTS: u64 = 4;

/// Blocks that leave under one lock of the eviction.
const BATCH: usize = 64;

/// What is in memory.
#[derive(Debug)]
pub(crate) struct MemoryTier {
    pool: Arc<Pool>,
    index: Index,
    eviction: Mutex<Eviction>,
    evictions: AtomicU64,
    waits: AtomicU64,
}

impl MemoryTier {
    /// The least memory that works with blocks of `block_size`, in bytes.
    pub(crate) fn least(block_size: BlockSize) -> u64 {
        FIXED + LEAST_SLOTS * (block_size.bytes() + OVERHEAD)
    }

    /// A tier that takes at most `memory` bytes, all told, or [`MemoryTier::least`].
    pub(crate) fn new(block_size: BlockSize, memory: u64) -> Self {
        let slots = memory.saturating_sub(FIXED) / (block_size.bytes() + OVERHEAD);
        // Links and chains store a slot plus one in 32 bits; 2^31 blocks of 4 KiB are 8 TiB.
        let slots = slots.clamp(LEAST_SLOTS, 1 << 31) as u32;
        let pool = Pool::new(block_size, slots);
        Self {
            index: Index::new(pool.clone()),
            pool,
            eviction: Mutex::new(Eviction::new(slots)),
            evictions: AtomicU64::new(0),
            waits: AtomicU64::new(0),
        }
    }

    /// Blocks there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.pool.capacity()
    }

    /// Blocks held, being fetched and being read included.
    pub(crate) fn held(&self) -> usize {
        self.pool.capacity() - self.pool.free_count()
    }

    /// Bytes of bookkeeping.
    pub(crate) fn overhead(&self) -> usize {
        self.pool.overhead() + self.index.overhead() + self.eviction().overhead()
    }

    /// Blocks that left to make room.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// Fetches that had to wait for memory.
    pub(crate) fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    /// No block yet.
    pub(crate) fn none(&self) -> Blocks {
        Blocks::none(&self.pool)
    }

    /// Shows `take` each block of `set` that is in memory, by bit and slot; those it took. The slot stays where it
    /// is while `take` runs.
    pub(crate) fn look_up(&self, group: Group, set: u64, mut take: impl FnMut(u32, u32) -> bool) -> u64 {
        let region = self.index.region(group);
        let mut taken = 0;
        for bit in bits(set) {
            if let Some(slot) = region.find(bit)
                && take(bit, slot)
            {
                taken |= 1 << bit;
            }
        }
        taken
    }

    /// Remembers `blocks`, the blocks of `tag` from `first` on.
    pub(crate) fn admit(&self, tag: ObjectTag, first: BlockIndex, blocks: &Blocks, reason: Reason) {
        let mut slots = blocks.slots();
        for (group, set) in Group::covering(tag, first, blocks.count() as u64) {
            let mut eviction = self.eviction();
            let mut returning = eviction.returning(bits(set).map(|bit| hash_of(group, bit)));
            let mut region = self.index.region(group);
            for (bit, slot) in bits(set).zip(&mut slots) {
                if let Some(old) = region.remove(bit) {
                    eviction.remove(old);
                    self.pool.unkeep(old);
                }
                self.pool.keep(slot);
                region.insert(bit, slot);
                eviction.admit(slot, returning & 1 == 1, reason, &Look(&self.pool));
                returning >>= 1;
            }
        }
    }

    /// Blocks among the `count` slots from `from` on that were used at least `uses` times and that `wanted` wants.
    pub(crate) fn proven(
        &self,
        from: u32,
        count: u32,
        uses: u32,
        mut wanted: impl FnMut(ObjectTag, BlockIndex) -> bool,
    ) -> Vec<(ObjectTag, BlockIndex, Blocks)> {
        let end = (u64::from(from) + u64::from(count)).min(self.capacity() as u64) as u32;
        let mut found = Vec::new();
        for slot in (from..end).filter(|&slot| self.pool.uses(slot) >= uses) {
            let (tag, index) = label_of(&self.pool, slot);
            if !wanted(tag, index) {
                continue;
            }
            let (group, bit) = Group::of(tag, index);
            let mut blocks = self.none();
            // The label may have been of a block that is just leaving; what is found is what it says.
            self.look_up(group, 1 << bit, |_, slot| blocks.push_shared(slot, false));
            if blocks.count() == 1 {
                found.push((tag, index, blocks));
            }
        }
        found
    }

    /// The blocks of `extent` of `tag` that are in memory, neighbours together; they stay as long as they are held.
    pub(crate) fn hold(&self, tag: ObjectTag, extent: Extent) -> Vec<(BlockIndex, Blocks)> {
        let mut held: Vec<(BlockIndex, Blocks)> = Vec::new();
        for (group, set) in Group::covering(tag, extent.first, extent.count.into()) {
            self.look_up(group, set, |bit, slot| {
                let block = group.block(bit);
                if let Some((first, blocks)) = held.last_mut()
                    && first.0 + blocks.count() as u64 == block.0
                {
                    return blocks.push_shared(slot, false);
                }
                let mut blocks = self.none();
                let shared = blocks.push_shared(slot, false);
                held.extend(shared.then_some((block, blocks)));
                shared
            });
        }
        held
    }

    /// Lets every block go that nobody reads; how many.
    pub(crate) fn clear(&self) -> u64 {
        let mut gone = 0;
        loop {
            match self.evict(BATCH) {
                0 => return gone,
                freed => gone += freed as u64,
            }
        }
    }

    /// Takes `count` slots if that needs no waiting, evicting where it must.
    ///
    /// While somebody waits in line nobody else gets a slot.
    pub(crate) fn try_take(&self, count: usize) -> Option<Slots> {
        if self.pool.line().is_waiting() { None } else { self.take(count) }
    }

    /// Waits for `count` slots, first come, first served. Only for those who hold no block: who waits while he
    /// keeps others waiting may wait for ever.
    pub(crate) async fn wait_for(&self, count: usize) -> Slots {
        debug_assert!(count <= self.capacity());
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.pool.line().wait_for(|| self.take(count)).await
    }

    fn take(&self, count: usize) -> Option<Slots> {
        loop {
            match self.pool.take(count) {
                Ok(slots) => return Some(slots),
                Err(missing) if self.evict(missing.min(BATCH)) == 0 => return None,
                Err(_) => {}
            }
        }
    }

    /// Lets up to `count` blocks leave; how many slots that made free.
    fn evict(&self, count: usize) -> usize {
        let mut eviction = self.eviction();
        let mut freed = 0;
        for _ in 0..count {
            let Some(slot) = eviction.victim(&Look(&self.pool)) else { break };
            let (tag, index) = label_of(&self.pool, slot);
            let (group, bit) = Group::of(tag, index);
            let removed = self.index.region(group).remove(bit);
            debug_assert_eq!(removed, Some(slot), "a queued slot is in the table");
            // A reader may have come in between: then the slot is free once he is gone.
            freed += usize::from(self.pool.unkeep(slot));
        }
        eviction.left();
        self.evictions.fetch_add(freed as u64, Ordering::Relaxed);
        freed
    }

    /// Forgets all blocks of `tag` of an object of `blocks` blocks; who reads them still has them.
    pub(crate) fn invalidate(&self, tag: ObjectTag, blocks: u64) -> u64 {
        let mut forgotten = 0;
        for group in self.groups_of(tag, blocks) {
            let mut eviction = self.eviction();
            let mut region = self.index.region(group);
            for bit in 0..GROUP as u32 {
                if let Some(slot) = region.remove(bit) {
                    eviction.remove(slot);
                    self.pool.unkeep(slot);
                    forgotten += 1;
                }
            }
        }
        forgotten
    }

    /// Calls `seen` with each set of blocks of `tag` that is in memory.
    pub(crate) fn resident(&self, tag: ObjectTag, blocks: u64, mut seen: impl FnMut(Group, u64)) {
        for group in self.groups_of(tag, blocks) {
            let set = self.look_up(group, u64::MAX, |_, _| true);
            if set != 0 {
                seen(group, set);
            }
        }
    }

    /// The groups that may hold blocks of `tag`: those of the object, or, where that is shorter, those on the
    /// labels of all slots.
    fn groups_of(&self, tag: ObjectTag, blocks: u64) -> Vec<Group> {
        if blocks.div_ceil(GROUP) <= self.capacity() as u64 {
            return Group::covering(tag, BlockIndex(0), blocks).map(|(group, _)| group).collect();
        }
        let labels = (0..self.capacity() as u32).map(|slot| label_of(&self.pool, slot));
        let mut groups: Vec<u64> =
            labels.filter(|label| label.0 == tag).map(|(_, index)| Group::of(tag, index).0.number).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.into_iter().map(|number| Group { tag, number }).collect()
    }

    fn eviction(&self) -> MutexGuard<'_, Eviction> {
        self.eviction.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bits of a set, in order.
pub(crate) fn bits(set: u64) -> impl Iterator<Item = u32> {
    bit_runs(set).flat_map(|(first, count)| first..first + count)
}

fn hash_of(group: Group, bit: u32) -> u64 {
    (group.hash() ^ u64::from(bit)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The pool as the eviction sees it.
struct Look<'a>(&'a Pool);

impl Residents for Look<'_> {
    fn standing(&self, slot: u32) -> Standing {
        self.0.standing(slot)
    }

    fn age(&self, slot: u32, uses: u32) {
        self.0.age(slot, uses);
    }

    fn hash(&self, slot: u32) -> u64 {
        let (tag, index) = label_of(self.0, slot);
        let (group, bit) = Group::of(tag, index);
        hash_of(group, bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: ObjectTag = ObjectTag(3, 4);

    #[test]
    fn bookkeeping_is_at_most_64_bytes_a_block_and_all_of_it_inside_the_cap() {
        for memory in [1 << 20, 3 << 20, 64 << 20, 512 << 20, 8u64 << 30] {
            let tier = MemoryTier::new(BlockSize::MIN, memory);
            let slots = tier.capacity() as u64;
            let overhead = tier.overhead() as u64;
            assert!(overhead <= slots * OVERHEAD + (64 << 10), "{overhead} bytes for {slots} slots");
            if slots > 10_000 {
                assert!(overhead <= slots * OVERHEAD, "{} bytes a slot", overhead as f64 / slots as f64);
            }
            assert!(slots * 4096 + overhead + FIXED / 2 <= memory);
        }
    }

    #[test]
    fn a_block_leaves_only_when_room_is_needed() {
        let tier = MemoryTier::new(BlockSize::MIN, MemoryTier::least(BlockSize::MIN));
        let capacity = tier.capacity();
        for block in 0..capacity as u64 {
            let blocks = tier.try_take(1).unwrap().freeze();
            tier.admit(TAG, BlockIndex(block), &blocks, Reason::Asked);
        }
        let mut held = 0;
        tier.resident(TAG, capacity as u64, |_, set| held += set.count_ones());
        assert_eq!((held as usize, tier.evictions()), (capacity, 0));
        let slots = tier.try_take(1).unwrap();
        assert_eq!(tier.evictions(), 1);
        drop(slots);
        assert_eq!(tier.invalidate(TAG, capacity as u64), capacity as u64 - 1);
        assert_eq!(tier.held(), 0);
    }

    #[test]
    fn blocks_that_were_used_are_proven_and_others_are_not() {
        let tier = MemoryTier::new(BlockSize::MIN, 1 << 20);
        for block in 0..50 {
            let blocks = tier.try_take(1).unwrap().freeze();
            tier.admit(TAG, BlockIndex(block), &blocks, Reason::Asked);
        }
        let (group, _) = Group::of(TAG, BlockIndex(0));
        for _ in 0..2 {
            tier.look_up(group, 0b1011, |_, slot| tier.none().push_shared(slot, true));
        }
        let proven = tier.proven(0, u32::MAX, 2, |tag, index| tag == TAG && index.0 != 1);
        assert_eq!(proven.iter().map(|(_, index, _)| index.0).collect::<Vec<_>>(), [0, 3]);
    }

    #[test]
    fn a_block_that_is_read_does_not_leave() {
        let tier = MemoryTier::new(BlockSize::MIN, 0);
        let readers: Vec<Blocks> = (0..tier.capacity() as u64)
            .map(|block| {
                let blocks = tier.try_take(1).unwrap().freeze();
                tier.admit(TAG, BlockIndex(block), &blocks, Reason::Asked);
                blocks
            })
            .collect();
        assert!(tier.try_take(1).is_none());
        drop(readers);
        assert_eq!(tier.try_take(tier.capacity()).unwrap().count(), tier.capacity());
    }
}
