//! Who is remembered: hit ratios and time a step of the memory tier, and of both tiers together, beside a plain
//! LRU and moka, on the same traces and the same number of blocks. Prints two tables; `docs/decisions/0006` and
//! `0007` keep them.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use rfuse_block::{BlockSize, ByteRange, ObjectId, ObjectKey};
use rfuse_cache::{BlockCache, PinnedObject};
use rfuse_config::{Admit, CacheConfig, DiskConfig};
use rfuse_store::{MemoryStore, pattern};
use tokio::runtime::{Builder, Runtime};

const BLOCK: u64 = 4096;
/// Bytes of memory for each of them.
const MEMORY: u64 = 64 << 20;

/// A named order of blocks, and from which step on hits count.
struct Trace {
    name: &'static str,
    blocks: Vec<u64>,
    warm: usize,
}

/// Something that remembers blocks: whether `block` was there, and it is afterwards.
trait Memory {
    fn touch(&self, block: u64) -> bool;
}

struct Own {
    cache: Arc<BlockCache>,
    object: PinnedObject,
    /// For what waits for a disk.
    runtime: Runtime,
}

impl Memory for Own {
    fn touch(&self, block: u64) -> bool {
        let range = ByteRange::at(block * BLOCK, BLOCK);
        if self.cache.try_read(&self.object, range).is_some() {
            return true;
        }
        let before = self.cache.stats().fetches;
        let mut read = Box::pin(self.cache.read(&self.object, range));
        let done = {
            let _inside = self.runtime.enter();
            read.as_mut().now_or_never()
        };
        done.unwrap_or_else(|| self.runtime.block_on(read)).expect("the store has it");
        let is_hit = self.cache.stats().fetches == before;
        if !is_hit {
            // What is measured is whom it chooses, not how fast this machine's disk is.
            self.cache.flush();
        }
        is_hit
    }
}

fn fetch(block: u64) -> Bytes {
    Bytes::from(pattern::bytes(1, block * BLOCK, BLOCK as usize))
}

impl Memory for Mutex<lru::LruCache<(u128, u64), Bytes>> {
    fn touch(&self, block: u64) -> bool {
        let key = (7, block);
        if self.lock().expect("not poisoned").get(&key).cloned().is_some() {
            return true;
        }
        let bytes = fetch(block);
        self.lock().expect("not poisoned").put(key, bytes);
        false
    }
}

impl Memory for moka::sync::Cache<(u128, u64), Bytes> {
    fn touch(&self, block: u64) -> bool {
        let key = (7, block);
        if self.get(&key).is_some() {
            return true;
        }
        self.insert(key, fetch(block));
        false
    }
}

fn traces(slots: u64) -> Vec<Trace> {
    let mut random = fastrand::Rng::with_seed(3);
    let hot: Vec<u64> = (0..slots / 2).collect();
    let scan: Vec<u64> = (10 * slots..14 * slots).collect();
    let epoch: Vec<u64> = (0..slots * 3 / 2).collect();
    let mut shuffled = epoch.clone();
    let shuffled_epochs = (0..8).flat_map(|_| {
        random.shuffle(&mut shuffled);
        shuffled.clone()
    });
    let shuffled_epochs: Vec<u64> = shuffled_epochs.collect();
    let mut draw = fastrand::Rng::with_seed(4);
    let zipf: Vec<u64> = (0..slots * 20).map(|_| zipf(&mut draw, slots * 10)).collect();
    let one_pass = [hot.repeat(4), scan, hot.clone()].concat();
    let mixed = zipf.iter().enumerate().map(|(i, &block)| if i % 2 == 0 { block } else { 100 * slots + i as u64 });
    vec![
        Trace {
            name: "hot half again after one pass over 4 x memory",
            warm: one_pass.len() - hot.len(),
            blocks: one_pass,
        },
        Trace { name: "epochs over 1.5 x memory, in order", warm: epoch.len() * 2, blocks: epoch.repeat(8) },
        Trace { name: "epochs over 1.5 x memory, shuffled", warm: epoch.len() * 2, blocks: shuffled_epochs },
        Trace { name: "zipf 0.99 over 10 x memory", warm: zipf.len() / 4, blocks: zipf.clone() },
        Trace { name: "the same, every other block read once", warm: zipf.len() / 4, blocks: mixed.collect() },
    ]
}

/// A rank below `count`, drawn with weight rank^-0.99 by inverting the integral.
fn zipf(random: &mut fastrand::Rng, count: u64) -> u64 {
    let power = 1.0 - 0.99;
    let top = (count as f64).powf(power) - 1.0;
    let rank = (random.f64() * top + 1.0).powf(1.0 / power);
    // Ranks are scattered so that neighbours are not alike.
    (rank as u64).min(count - 1).wrapping_mul(0x9E37_79B1) % count
}

fn play(memory: &dyn Memory, trace: &Trace) -> (f64, f64) {
    let start = Instant::now();
    let mut hits = 0;
    for (step, &block) in trace.blocks.iter().enumerate() {
        hits += usize::from(memory.touch(block) && step >= trace.warm);
    }
    let steps = trace.blocks.len();
    (hits as f64 * 100.0 / (steps - trace.warm) as f64, start.elapsed().as_nanos() as f64 / steps as f64)
}

fn own(memory: u64, disk: Option<DiskConfig>) -> Own {
    let store = Arc::new(MemoryStore::new());
    let size = 1 << 40;
    let version = store.put_pattern("object", size, 1);
    let config = CacheConfig { block_size: BlockSize::MIN, memory, fetch_max: 8 << 20, disk };
    let cache = BlockCache::new(store, &config);
    cache.flush();
    let object = cache.pin(ObjectId { key: ObjectKey::from("object"), version }, size);
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    Own { cache, object, runtime }
}

/// Both tiers: a fifth of the blocks in memory, the others on disk.
fn both(dir: &Path) -> Own {
    let disk = DiskConfig {
        dir: dir.to_owned(),
        size: MEMORY * 4 / 5,
        reserve: 0,
        quota: u64::MAX,
        admit: Admit::Again,
        scope: String::new(),
    };
    own(MEMORY / 5, Some(disk))
}

fn main() {
    let slots = own(MEMORY, None).cache.stats().capacity_bytes / BLOCK;
    println!("{slots} blocks of 4 KiB; hits in % of the steps after warming up (ns a step, misses included)");
    println!("{:46} {:>16} {:>16} {:>16} {:>16}", "", "rfuse, memory", "memory and disk", "lru", "moka");
    for trace in traces(slots) {
        let lru = Mutex::new(lru::LruCache::new(NonZeroUsize::new(slots as usize).expect("some")));
        let moka = moka::sync::Cache::new(slots);
        let dir = tempfile::tempdir().expect("a folder");
        let both = both(dir.path());
        let memories: [&dyn Memory; 4] = [&own(MEMORY, None), &both, &lru, &moka];
        let cells: Vec<String> = memories
            .iter()
            .map(|memory| {
                let (percent, nanos) = play(*memory, &trace);
                format!("{percent:5.1} ({nanos:5.0} ns)")
            })
            .collect();
        let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>16}")).collect();
        let disk = both.cache.stats().disk;
        println!("{:46} {}   written {} MiB", trace.name, cells.join(" "), disk.written_bytes >> 20);
    }
}
