//! The memory blocks live in: one anonymous mapping of slots of one block each, touched only as it is used.
//!
//! A slot is free, written by one owner ([`Slots`]), or frozen and shared by readers ([`Blocks`]) and the block
//! table. Its state word says which, and every way from one to the other goes through this file, so that what
//! is written is never shared and what is shared is never written: the only unsafe code of the room is here.
//! The mapping never grows, and memory given back stays in it. Who leaves when all slots are taken is not
//! decided here.

#![expect(unsafe_code, reason = "one mapping, handed out as slices whose sharing the state words count")]

use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rfuse_block::BlockSize;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use smallvec::SmallVec;
use zerocopy::{FromZeros, KnownLayout};

use crate::memory::free::{FreeSlots, Run, Runs, push_run};
use crate::memory::line::Line;

/// Readers of a slot, in the low bits of its state.
const READERS: u32 = (1 << 24) - 1;
/// One use, of up to three that are remembered.
const USE: u32 = 1 << 24;
const USES: u32 = 3 << 24;
/// The block table holds the slot.
const RESIDENT: u32 = 1 << 26;

/// What is known of a slot: 32 bytes, half a cache line.
#[derive(Debug, FromZeros, KnownLayout)]
#[repr(C)]
pub(crate) struct Slot {
    /// What the block table wrote on the slot: which block it holds, and its neighbour in the table. Means
    /// nothing to the pool.
    pub(crate) tag: [AtomicU64; 2],
    pub(crate) index: AtomicU64,
    pub(crate) next: AtomicU32,
    state: AtomicU32,
}

/// Whether a slot of the block table could be freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Somebody reads it: giving it up would free nothing.
    Busy,
    /// Nobody reads it; it was used so often, as far as remembered: three times at most.
    Idle(u32),
}

/// All the memory for blocks.
pub(crate) struct Pool {
    memory: Mapping,
    block_size: BlockSize,
    slots: Box<[Slot]>,
    free: Mutex<FreeSlots>,
    line: Line,
}

