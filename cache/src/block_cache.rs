//! The face of the room: read by object and range.
//!
//! What is in memory is answered at once, by whichever thread asks ([`BlockCache::try_read`]). What is not is
//! fetched by exactly one GET for each run of missing blocks, whoever else asks for them meanwhile
//! ([`BlockCache::read`]). What will be needed may be fetched before ([`BlockCache::fetch_ahead`]).

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use rfuse_block::{BlockIndex, BlockSize, ByteRange, Extent, ObjectId, ObjectKey};
use rfuse_config::CacheConfig;
use rfuse_store::Store;

use crate::ahead::{self, Ahead};
use crate::disk::DiskTier;
use crate::gather::{Gather, Wanted, try_gather};
use crate::inflight::Inflight;
use crate::memory::MemoryTier;
use crate::memory::budget::Budget;
use crate::metrics::{CacheStats, Metrics};
use crate::object::{ObjectTag, PinnedObject};
use crate::{CacheError, PinError, Slices};

/// One block table over one store.
#[derive(Debug)]
pub struct BlockCache {
    pub(crate) shared: Arc<Shared>,
    seed: [u8; 16],
}

/// What a fetch needs of the cache.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) memory: Arc<MemoryTier>,
    pub(crate) disk: Option<DiskTier>,
    pub(crate) inflight: Arc<Inflight>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) metrics: Metrics,
    pub(crate) block_size: BlockSize,
    /// Bytes one GET fetches at most.
    pub(crate) fetch_max: u64,
    /// Blocks one fetch brings at most.
    pub(crate) extent_most: u32,
    /// Blocks one read holds at most; longer ones are copied together.
    pub(crate) read_most: usize,
}

impl BlockCache {
    /// A cache of `config` over `store`.
    ///
    /// `config.memory` is a hard cap on blocks, blocks in flight and bookkeeping together. Less than
    /// [`BlockCache::least_memory`], which settings refuse, is taken for that. Beside it are only the bytes of single reads
    /// longer than half of it, which are copied together.
    pub fn new(store: Arc<dyn Store>, config: &CacheConfig) -> Arc<Self> {
        let memory = Arc::new(MemoryTier::new(config.block_size, config.memory));
        let (capacity, block) = (memory.capacity(), config.block_size.bytes());
        let disk = config.disk.as_ref().and_then(|disk| DiskTier::open(disk, config.block_size, &memory));
        let seed = disk.as_ref().map_or_else(random, DiskTier::seed);
        let shared = Shared {
            store,
            disk,
            inflight: Inflight::new(),
            // Demand always finds the other half.
            budget: Budget::new(capacity as u64 / 2 * block),
            metrics: Metrics::default(),
            block_size: config.block_size,
            fetch_max: config.fetch_max.max(BlockSize::MIN.bytes()),
            extent_most: (config.fetch_max / block).clamp(1, (capacity as u64 / 4).min(1 << 20)) as u32,
            read_most: capacity / 2,
            memory,
        };
        Arc::new(Self { shared: Arc::new(shared), seed })
    }

    /// The least `CacheConfig::memory` that works with blocks of `block_size`, in bytes: four blocks and half a
    /// MiB.
    pub fn least_memory(block_size: BlockSize) -> u64 {
        MemoryTier::least(block_size)
    }

    /// Bytes that are kept at most for readers who have not come yet. To fetch more ahead is to fetch twice.
    pub fn ahead_limit(&self) -> u64 {
        self.shared.memory.capacity() as u64 / 2 * self.shared.block_size.bytes()
    }

    /// Names `id`, of `size` bytes, for reading.
    pub fn pin(&self, id: ObjectId, size: u64) -> PinnedObject {
        let tag = ObjectTag::new(self.seed, &id, size);
        PinnedObject { id, size, tag }
    }

