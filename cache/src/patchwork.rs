//! A miss of which some blocks are on disk: those come from there, the others from the store, at once.
//!
//! The memory slots of the extent are cut into patches, each filled from one place. A patch from the disk that
//! cannot be had, wholly or in part, is fetched from the store after all.

use futures_util::future::try_join_all;
use rfuse_block::{BlockIndex, Extent};
use rfuse_store::Urgency;
use smallvec::SmallVec;

use crate::CacheError;
use crate::block_cache::Shared;
use crate::disk::{DiskAnswer, DiskRead, DiskTier, Hit};
use crate::fill::get_all;
use crate::memory::pool::{Blocks, Slots};
use crate::object::PinnedObject;

/// GETs that one extent costs at most because some of its blocks are on disk: beyond that, blocks between two
/// runs of missing ones are fetched along, however many they are.
const GETS_MOST: usize = 8;
/// Calls that one thread makes for one patch at most, and bytes it reads.
const CALLS_MOST: usize = 8;
const BYTES_MOST: u64 = 1 << 20;

/// Neighbouring blocks, counted from the first of the extent, and where they are to come from.
#[derive(Debug)]
struct Patch {
    from: u32,
    count: u32,
    /// One for each block; empty for the store.
    hits: Vec<Hit>,
}

/// Which blocks of an extent came from the store, counted from its first.
pub(crate) type Fetched = SmallVec<[(u32, u32); 2]>;

/// Everything a patch needs.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) disk: &'a DiskTier,
    pub(crate) object: &'a PinnedObject,
    pub(crate) extent: Extent,
    pub(crate) urgency: Urgency,
}

/// Brings the blocks of the extent, `hits` of which have a place on disk, into `slots`.
///
/// # Errors
/// What the store said of those it was asked for.
pub(crate) async fn bring(
    ground: Ground<'_>,
    hits: Vec<Hit>,
    mut slots: Slots,
) -> Result<(Blocks, Fetched), CacheError> {
    let patches = cut(hits, ground.extent.count, ground.shared.block_size.bytes());
    let mut bring = |patch: Patch| {
        let slots = slots.split_front(patch.count as usize);
        ground.bring(patch, slots)
    };
    let brought = match <[Patch; 1]>::try_from(patches) {
        Ok([patch]) => vec![bring(patch).await?],
        Err(patches) => try_join_all(patches.into_iter().map(bring).collect::<Vec<_>>()).await?,
    };
    let mut blocks = ground.shared.memory.none();
    let mut fetched = Fetched::new();
    for (slots, runs) in brought {
        blocks.append(slots.freeze());
        fetched.extend(runs);
    }
    let missed = fetched.iter().map(|&(_, count)| u64::from(count)).sum();
    ground.disk.count(u64::from(ground.extent.count) - missed, missed);
    Ok((blocks, fetched))
}

impl Ground<'_> {
    async fn bring(self, patch: Patch, slots: Slots) -> Result<(Slots, Fetched), CacheError> {
        let Patch { from, count, hits } = patch;
        if hits.is_empty() {
            return self.fetch(slots, from, SmallVec::from_buf([(0, count), (0, 0)])).await;
        }
        let first = BlockIndex(self.extent.first.0 + u64::from(from));
        let answer = self.disk.read(DiskRead { tag: self.object.tag, first, slots, hits }).await;
        match answer {
            DiskAnswer::Read(slots, failed) => self.fetch(slots, from, runs(&failed)).await,
            DiskAnswer::Refused(slots) => self.fetch(slots, from, SmallVec::from_buf([(0, count), (0, 0)])).await,
            DiskAnswer::Hangs => {
                // Its slots come back when the disk does. Waiting for others while holding some could last for ever.
                let slots = self.shared.memory.try_take(count as usize).ok_or_else(CacheError::no_memory)?;
                self.fetch(slots, from, SmallVec::from_buf([(0, count), (0, 0)])).await
            }
        }
    }

    /// Fetches `runs` of the blocks that belong into `slots`, which begin `from` blocks into the extent.
    async fn fetch(self, mut slots: Slots, from: u32, runs: Fetched) -> Result<(Slots, Fetched), CacheError> {
        let mut fetched = Fetched::new();
        for (first, count) in runs.into_iter().filter(|&(_, count)| count > 0) {
            let part = Extent { first: BlockIndex(self.extent.first.0 + u64::from(from + first)), count };
            let range = self.object.range_of(part, self.shared.block_size);
            let mut missing = range.length() as usize;
            let mut buffers = slots.part(first as usize, count as usize);
            for buffer in &mut buffers {
                let whole = std::mem::take(buffer);
                let length = whole.len().min(missing);
                *buffer = &mut whole[..length];
                missing -= length;
            }
            get_all(self.shared, self.object, range, self.urgency, buffers).await?;
            slots.clear_after(first as usize, count as usize, range.length() as usize);
            fetched.push((from + first, count));
        }
        Ok((slots, fetched))
    }
}

/// Ascending numbers as runs.
fn runs(numbers: &[u32]) -> Fetched {
    let mut runs = Fetched::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == number => *count += 1,
            _ => runs.push((number, 1)),
        }
    }
    runs
}

/// Cuts an extent of `count` blocks into patches.
fn cut(hits: Vec<Hit>, count: u32, block: u64) -> Vec<Patch> {
    let mut missing = Fetched::new();
    let mut next = 0;
    for hit in &hits {
        if hit.at > next {
            missing.push((next, hit.at - next));
        }
        next = hit.at + 1;
    }
    if next < count {
        missing.push((next, count - next));
    }
    close_gaps(&mut missing);
    let mut patches: Vec<Patch> =
        missing.into_iter().map(|(from, count)| Patch { from, count, hits: vec![] }).collect();
    let mut store =
        patches.iter().map(|patch| (patch.from, patch.from + patch.count)).collect::<Vec<_>>().into_iter().peekable();
    let mut calls = 0;
    for hit in hits {
        while store.next_if(|&(_, end)| end <= hit.at).is_some() {}
        if store.peek().is_some_and(|&(from, _)| from <= hit.at) {
            continue;
        }
        let last = patches.last_mut().filter(|last| last.from + last.count == hit.at && !last.hits.is_empty());
        match last {
            Some(last) if u64::from(last.count) * block < BYTES_MOST => {
                let call = u32::from(!last.hits.last().is_some_and(|before| before.is_before(&hit)));
                if calls + call as usize <= CALLS_MOST {
                    calls += call as usize;
                    last.count += 1;
                    last.hits.push(hit);
                    continue;
                }
                calls = 1;
                patches.push(Patch { from: hit.at, count: 1, hits: vec![hit] });
            }
            _ => {
                calls = 1;
                patches.push(Patch { from: hit.at, count: 1, hits: vec![hit] });
            }
        }
    }
    patches.sort_unstable_by_key(|patch| patch.from);
    patches
}

/// Joins runs of missing blocks over the smallest gaps until there are few enough.
fn close_gaps(missing: &mut Fetched) {
    while missing.len() > GETS_MOST {
        let gap = |i: usize| missing[i + 1].0 - (missing[i].0 + missing[i].1);
        let Some(smallest) = (0..missing.len() - 1).min_by_key(|&i| gap(i)) else { return };
        let (from, count) = missing.remove(smallest + 1);
        let (first, _) = missing[smallest];
        missing[smallest] = (first, from + count - first);
    }
}
