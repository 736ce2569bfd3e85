//! Having something here before anybody asks for it.
//!
//! What is warmed comes behind every reader, as what is fetched ahead does, and goes to disk whatever the admission
//! says; without a disk tier it stays in memory as long as what is fetched ahead does. What is on disk already costs
//! nothing, so warming again goes on where it was left.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use rfuse_block::{BlockIndex, ByteRange, Extent};

use crate::ahead::Ahead;
use crate::memory::pool::Blocks;
use crate::object::PinnedObject;
use crate::{BlockCache, CacheError};

/// Bytes of one step, unless one block is more: a GET worth its while that leaves memory to others.
const STEP: u64 = 1 << 20;
/// Steps under way at once in one range.
const AT_ONCE: usize = 4;
/// Pause where budget, memory or the writer's queue are full.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a step tries to get budget and memory.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a step waits for the writer.
const WRITING: Duration = Duration::from_secs(10);

/// What became of a range, in bytes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Warmed {
    /// Was here already.
    pub present: u64,
    /// Was brought here, and is kept.
    pub brought: u64,
    /// Is not kept: readers need the memory, or the cache folder is full or broken.
    pub unkept: u64,
}

impl Warmed {
    /// These and those.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            present: self.present + other.present,
            brought: self.brought + other.brought,
            unkept: self.unkept + other.unkept,
        }
    }
}

impl BlockCache {
    /// Brings `range` (inside the object) here though nobody asks for it, behind everybody who does.
    ///
    /// Dropped, it goes no further; what has come stays.
    ///
    /// # Errors
    /// What the store said.
    pub async fn warm(&self, object: &PinnedObject, range: ByteRange) -> Result<Warmed, CacheError> {
        let range = range.clamp_to(object.size);
        let steps = stream::iter(self.steps(range)).map(|step| self.warm_step(object, step)).buffer_unordered(AT_ONCE);
        steps.try_fold(Warmed::default(), |all, step| async move { Ok(all.and(step)) }).await
    }

    /// Bytes that warming keeps at most where there is no disk tier; none: there is one.
    pub fn warm_limit(&self) -> Option<u64> {
        self.shared.disk.is_none().then(|| self.ahead_limit())
    }

    /// `range` in pieces that end at block boundaries.
    fn steps(&self, range: ByteRange) -> Vec<ByteRange> {
        let block = self.shared.block_size.bytes();
        let room = (self.shared.memory.capacity() as u64 / 32).max(1) * block;
        let most = STEP.min(room).max(block) / block * block;
        let mut steps = Vec::new();
        let mut rest = range;
        while !rest.is_empty() {
            let part = rest.clamp_to((rest.start() + most) / most * most);
            steps.push(part);
            rest = rest.skip(part.length());
        }
        steps
    }

    async fn warm_step(&self, object: &PinnedObject, range: ByteRange) -> Result<Warmed, CacheError> {
        let size = self.shared.block_size;
        let (first, last) = (size.block_of(range.start()), size.block_of(range.end() - 1));
        let extent = Extent { first, count: (last.0 - first.0 + 1) as u32 };
        let bytes = |blocks: &[BlockIndex]| {
            blocks.iter().map(|&block| size.range_of(block, object.size).intersect(range).length()).sum::<u64>()
        };
        let missing = self.missing(object, extent);
        let present = range.length() - bytes(&missing);
        if missing.is_empty() {
            return Ok(Warmed { present, ..Warmed::default() });
        }
        let held = self.bring(object, range, extent).await?;
        let unkept = if self.shared.disk.is_some() { bytes(&self.write(object, extent, held).await) } else { 0 };
        let unkept = if self.shared.disk.is_none() { bytes(&self.missing(object, extent)) } else { unkept };
        Ok(Warmed { present, brought: (range.length() - present).saturating_sub(unkept), unkept })
    }

    /// Blocks of `extent` that are not where warming wants them.
    fn missing(&self, object: &PinnedObject, extent: Extent) -> Vec<BlockIndex> {
        if let Some(disk) = &self.shared.disk {
            return disk.missing(object, extent);
        }
        let held = self.shared.memory.hold(object.tag, extent);
        let is_held = |block: &BlockIndex| {
            held.iter().any(|(first, blocks)| (first.0..first.0 + blocks.count() as u64).contains(&block.0))
        };
        (0..u64::from(extent.count)).map(|number| BlockIndex(extent.first.0 + number)).filter(|b| !is_held(b)).collect()
    }

    /// Brings `range` into memory; the blocks of it that are there then.
    async fn bring(
        &self,
        object: &PinnedObject,
        range: ByteRange,
        extent: Extent,
    ) -> Result<Vec<(BlockIndex, Blocks)>, CacheError> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.fetch_ahead(object, range) {
                Ahead::Fetching(fetch) => fetch.await?,
                Ahead::Present | Ahead::Refused => {}
            }
            let held = self.shared.memory.hold(object.tag, extent);
            let count: usize = held.iter().map(|(_, blocks)| blocks.count()).sum();
            if count == extent.count as usize || Instant::now() > end {
                return Ok(held);
            }
            // On its way for somebody else, refused, or gone again.
            drop(held);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Has `held` written; the blocks of `extent` that are not on disk in the end.
    async fn write(&self, object: &PinnedObject, extent: Extent, held: Vec<(BlockIndex, Blocks)>) -> Vec<BlockIndex> {
        let Some(disk) = &self.shared.disk else { return Vec::new() };
        let end = Instant::now() + WRITING;
        let most = disk.offer_most().max(1);
        for (first, blocks) in held {
            let mut from = 0;
            while from < blocks.count() && Instant::now() < end {
                let count = (blocks.count() - from).min(most);
                if disk.offer_wanted(object, BlockIndex(first.0 + from as u64), blocks.part(from, count)) {
                    from += count;
                } else {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        loop {
            let missing = disk.missing(object, extent);
            if missing.is_empty() || disk.is_idle() || Instant::now() > end {
                return disk.missing(object, extent);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