    /// The bytes of `range` (inside the object) if all of them are in memory; never waits, never asks.
    pub fn try_read(&self, object: &PinnedObject, range: ByteRange) -> Option<Slices> {
        let range = range.clamp_to(object.size);
        if range.is_empty() {
            return Some(Slices::default());
        }
        let wanted = Wanted::new(object.tag, range, self.shared.block_size);
        if wanted.count > self.shared.read_most { None } else { try_gather(&self.shared, &wanted) }
    }

    /// A copy of `range` (inside the object) if all of it is in memory. It counts neither as a use nor as a read: nobody
    /// but us looks at it.
    pub fn peek(&self, object: &PinnedObject, range: ByteRange) -> Option<Vec<u8>> {
        let range = range.clamp_to(object.size);
        if range.is_empty() {
            return Some(Vec::new());
        }
        let size = self.shared.block_size;
        let (first, last) = (size.block_of(range.start()), size.block_of(range.end() - 1));
        let count = u32::try_from(last.0 - first.0 + 1).ok()?;
        let held = self.shared.memory.hold(object.tag, Extent { first, count });
        let [(_, blocks)] = &held[..] else { return None };
        let (start, length) = ((range.start() % size.bytes()) as usize, range.length() as usize);
        let is_whole = blocks.count() == count as usize;
        is_whole.then(|| blocks.pieces(start, length).flatten().copied().collect())
    }

    /// The bytes of `range` (inside the object), fetched where they are missing.
    ///
    /// Dropping the future gives the read up; a fetch nobody else waits for is cancelled. When all memory is
    /// taken the read waits its turn.
    ///
    /// # Errors
    /// What the store said, once it has been asked as often as the store room allows.
    pub async fn read(&self, object: &PinnedObject, range: ByteRange) -> Result<Slices, CacheError> {
        let range = range.clamp_to(object.size);
        if range.is_empty() {
            return Ok(Slices::default());
        }
        let wanted = Wanted::new(object.tag, range, self.shared.block_size);
        if wanted.count <= self.shared.read_most {
            return self.read_at_once(object, wanted).await;
        }
        self.read_in_parts(object, range).await
    }

    /// Fetches what is missing of `range` (inside the object) though nobody waits for it yet.
    ///
    /// Costs nobody anything he waits for: blocks in use are not displaced, and where the budget or the memory
    /// does not allow it nothing is fetched.
    pub fn fetch_ahead(&self, object: &PinnedObject, range: ByteRange) -> Ahead {
        let range = range.clamp_to(object.size);
        if range.is_empty() {
            return Ahead::Present;
        }
        ahead::start(&self.shared, object, Wanted::new(object.tag, range, self.shared.block_size))
    }

    /// Forgets the blocks of `object` in memory and on disk; how many there were. Reads that hold some keep them.
    ///
    /// What is forgotten on disk is so for this process.
    pub fn invalidate(&self, object: &PinnedObject) -> u64 {
        let blocks = object.size.div_ceil(self.shared.block_size.bytes());
        let on_disk = self.shared.disk.as_ref().map_or(0, |disk| disk.invalidate(object, blocks));
        self.shared.memory.invalidate(object.tag, blocks) + on_disk
    }

    /// Forgets every block that nobody reads, in memory and, for this process, on disk; how many there were.
    pub fn invalidate_all(&self) -> u64 {
        self.shared.disk.as_ref().map_or(0, DiskTier::forget_all) + self.shared.memory.clear()
    }

    /// Keeps `ranges`, each inside its object, on disk from when they come there until they are unpinned.
    ///
    /// # Errors
    /// See [`PinError`]; nothing is pinned then.
    pub fn pin_ranges(&self, ranges: &[(PinnedObject, ByteRange)]) -> Result<(), PinError> {
        let disk = self.shared.disk.as_ref().ok_or(PinError::NoFolder)?;
        let size = self.shared.block_size;
        let extent = |(object, range): &(PinnedObject, ByteRange)| {
            let range = range.clamp_to(object.size);
            (!range.is_empty()).then(|| {
                let (first, last) = (size.block_of(range.start()), size.block_of(range.end() - 1));
                // 2^32 blocks of the least size are 16 TiB, more than any folder keeps pinned.
                let count = u32::try_from(last.0 - first.0 + 1).unwrap_or(u32::MAX);
                (object.clone(), Extent { first, count })
            })
        };
        let extents: Vec<_> = ranges.iter().filter_map(extent).collect();
        disk.pin(&extents)
    }