#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is plain memory owned by this value; access to it is governed by `Pool`.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared `Mapping` gives out no reference by itself.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(length: usize) -> std::io::Result<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe {
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, flags)
        }?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(rustix::io::Errno::NOMEM)?;
        for advice in [Advice::LinuxHugepage, Advice::LinuxDontDump] {
            // SAFETY: the advice is about this fresh mapping only and changes no contents; a kernel that does
            // not know it is as good.
            let _ = unsafe { rustix::mm::madvise(start.as_ptr().cast(), length, advice) };
        }
        Ok(Self { start, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever holds a slice of it holds the pool and so this value.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

impl Pool {
    /// A pool of `slots` slots (at least one, fewer than 2^31) of `block_size`.
    ///
    /// # Panics
    /// If the kernel gives no address space for it.
    pub(crate) fn new(block_size: BlockSize, slots: u32) -> Arc<Self> {
        let length = usize::try_from(u64::from(slots) * block_size.bytes()).expect("a pool fits the address space");
        let memory = Mapping::new(length).expect("the kernel maps memory lazily, so only address space can run out");
        Arc::new(Self {
            memory,
            block_size,
            slots: <[Slot]>::new_box_zeroed_with_elems(slots as usize).expect("the table of slots fits in memory"),
            free: Mutex::new(FreeSlots::full(slots)),
            line: Line::new(),
        })
    }

    /// Slots in all.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Slots nobody holds.
    pub(crate) fn free_count(&self) -> usize {
        self.free().count()
    }

    /// Bytes of bookkeeping.
    pub(crate) fn overhead(&self) -> usize {
        self.slots.len() * size_of::<Slot>() + self.free().overhead()
    }

    /// What is known of `slot`.
    pub(crate) fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    /// Those who wait for slots.
    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    /// Takes `count` free slots, or says how many are missing.
    pub(crate) fn take(self: &Arc<Self>, count: usize) -> Result<Slots, usize> {
        let mut free = self.free();
        let free_count = free.count();
        let runs = free.take(count).ok_or(count - free_count.min(count))?;
        drop(free);
        Ok(Slots { blocks: Blocks { pool: self.clone(), runs } })
    }

    /// The block table holds `slot` from now on, if it is frozen and somebody still reads it.
    pub(crate) fn keep(&self, slot: u32) {
        // A slot without readers is free or being written: it stays as it is.
        let _ = self.slots[slot as usize].state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| {
            (now & READERS > 0).then_some((now | RESIDENT) & !USES)
        });
    }

    /// The block table lets go of `slot`: whether that made it free.
    pub(crate) fn unkeep(&self, slot: u32) -> bool {
        let before = self.slots[slot as usize].state.fetch_and(!RESIDENT, Ordering::SeqCst);
        let freed = before & RESIDENT != 0 && before & READERS == 0;
        if freed {
            self.give_back([slot]);
        }
        freed
    }

    /// How `slot` stands.
    pub(crate) fn standing(&self, slot: u32) -> Standing {
        let now = self.slots[slot as usize].state.load(Ordering::SeqCst);
        if now & READERS > 0 {
            return Standing::Busy;
        }
        Standing::Idle((now & USES) / USE)
    }

    /// How often `slot` was used, as far as remembered; nought if the block table does not hold it.
    pub(crate) fn uses(&self, slot: u32) -> u32 {
        let now = self.slots[slot as usize].state.load(Ordering::Relaxed);
        if now & RESIDENT == 0 { 0 } else { (now & USES) / USE }
    }

    /// Forgets `uses` uses of `slot`.
    pub(crate) fn age(&self, slot: u32, uses: u32) {
        let _ = self.slots[slot as usize].state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            Some((now & !USES) | (((now & USES) / USE).saturating_sub(uses) * USE))
        });
    }

    /// Adds a reader to a slot the block table holds: whether it does.
    fn share(&self, slot: u32, is_use: bool) -> bool {
        let add = if is_use { USE } else { 0 };
        let state = &self.slots[slot as usize].state;
        state
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, |now| {
                let shareable = now & RESIDENT != 0 && now & READERS < READERS;
                shareable.then(|| now + 1 + if now & USES == USES { 0 } else { add })
            })
            .is_ok()
    }

    /// Takes one reader away from a slot that has one: whether the slot is free now.
    fn unshare(&self, slot: u32) -> bool {
        let before = self.slots[slot as usize].state.fetch_sub(1, Ordering::SeqCst);
        if before & READERS == 1 && before & RESIDENT != 0 {
            self.line.changed();
        }
        before & READERS == 1 && before & RESIDENT == 0
    }

    /// Makes slots free that nobody holds any more.
    fn give_back(&self, slots: impl IntoIterator<Item = u32>) {
        let mut free = self.free();
        for slot in slots {
            self.slots[slot as usize].state.store(0, Ordering::Relaxed);
            free.insert(slot);
        }
        drop(free);
        self.line.changed();
    }

    fn free(&self) -> MutexGuard<'_, FreeSlots> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self, run: Run) -> (*mut u8, usize) {
        let bytes = self.block_size.bytes() as usize;
        assert!(run.first as usize + run.count as usize <= self.slots.len(), "a run lies inside the pool");
        // SAFETY: the run lies inside the mapping, which is as long as all slots together.
        (unsafe { self.memory.start.as_ptr().add(run.first as usize * bytes) }, run.count as usize * bytes)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} of {} blocks of {} free)", self.free_count(), self.capacity(), self.block_size)
    }
}

/// Slots of one owner, to be written and then frozen. Dropped, they are free again.
#[derive(Debug)]
pub(crate) struct Slots {
    /// Not shared yet: the state of each slot is zero.
    blocks: Blocks,
}

impl Slots {
    /// How many slots.
    pub(crate) fn count(&self) -> usize {
        self.blocks.count()
    }

    /// The first `count` slots; the others stay.
    pub(crate) fn split_front(&mut self, count: usize) -> Self {
        let (front, back) = split_runs(&self.blocks.runs, count);
        self.blocks.runs = back;
        Self { blocks: Blocks { pool: self.blocks.pool.clone(), runs: front } }
    }

    /// The memory of the slots in order, cut to `length` bytes.
    pub(crate) fn buffers(&mut self, length: usize) -> SmallVec<[&mut [u8]; 2]> {
        let mut missing = length;
        let mut buffers = SmallVec::new();
        for &run in &self.blocks.runs {
            let (start, bytes) = self.blocks.pool.address(run);
            // SAFETY: these slots were taken from the free set, so nobody else has them; `self` is borrowed for
            // as long as the slice lives, and runs never overlap.
            let buffer = unsafe { std::slice::from_raw_parts_mut(start, bytes.min(missing)) };
            missing -= buffer.len();
            buffers.push(buffer);
        }
        buffers
    }

