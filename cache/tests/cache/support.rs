//! A store whose GETs can be held, failed and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use rfuse_block::{BlockSize, ByteRange, ObjectId, ObjectKey};
use rfuse_cache::{BlockCache, PinnedObject};
use rfuse_config::CacheConfig;
use rfuse_store::testing::{Asked, Watch, Watched};
use rfuse_store::{Operation, StoreError, StoreErrorKind, Urgency, pattern};
use tokio::sync::Semaphore;

/// What the tests hold, fail and count.
#[derive(Debug)]
pub(crate) struct Hold {
    /// A permit lets one GET through while `held`.
    pub(crate) gate: Semaphore,
    pub(crate) held: AtomicBool,
    pub(crate) failing: AtomicBool,
    /// Whether every GET gives way to other tasks once.
    pub(crate) yielding: AtomicBool,
    pub(crate) gets: AtomicUsize,
    pub(crate) ahead: AtomicUsize,
    pub(crate) alive: AtomicUsize,
    pub(crate) bytes: AtomicUsize,
}

/// A memory store that is watched.
pub(crate) type Probe = Watched<Hold>;

pub(crate) fn probe() -> Arc<Probe> {
    let hold = Hold {
        gate: Semaphore::new(0),
        held: AtomicBool::new(false),
        failing: AtomicBool::new(false),
        yielding: AtomicBool::new(false),
        gets: AtomicUsize::new(0),
        ahead: AtomicUsize::new(0),
        alive: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
    };
    Watched::new(Arc::default(), hold)
}

impl Hold {
    pub(crate) fn gets(&self) -> usize {
        self.gets.load(Ordering::SeqCst)
    }

    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }
}

struct Alive<'a>(&'a AtomicUsize);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Watch for Hold {
    async fn see(&self, asked: Asked<'_>) -> Result<(), StoreError> {
        let Asked::Get(get) = asked else { return Ok(()) };
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.alive.fetch_add(1, Ordering::SeqCst);
        let _alive = Alive(&self.alive);
        self.ahead.fetch_add(usize::from(get.urgency == Urgency::Ahead), Ordering::SeqCst);
        self.bytes.fetch_add(get.range.length() as usize, Ordering::SeqCst);
        if self.yielding.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        if self.held.load(Ordering::SeqCst) {
            self.gate.acquire().await.unwrap().forget();
        }
        if self.failing.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, Operation::Get, "as asked by the test"));
        }
        Ok(())
    }
}

/// Bytes of the object every [`House`] has.
pub(crate) const SIZE: u64 = (1 << 20) + 777;
const SEED: u64 = 42;

/// A cache over a watched store with one object of [`SIZE`] bytes.
pub(crate) struct House {
    pub(crate) store: Arc<Probe>,
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) object: PinnedObject,
}

impl House {
    /// Blocks of `block` bytes, `memory` bytes more than the least, GETs of at most `fetch_max`.
    pub(crate) fn new(block: u64, memory: u64, fetch_max: u64) -> Self {
        let store = probe();
        let block_size = BlockSize::new(block).unwrap();
        let memory = BlockCache::least_memory(block_size) + memory;
        let cache = BlockCache::new(store.clone(), &CacheConfig { block_size, memory, fetch_max, disk: None });
        let object = pin_pattern(&store, &cache, "object", SIZE, SEED);
        Self { store, cache, object }
    }

    /// Blocks of 4 KiB and room for all of them.
    pub(crate) fn roomy() -> Self {
        Self::new(4096, 16 << 20, 8 << 20)
    }

    /// Reads `length` bytes at `offset` and checks them.
    pub(crate) async fn check(&self, offset: u64, length: u64) {
        let slices = self.cache.read(&self.object, ByteRange::at(offset, length)).await.unwrap();
        assert_eq!(slices.to_vec(), Self::bytes(offset, length), "{length} bytes at {offset}");
    }

    /// What lies at `offset`.
    pub(crate) fn bytes(offset: u64, length: u64) -> Vec<u8> {
        let range = ByteRange::at(offset, length).clamp_to(SIZE);
        pattern::bytes(SEED, range.start(), range.length() as usize)
    }
}

/// Puts an object made from `seed` and pins it.
pub(crate) fn pin_pattern(store: &Probe, cache: &BlockCache, key: &str, size: u64, seed: u64) -> PinnedObject {
    let version = store.memory.put_pattern(key, size, seed);
    cache.pin(ObjectId { key: ObjectKey::from(key), version }, size)
}

/// Gives every other task a chance to go on.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
