//! One miss, start to end: the missing neighbours of a read brought into the slots that keep them, by one GET
//! or from the disk.
//!
//! A fill has its slots before it starts, so it never waits for memory and always ends: with all its blocks in
//! memory, with the store's error, or dropped half-way, when its slots are free again. Blocks larger than one
//! GET should be are fetched by several at once.

use std::sync::Arc;

use futures_util::future::try_join_all;
use rfuse_block::{BlockIndex, ByteRange};
use rfuse_store::{Get, Landing, Operation, StoreError, StoreErrorKind, Urgency};
use smallvec::SmallVec;

use crate::CacheError;
use crate::block_cache::Shared;
use crate::door;
use crate::fetch::Outcome;
use crate::inflight::Claim;
use crate::memory::budget::AheadLease;
use crate::memory::eviction::Reason;
use crate::memory::pool::Slots;
use crate::metrics::{Metrics, count};
use crate::object::PinnedObject;
use crate::patchwork::{self, Fetched, Ground};

/// Everything one miss needs.
pub(crate) struct Fill {
    pub(crate) shared: Arc<Shared>,
    pub(crate) object: PinnedObject,
    pub(crate) claim: Claim,
    pub(crate) slots: Slots,
    pub(crate) urgency: Urgency,
    /// The budget this takes up, when nobody waits for it yet.
    pub(crate) lease: Option<AheadLease>,
}

impl Fill {
    /// Brings the blocks, remembers them and takes them off the table of fetches.
    pub(crate) async fn run(self) -> Outcome {
        let Self { shared, object, claim, slots, urgency, lease } = self;
        let extent = claim.extent;
        let hits = shared.disk.as_ref().map(|disk| (disk, disk.find(&object, extent)));
        let (blocks, fetched) = match hits {
            Some((disk, hits)) if !hits.is_empty() => {
                let ground = Ground { shared: &shared, disk, object: &object, extent, urgency };
                Box::pin(patchwork::bring(ground, hits, slots)).await?
            }
            _ => {
                let mut slots = slots;
                let range = object.range_of(extent, shared.block_size);
                let buffers = slots.buffers(range.length() as usize);
                get_all(&shared, &object, range, urgency, buffers).await?;
                slots.clear_after(0, extent.count as usize, range.length() as usize);
                (slots.freeze(), Fetched::from_slice(&[(0, extent.count)]))
            }
        };
        let reason = if urgency == Urgency::Ahead { Reason::Ahead } else { Reason::Asked };
        shared.memory.admit(object.tag, extent.first, &blocks, reason);
        // Only now: whoever does not find the blocks in flight any more must find them in memory.
        drop(claim);
        drop(lease);
        if let Some(disk) = &shared.disk {
            for (from, count) in fetched {
                let first = BlockIndex(extent.first.0 + u64::from(from));
                disk.offer_fetched(&object, first, &blocks.part(from as usize, count as usize));
            }
        }
        Ok(blocks)
    }
}

/// Memory to land in, in order.
pub(crate) type Buffers<'a> = SmallVec<[&'a mut [u8]; 2]>;

/// The pinned version's `range` into `buffers`, by one GET or, if it is longer than one should be, several.
pub(crate) async fn get_all(
    shared: &Shared,
    object: &PinnedObject,
    range: ByteRange,
    urgency: Urgency,
    buffers: Buffers<'_>,
) -> Result<(), CacheError> {
    if range.length() <= shared.fetch_max {
        return get(shared, object, range, urgency, buffers).await;
    }
    let parts = split(range, buffers, shared.fetch_max).into_iter();
    try_join_all(parts.map(|(range, buffers)| get(shared, object, range, urgency, buffers))).await?;
    Ok(())
}

/// One ranged GET of the pinned version into `buffers`.
async fn get(
    shared: &Shared,
    object: &PinnedObject,
    range: ByteRange,
    urgency: Urgency,
    buffers: Buffers<'_>,
) -> Result<(), CacheError> {
    door::leave().await;
    let given_up = GivenUp(Some(&shared.metrics));
    count(&shared.metrics.mine().fetches, 1);
    let mut landing = Landing::many(buffers);
    let get = Get { key: &object.id.key, version: Some(&object.id.version), range, urgency };
    let fetched = shared.store.get(get, &mut landing).await;
    count(&shared.metrics.mine().fetched, landing.filled());
    let fetched = fetched.map_err(Arc::new)?;
    let wrong = |kind, message: &str| {
        let error = StoreError::new(kind, Operation::Get, message).about(&object.id.key);
        Err(CacheError::Store(Arc::new(error)))
    };
    if fetched.version != object.id.version {
        return wrong(StoreErrorKind::Changed, "the store sent another version than the one asked for");
    }
    if landing.missing() > 0 {
        return wrong(StoreErrorKind::Cut, "the store sent fewer bytes than asked for");
    }
    given_up.not();
    Ok(())
}

/// Cuts `range` and its buffers into parts of at most `most` bytes.
fn split(mut range: ByteRange, buffers: Buffers<'_>, most: u64) -> Vec<(ByteRange, Buffers<'_>)> {
    let mut parts: Vec<(ByteRange, Buffers<'_>)> = Vec::new();
    let mut room = 0;
    for mut buffer in buffers {
        while !buffer.is_empty() {
            if room == 0 {
                let part = ByteRange::at(range.start(), range.length().min(most));
                room = part.length() as usize;
                range = range.skip(part.length());
                parts.push((part, Buffers::new()));
            }
            let (head, tail) = buffer.split_at_mut(room.min(buffer.len()));
            room -= head.len();
            buffer = tail;
            if let Some((_, last)) = parts.last_mut() {
                last.push(head);
            }
        }
    }
    parts
}

/// Counts a GET that failed or was dropped.
struct GivenUp<'a>(Option<&'a Metrics>);

impl GivenUp<'_> {
    fn not(mut self) {
        self.0 = None;
    }
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if let Some(metrics) = self.0 {
            count(&metrics.mine().failed, 1);
        }
    }
}
