//! Fetching what nobody waits for yet.
//!
//! The caller decides what and how much; here it is only kept within bounds: a budget of bytes on their way,
//! and memory that can be had without making anybody wait. Whoever comes to need such a block while it is on
//! its way follows the fetch, and carries on with it if its owner gives it up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{TryJoinAll, try_join_all};
use rfuse_store::Urgency;
use smallvec::SmallVec;

use crate::CacheError;
use crate::block_cache::Shared;
use crate::fetch::Waiter;
use crate::gather::{Wanted, start_fills};
use crate::inflight::Claims;
use crate::memory::index::Group;
use crate::metrics::count;
use crate::object::PinnedObject;

/// What came of asking for blocks ahead of their reader.
#[derive(Debug)]
#[must_use]
pub enum Ahead {
    /// All of it is in memory or on its way already.
    Present,
    /// The budget or the memory is out: ask for less, later.
    Refused,
    /// On its way for as long as this is polled.
    Fetching(AheadFetch),
}

/// A fetch nobody waits for: a future to be spawned. Dropped, it is given up, but for what somebody has come
/// to wait for.
pub struct AheadFetch {
    waiters: TryJoinAll<Waiter>,
}

impl Future for AheadFetch {
    type Output = Result<(), CacheError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.waiters).poll(context).map_ok(|_| ())
    }
}

impl std::fmt::Debug for AheadFetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AheadFetch")
    }
}

/// Starts what is missing of `wanted`.
pub(crate) fn start(shared: &Arc<Shared>, object: &PinnedObject, wanted: Wanted) -> Ahead {
    let mut missing: SmallVec<[(Group, u64); 2]> = SmallVec::new();
    for (group, set) in Group::covering(wanted.tag, wanted.first, wanted.count as u64) {
        let rest = set & !shared.memory.look_up(group, set, |_, _| true);
        let rest = rest & !shared.inflight.pending(group, rest);
        if rest != 0 {
            missing.push((group, rest));
        }
    }
    let blocks = missing.iter().map(|(_, set)| set.count_ones() as usize).sum::<usize>();
    if blocks == 0 {
        return Ahead::Present;
    }
    let lease = shared.budget.lease(blocks as u64 * shared.block_size.bytes());
    let Some((lease, slots)) = lease.and_then(|lease| Some((lease, shared.memory.try_take(blocks)?))) else {
        count(&shared.metrics.mine().refused, 1);
        return Ahead::Refused;
    };
    let mut claims = Claims::new(blocks, shared.extent_most, Urgency::Ahead);
    for (group, set) in missing {
        shared.inflight.claim(group, set, |rest| shared.memory.look_up(group, rest, |_, _| true), &mut claims);
    }
    // Those who were followed have readers of their own, or their own owner.
    let waiters: Vec<Waiter> = start_fills(shared, object, claims.led, slots, Urgency::Ahead, Some(lease)).collect();
    if waiters.is_empty() { Ahead::Present } else { Ahead::Fetching(AheadFetch { waiters: try_join_all(waiters) }) }
}
