//! At most one fetch a block: which blocks are being fetched, and by whom to be had.
//!
//! An entry stands for up to 64 neighbouring blocks of one fetch, so a long fetch costs few entries. Who
//! claims blocks learns under one lock which are being fetched (he follows) and which are neither that nor in
//! memory (he leads). A fetch puts its blocks into memory before it takes its entries away, so no block is
//! fetched twice in between. The table holds what is in flight and nothing else: it is bounded by the slots,
//! which every fetch has before it claims.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hashbrown::HashTable;
use rfuse_block::{BlockIndex, Extent};
use rfuse_store::Urgency;

use crate::fetch::{Fetch, Waiter};
use crate::memory::index::{Group, bit_runs};
use crate::object::ObjectTag;

/// Locks of the table.
const SHARDS: usize = 64;

/// Blocks of one group that one fetch brings.
#[derive(Debug)]
struct Flight {
    group: Group,
    set: u64,
    fetch: Arc<Fetch>,
}

/// What is being fetched.
#[derive(Debug)]
pub(crate) struct Inflight {
    shards: Box<[Mutex<HashTable<Flight>>]>,
}

impl Inflight {
    /// Nothing in flight.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() })
    }

    /// Which blocks of `set` are being fetched at this moment.
    pub(crate) fn pending(&self, group: Group, set: u64) -> u64 {
        let flights = self.shard(group);
        flights.iter_hash(group.hash()).filter(|flight| flight.group == group).fold(0, |all, flight| all | flight.set)
            & set
    }

    /// Claims the blocks of `set`: those in flight are followed, those that `find_cached` does not find are led.
    pub(crate) fn claim(
        self: &Arc<Self>,
        group: Group,
        set: u64,
        find_cached: impl FnOnce(u64) -> u64,
        claims: &mut Claims,
    ) {
        let mut flights = self.shard(group);
        let mut rest = set;
        for flight in flights.iter_hash_mut(group.hash()).filter(|flight| flight.group == group) {
            rest &= !follow(flight, rest, &mut claims.followed);
        }
        if rest == 0 {
            return;
        }
        rest &= !find_cached(rest);
        for (first, count) in bit_runs(rest) {
            let mut run = (first, count);
            while run.1 > 0 {
                let Some((fetch, taken)) = claims.lead(self, group, run) else { return };
                let set = (u64::MAX >> (64 - taken)) << run.0;
                flights.insert_unique(group.hash(), Flight { group, set, fetch }, |flight| flight.group.hash());
                run = (run.0 + taken, run.1 - taken);
            }
        }
    }

    fn settle(&self, tag: ObjectTag, extent: Extent, fetch: &Weak<Fetch>) {
        for (group, _) in Group::covering(tag, extent.first, extent.count.into()) {
            let mut flights = self.shard(group);
            while let Ok(entry) = flights.find_entry(group.hash(), |flight| {
                flight.group == group && std::ptr::eq(Arc::as_ptr(&flight.fetch), fetch.as_ptr())
            }) {
                entry.remove();
            }
        }
    }

    fn shard(&self, group: Group) -> MutexGuard<'_, HashTable<Flight>> {
        let shard = &self.shards[group.hash() as usize >> 16 & (SHARDS - 1)];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Joins `flight` for those of its blocks that are in `wanted`; which they are.
fn follow(flight: &mut Flight, wanted: u64, followed: &mut Vec<Waiter>) -> u64 {
    let mut joined = 0;
    for (first, count) in bit_runs(flight.set & wanted) {
        match flight.fetch.join(flight.group.block(first), count as usize) {
            Some(waiter) => {
                followed.push(waiter);
                joined |= (u64::MAX >> (64 - count)) << first;
            }
            None => {
                // Everybody who waited for it has gone, and it is about to take its entries away.
                flight.set = 0;
                return joined;
            }
        }
    }
    joined
}

/// What a reader got by claiming.
#[derive(Debug)]
pub(crate) struct Claims {
    /// Fetches of others.
    pub(crate) followed: Vec<Waiter>,
    /// Fetches to start, in the order of their blocks.
    pub(crate) led: Vec<Lead>,
    /// Blocks that may still be led.
    pub(crate) allowance: usize,
    /// Whether there were more blocks to lead than that.
    pub(crate) short: bool,
    /// Blocks a fetch may have.
    most: u32,
    urgency: Urgency,
}

/// A fetch this reader is to start.
#[derive(Debug)]
pub(crate) struct Lead {
    pub(crate) waiter: Waiter,
    pub(crate) claim: Claim,
}

/// The entries of a fetch in the table. Dropped, they are gone.
#[derive(Debug)]
pub(crate) struct Claim {
    inflight: Arc<Inflight>,
    tag: ObjectTag,
    pub(crate) extent: Extent,
    fetch: Weak<Fetch>,
}

impl Claims {
    /// Claims that lead at most `allowance` blocks, in fetches of at most `most`.
    pub(crate) fn new(allowance: usize, most: u32, urgency: Urgency) -> Self {
        Self { followed: Vec::new(), led: Vec::new(), allowance, short: false, most, urgency }
    }

    /// Leads the first of `run`, bit and count, in the last fetch if they are its neighbours, else in a new
    /// one; which fetch, and how many.
    fn lead(&mut self, inflight: &Arc<Inflight>, group: Group, run: (u32, u32)) -> Option<(Arc<Fetch>, u32)> {
        if self.allowance == 0 {
            self.short = true;
            return None;
        }
        let block = group.block(run.0);
        let count = run.1.min(u32::try_from(self.allowance).unwrap_or(u32::MAX));
        let taken = match self.led.last_mut() {
            Some(last) if last.claim.is_before(block) && last.claim.extent.count < self.most => {
                let taken = count.min(self.most - last.claim.extent.count);
                last.claim.extent.count += taken;
                taken
            }
            _ => {
                let taken = count.min(self.most);
                let extent = Extent { first: block, count: taken };
                self.led.push(Lead::new(inflight, group.tag, extent, self.urgency));
                taken
            }
        };
        self.allowance -= taken as usize;
        self.led.last().map(|lead| (lead.waiter.fetch().clone(), taken))
    }
}

impl Lead {
    fn new(inflight: &Arc<Inflight>, tag: ObjectTag, extent: Extent, urgency: Urgency) -> Self {
        let (fetch, waiter) = Fetch::new(extent.first, urgency);
        Self { waiter, claim: Claim { inflight: inflight.clone(), tag, extent, fetch: Arc::downgrade(&fetch) } }
    }
}

impl Claim {
    /// Whether `block` comes right after the last block of the claim.
    fn is_before(&self, block: BlockIndex) -> bool {
        self.extent.first.0 + u64::from(self.extent.count) == block.0
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.inflight.settle(self.tag, self.extent, &self.fetch);
    }
}
