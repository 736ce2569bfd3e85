//! What the cache costs beside the store: a hit, a miss, a miss that evicts, a follower, a claim.
//!
//! The store is in this process and answers at once, so a miss includes making 4 KiB of content (measured on
//! its own as the yardstick).

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use rfuse_block::{BlockSize, ByteRange, ObjectId, ObjectKey};
use rfuse_cache::{BlockCache, PinnedObject};
use rfuse_config::CacheConfig;
use rfuse_store::{MemoryStore, pattern};

const BLOCK: u64 = 4096;
const SIZE: u64 = 8 << 30;

fn house(memory: u64) -> (Arc<BlockCache>, PinnedObject) {
    let store = Arc::new(MemoryStore::new());
    let version = store.put_pattern("object", SIZE, 1);
    let config = CacheConfig { block_size: BlockSize::MIN, memory, fetch_max: 8 << 20, disk: None };
    let cache = BlockCache::new(store, &config);
    let object = cache.pin(ObjectId { key: ObjectKey::from("object"), version }, SIZE);
    (cache, object)
}

fn read(cache: &BlockCache, object: &PinnedObject, range: ByteRange) {
    let slices = cache.read(object, range).now_or_never().expect("the store answers at once");
    black_box(slices.expect("the store has it"));
}

fn hits(criterion: &mut Criterion) {
    let (cache, object) = house(256 << 20);
    for offset in (0..128 << 20).step_by(1 << 20) {
        read(&cache, &object, ByteRange::at(offset, 1 << 20));
    }
    let mut random = fastrand::Rng::with_seed(1);
    criterion.bench_function("look-up, 4 KiB of 128 MiB", |bench| {
        bench.iter(|| {
            let range = ByteRange::at(random.u64(0..32_768) * BLOCK, BLOCK);
            black_box(cache.try_read(&object, range).expect("in memory"))
        });
    });
    criterion.bench_function("look-up, 1 MiB of 4 KiB blocks", |bench| {
        bench.iter(|| {
            let range = ByteRange::at(random.u64(0..32_000) * BLOCK, 1 << 20);
            black_box(cache.try_read(&object, range).expect("in memory"))
        });
    });
    criterion.bench_function("look-up, not in memory", |bench| {
        bench.iter(|| {
            black_box(cache.try_read(&object, ByteRange::at((1 << 30) + random.u64(0..32_768) * BLOCK, BLOCK)))
        });
    });
}

fn misses(criterion: &mut Criterion) {
    let mut buffer = vec![0; BLOCK as usize];
    let mut offset = 0;
    criterion.bench_function("yardstick: 4 KiB of content", |bench| {
        bench.iter(|| {
            offset += BLOCK;
            pattern::fill(1, offset, black_box(&mut buffer));
        });
    });
    let (cache, object) = house(64 << 20);
    let mut next = (0..SIZE / BLOCK).cycle();
    let mut block = move || next.next().expect("endless") * BLOCK;
    for _ in 0..20_000 {
        read(&cache, &object, ByteRange::at(block(), BLOCK));
    }
    criterion.bench_function("miss, claim, admit, evict: 4 KiB", |bench| {
        bench.iter(|| read(&cache, &object, ByteRange::at(block(), BLOCK)));
    });
    criterion.bench_function("miss, claim, admit, evict: 1 MiB", |bench| {
        bench.iter(|| read(&cache, &object, ByteRange::at(block() << 8 & (SIZE - 1), 1 << 20)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = hits, misses
}
criterion_main!(benches);