    /// Takes the pins of `keys` away, or all that this store has in the folder; how many bytes they were.
    ///
    /// # Errors
    /// See [`PinError`].
    pub fn unpin(&self, keys: Option<&[ObjectKey]>) -> Result<u64, PinError> {
        self.shared.disk.as_ref().ok_or(PinError::NoFolder)?.unpin(keys)
    }

    /// Waits until the disk tier knows what is in its folder and has written what it was offered so far. Blocks
    /// the calling thread.
    pub fn flush(&self) {
        if let Some(disk) = &self.shared.disk {
            disk.flush();
        }
    }

    /// Bytes of `object` in memory.
    ///
    /// Looks at every 64th block of the object or every block in memory, whichever are fewer.
    pub fn resident(&self, object: &PinnedObject) -> u64 {
        let size = self.shared.block_size;
        let blocks = object.size.div_ceil(size.bytes());
        let mut bytes = 0;
        self.shared.memory.resident(object.tag, blocks, |group, set| {
            let short = u64::from(63 - set.leading_zeros());
            let last = BlockIndex(group.number * 64 + short);
            bytes += u64::from(set.count_ones() - 1) * size.bytes() + size.range_of(last, object.size).length();
        });
        bytes
    }

    /// What has been counted, and what is held now.
    pub fn stats(&self) -> CacheStats {
        let (memory, block) = (&self.shared.memory, self.shared.block_size.bytes());
        CacheStats {
            ahead_bytes: self.shared.budget.leased(),
            ahead_limit_bytes: self.ahead_limit(),
            evictions: memory.evictions(),
            memory_waits: memory.waits(),
            resident_bytes: memory.held() as u64 * block,
            capacity_bytes: memory.capacity() as u64 * block,
            overhead_bytes: memory.overhead() as u64,
            disk: self.shared.disk.as_ref().map_or_else(Default::default, DiskTier::stats),
            ..self.shared.metrics.sum()
        }
    }

    async fn read_at_once(&self, object: &PinnedObject, wanted: Wanted) -> Result<Slices, CacheError> {
        let mut slots = None;
        loop {
            match Gather::start(&self.shared, object, wanted, slots) {
                Ok(gather) => return gather.finish(&self.shared).await,
                Err(_) => slots = Some(self.shared.memory.wait_for(wanted.count).await),
            }
        }
    }

    /// A read of more blocks than may be held at once: part after part, each copied and let go.
    async fn read_in_parts(&self, object: &PinnedObject, mut range: ByteRange) -> Result<Slices, CacheError> {
        let most = self.shared.read_most as u64 * self.shared.block_size.bytes();
        let mut all = Vec::with_capacity(usize::try_from(range.length()).unwrap_or(0));
        while !range.is_empty() {
            // Up to a block boundary, so that no part touches a block more than it holds.
            let end = (range.start() + most) / most * most;
            let part = range.clamp_to(end);
            let slices = self.read_at_once(object, Wanted::new(object.tag, part, self.shared.block_size)).await?;
            slices.iter().for_each(|piece| all.extend_from_slice(piece));
            range = range.skip(part.length());
        }
        Ok(Slices::copied(Bytes::from(all)))
    }
}

/// A seed nobody outside can know.
fn random() -> [u8; 16] {
    let word = || RandomState::new().hash_one(0).to_le_bytes();
    let mut seed = [0; 16];
    seed[..8].copy_from_slice(&word());
    seed[8..].copy_from_slice(&word());
    seed
}