    /// The memory of `count` of the slots from the one at `first` on, whole.
    pub(crate) fn part(&mut self, first: usize, count: usize) -> SmallVec<[&mut [u8]; 2]> {
        let (_, rest) = split_runs(&self.blocks.runs, first);
        let (runs, _) = split_runs(&rest, count);
        let slice = |&run: &Run| {
            let (start, bytes) = self.blocks.pool.address(run);
            // SAFETY: as in `buffers`.
            unsafe { std::slice::from_raw_parts_mut(start, bytes) }
        };
        runs.iter().map(slice).collect()
    }

    /// Writes noughts behind the first `length` bytes of the `count` slots from the one at `first` on: what was
    /// there before belongs to somebody else.
    pub(crate) fn clear_after(&mut self, first: usize, count: usize, length: usize) {
        let mut skip = length;
        for buffer in self.part(first, count) {
            let from = skip.min(buffer.len());
            skip -= from;
            buffer[from..].fill(0);
        }
    }

    /// The slots as blocks, which nobody can write any more.
    pub(crate) fn freeze(mut self) -> Blocks {
        let runs = std::mem::take(&mut self.blocks.runs);
        let frozen = Blocks { pool: self.blocks.pool.clone(), runs };
        for slot in frozen.slots() {
            frozen.pool.slots[slot as usize].state.store(1, Ordering::SeqCst);
        }
        frozen
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let runs = std::mem::take(&mut self.blocks.runs);
        if !runs.is_empty() {
            self.blocks.pool.give_back(slots_of(&runs));
        }
    }
}

/// Frozen blocks in order; as long as this lives their bytes stay where they are.
pub(crate) struct Blocks {
    pool: Arc<Pool>,
    runs: Runs,
}

impl Blocks {
    /// No block yet.
    pub(crate) fn none(pool: &Arc<Pool>) -> Self {
        Self { pool: pool.clone(), runs: Runs::new() }
    }

    /// All of them, so that none are left here.
    pub(crate) fn take(&mut self) -> Self {
        Self { pool: self.pool.clone(), runs: std::mem::take(&mut self.runs) }
    }

    /// How many blocks.
    pub(crate) fn count(&self) -> usize {
        self.runs.iter().map(|run| run.count as usize).sum()
    }

    /// The slots they lie in, in order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        slots_of(&self.runs)
    }

    /// Appends the block in `slot`, if the block table holds it.
    pub(crate) fn push_shared(&mut self, slot: u32, is_use: bool) -> bool {
        let shared = self.pool.share(slot, is_use);
        if shared {
            push_run(&mut self.runs, Run { first: slot, count: 1 });
        }
        shared
    }

    /// Counts a use of each block that has none yet.
    pub(crate) fn touch(&self) {
        for slot in self.slots() {
            let state = &self.pool.slots[slot as usize].state;
            let _ =
                state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now & USES == 0).then_some(now + USE));
        }
    }

    /// Appends the blocks of `other`, of the same pool.
    pub(crate) fn append(&mut self, mut other: Self) {
        assert!(Arc::ptr_eq(&self.pool, &other.pool), "blocks of one pool stay together");
        for run in std::mem::take(&mut other.runs) {
            push_run(&mut self.runs, run);
        }
    }

    /// `count` of the blocks, from the one at `first` on, for one more reader.
    pub(crate) fn part(&self, first: usize, count: usize) -> Self {
        let (_, rest) = split_runs(&self.runs, first);
        let (runs, _) = split_runs(&rest, count);
        for slot in slots_of(&runs) {
            self.pool.slots[slot as usize].state.fetch_add(1, Ordering::Relaxed);
        }
        Self { pool: self.pool.clone(), runs }
    }

    /// Pieces of memory that hold the `length` bytes from byte `start` of the first block on.
    pub(crate) fn pieces(&self, start: usize, length: usize) -> impl Iterator<Item = &[u8]> {
        let mut skip = start;
        let mut missing = length;
        self.runs.iter().filter_map(move |&run| {
            let (address, bytes) = self.pool.address(run);
            let from = skip.min(bytes);
            let count = (bytes - from).min(missing);
            skip -= from;
            missing -= count;
            // SAFETY: these slots were frozen when this value counted itself among their readers, nobody writes
            // a slot that has readers, and `self` is borrowed for as long as the slice lives.
            (count > 0).then(|| unsafe { std::slice::from_raw_parts(address.add(from), count) })
        })
    }
}

