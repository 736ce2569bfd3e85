//! One read on its way: what was in memory, and whom it waits for.
//!
//! Nobody waits for memory while he holds any: a read that finds too few free slots lets go of everything it
//! has, waits in line for as many slots as it has blocks, and starts again with those in hand. A fetch has all
//! its slots before anybody can follow it. So whatever is waited for is always on its way, however small the
//! memory is.

use std::sync::Arc;

use futures_util::future::try_join_all;
use rfuse_block::{BlockIndex, BlockSize, ByteRange};
use rfuse_store::Urgency;
use smallvec::SmallVec;

use crate::block_cache::Shared;
use crate::fetch::Waiter;
use crate::fill::Fill;
use crate::inflight::{Claims, Lead};
use crate::memory::budget::AheadLease;
use crate::memory::index::Group;
use crate::memory::pool::{Blocks, Slots};
use crate::metrics::count;
use crate::object::{ObjectTag, PinnedObject};
use crate::{CacheError, Slices};

/// The blocks of a read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) tag: ObjectTag,
    pub(crate) first: BlockIndex,
    pub(crate) count: usize,
    /// Where in the first block the read starts.
    start: usize,
    length: usize,
}

impl Wanted {
    /// The blocks of `range`, which is not empty.
    pub(crate) fn new(tag: ObjectTag, range: ByteRange, size: BlockSize) -> Self {
        let (first, last) = (size.block_of(range.start()), size.block_of(range.end() - 1));
        Self {
            tag,
            first,
            count: (last.0 - first.0 + 1) as usize,
            start: (range.start() % size.bytes()) as usize,
            length: range.length() as usize,
        }
    }

    fn groups(&self) -> impl Iterator<Item = (Group, u64)> + use<> {
        Group::covering(self.tag, self.first, self.count as u64)
    }

    /// Whether reading counts as a use of `block`: once a pass, so that a block read in small pieces is not
    /// taken for one that is read often.
    fn is_use(&self, block: BlockIndex) -> bool {
        self.start == 0 || block != self.first
    }

    fn answer(&self, blocks: Blocks) -> Slices {
        debug_assert_eq!(blocks.count(), self.count);
        Slices::of_blocks(blocks, self.start, self.length)
    }
}

/// All of `wanted`, if it is in memory.
pub(crate) fn try_gather(shared: &Shared, wanted: &Wanted) -> Option<Slices> {
    let mut blocks = shared.memory.none();
    for (group, set) in wanted.groups() {
        let take = |bit, slot| blocks.push_shared(slot, wanted.is_use(group.block(bit)));
        if shared.memory.look_up(group, set, take) != set {
            return None;
        }
    }
    let counters = shared.metrics.mine();
    count(&counters.hits, wanted.count as u64);
    count(&counters.delivered, wanted.length as u64);
    Some(wanted.answer(blocks))
}

/// Neighbouring blocks of a read, by the first of them.
type Part = (BlockIndex, Blocks);

/// What a read has and what it waits for; together all its blocks.
pub(crate) struct Gather {
    wanted: Wanted,
    parts: SmallVec<[Part; 2]>,
    waiters: Vec<Waiter>,
}

/// There was too little memory to start.
pub(crate) struct Short;

impl Gather {
    /// Starts the read with `slots` for what it has to fetch, or with what can be had without waiting.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        object: &PinnedObject,
        wanted: Wanted,
        slots: Option<Slots>,
    ) -> Result<Self, Short> {
        let mut parts = SmallVec::new();
        let mut missing: SmallVec<[(Group, u64); 2]> = SmallVec::new();
        let mut to_lead = 0;
        for (group, set) in wanted.groups() {
            let rest = set & !share(shared, &wanted, group, set, &mut parts);
            if rest != 0 {
                to_lead += (rest & !shared.inflight.pending(group, rest)).count_ones() as usize;
                missing.push((group, rest));
            }
        }
        let slots = match slots {
            Some(slots) => slots,
            None => shared.memory.try_take(to_lead).ok_or(Short)?,
        };
        let mut claims = Claims::new(slots.count(), shared.extent_most, Urgency::Demand);
        for (group, set) in missing {
            let find_cached = |rest| share(shared, &wanted, group, rest, &mut parts);
            shared.inflight.claim(group, set, find_cached, &mut claims);
        }
        let counters = shared.metrics.mine();
        count(&counters.hits, parts.iter().map(|(_, blocks)| blocks.count() as u64).sum());
        count(&counters.followed, claims.followed.iter().map(|waiter| waiter.count() as u64).sum());
        let is_short = claims.short;
        let mut waiters = claims.followed;
        // Also when short: others may already follow what is led here, and one of them will carry on.
        waiters.extend(start_fills(shared, object, claims.led, slots, Urgency::Demand, None));
        if is_short { Err(Short) } else { Ok(Self { wanted, parts, waiters }) }
    }

    /// Waits for what is missing.
    pub(crate) async fn finish(mut self, shared: &Shared) -> Result<Slices, CacheError> {
        if self.waiters.len() == 1 {
            for waiter in self.waiters.drain(..) {
                self.parts.push(arrive(waiter).await?);
            }
        } else {
            self.parts.extend(try_join_all(self.waiters.drain(..).map(arrive)).await?);
        }
        self.parts.sort_unstable_by_key(|(first, _)| *first);
        let mut blocks = shared.memory.none();
        for (_, part) in self.parts {
            blocks.append(part);
        }
        count(&shared.metrics.mine().delivered, self.wanted.length as u64);
        Ok(self.wanted.answer(blocks))
    }
}

async fn arrive(waiter: Waiter) -> Result<Part, CacheError> {
    let (first, is_ahead) = (waiter.first(), waiter.fetch().is_ahead());
    let blocks = waiter.await?;
    if is_ahead {
        // What is fetched ahead counts as unread until somebody has it.
        blocks.touch();
    }
    Ok((first, blocks))
}

/// Adds the blocks of `set` that are in memory to `parts`; which they are.
fn share(shared: &Shared, wanted: &Wanted, group: Group, set: u64, parts: &mut SmallVec<[Part; 2]>) -> u64 {
    shared.memory.look_up(group, set, |bit, slot| {
        let block = group.block(bit);
        let is_use = wanted.is_use(block);
        if let Some((first, blocks)) = parts.last_mut()
            && first.0 + blocks.count() as u64 == block.0
        {
            return blocks.push_shared(slot, is_use);
        }
        let mut blocks = shared.memory.none();
        let shared = blocks.push_shared(slot, is_use);
        if shared {
            parts.push((block, blocks));
        }
        shared
    })
}

/// Starts the fetches of `led`, each with its part of `slots`; who waits for them.
pub(crate) fn start_fills(
    shared: &Arc<Shared>,
    object: &PinnedObject,
    led: Vec<Lead>,
    mut slots: Slots,
    urgency: Urgency,
    mut lease: Option<AheadLease>,
) -> impl Iterator<Item = Waiter> {
    led.into_iter().map(move |Lead { mut waiter, claim }| {
        let blocks = claim.extent.count;
        waiter.wants(blocks as usize);
        let counters = shared.metrics.mine();
        count(if urgency == Urgency::Demand { &counters.misses } else { &counters.ahead }, blocks.into());
        let bytes = u64::from(blocks) * shared.block_size.bytes();
        let fill = Fill {
            shared: shared.clone(),
            object: object.clone(),
            claim,
            slots: slots.split_front(blocks as usize),
            urgency,
            lease: lease.as_mut().map(|lease| lease.split(bytes)),
        };
        waiter.fetch().start(fill.run());
        waiter
    })
}