impl Clone for Blocks {
    fn clone(&self) -> Self {
        self.part(0, self.count())
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        let pool = &self.pool;
        let freed: SmallVec<[u32; 8]> = slots_of(&self.runs).filter(|&slot| pool.unshare(slot)).collect();
        if !freed.is_empty() {
            pool.give_back(freed);
        }
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.runs).finish()
    }
}

fn slots_of(runs: &[Run]) -> impl Iterator<Item = u32> {
    runs.iter().flat_map(|run| run.first..run.first + run.count)
}

/// The first `count` slots of `runs`, and the others.
fn split_runs(runs: &[Run], count: usize) -> (Runs, Runs) {
    let mut missing = count as u32;
    let (mut front, mut back) = (Runs::new(), Runs::new());
    for run in runs {
        let taken = run.count.min(missing);
        missing -= taken;
        if taken > 0 {
            front.push(Run { first: run.first, count: taken });
        }
        if taken < run.count {
            back.push(Run { first: run.first + taken, count: run.count - taken });
        }
    }
    assert_eq!(missing, 0, "no more slots than there are");
    (front, back)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_once_both_its_readers_and_the_table_let_go() {
        for table_first in [true, false] {
            let pool = Pool::new(BlockSize::MIN, 4);
            let blocks = pool.take(1).unwrap().freeze();
            let slot = blocks.slots().next().unwrap();
            pool.keep(slot);
            let second = blocks.clone();
            assert_eq!(pool.standing(slot), Standing::Busy);
            if table_first {
                assert!(!pool.unkeep(slot));
            }
            drop(blocks);
            assert_eq!(pool.free_count(), 3);
            drop(second);
            if !table_first {
                assert_eq!(pool.standing(slot), Standing::Idle(0));
                assert!(pool.unkeep(slot));
            }
            assert_eq!(pool.free_count(), 4);
            assert!(!Blocks::none(&pool).push_shared(slot, true), "what is free is not shared");
            assert!(!pool.unkeep(slot), "what is free is not freed again");
        }
    }

    #[test]
    fn what_lands_in_slots_is_read_from_blocks_whole_and_in_parts() {
        let pool = Pool::new(BlockSize::MIN, 8);
        let mut apart: Vec<Slots> = (0..8).map(|_| pool.take(1).unwrap()).collect();
        // Free every other slot, so that what is taken next lies in pieces.
        let mut index = 0;
        apart.retain(|_| {
            index += 1;
            index % 2 == 0
        });
        let mut slots = pool.take(4).unwrap();
        let tail = slots.split_front(1);
        drop(tail);
        let lengths: Vec<usize> = slots.part(1, 2).iter().map(|buffer| buffer.len()).collect();
        assert_eq!(lengths.iter().sum::<usize>(), 2 * 4096);
        let second = slots.part(1, 1)[0].as_ptr();
        assert!(slots.part(0, 2).iter().flat_map(|buffer| buffer.chunks(4096)).nth(1).unwrap().as_ptr() == second);
        for (number, buffer) in slots.buffers(2 * 4096 + 10).into_iter().enumerate() {
            buffer.fill(number as u8 + 1);
        }
        slots.part(2, 1)[0].fill(3);
        slots.clear_after(2, 1, 100);
        assert_eq!(slots.part(2, 1)[0][98..102], [3, 3, 0, 0]);
        slots.part(2, 1)[0].fill(3);
        let blocks = slots.freeze();
        let lengths: Vec<(u8, usize)> = blocks.pieces(4000, 5000).map(|piece| (piece[0], piece.len())).collect();
        assert_eq!(lengths, [(1, 96), (2, 4096), (3, 808)]);
        let part = blocks.part(1, 1);
        drop(blocks);
        assert_eq!(part.pieces(0, 4096).next().unwrap(), [2; 4096]);
        assert_eq!(pool.free_count(), 3);
    }
}
