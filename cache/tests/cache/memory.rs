//! The cap: never passed, and never a reason to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{House, SIZE, probe, settle};
use proptest::prelude::*;
use rfuse_block::{BlockSize, ByteRange, ObjectId, ObjectKey};
use rfuse_cache::{Ahead, BlockCache, Slices};
use rfuse_config::CacheConfig;

/// Long enough for anything but a deadlock.
const FOREVER: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_read_waits_for_memory_that_others_hold_and_gets_it() {
    let house = Arc::new(House::new(4096, 0, 8 << 20));
    let mut held: Vec<Slices> = Vec::new();
    for block in 0..4 {
        held.push(house.cache.read(&house.object, ByteRange::at(block * 4096, 4096)).await.unwrap());
    }
    let reader = house.clone();
    let reader = tokio::spawn(async move { reader.check(40_960, 8192).await });
    settle().await;
    assert!(!reader.is_finished());
    assert!(matches!(house.cache.fetch_ahead(&house.object, ByteRange::at(81_920, 4096)), Ahead::Refused));
    held.remove(0);
    settle().await;
    assert!(!reader.is_finished(), "one of two slots is not enough");
    held.remove(0);
    reader.await.unwrap();
    let stats = house.cache.stats();
    assert_eq!(stats.memory_waits, 1);
    assert!(stats.resident_bytes <= stats.capacity_bytes);
}

#[tokio::test]
async fn a_read_that_gives_up_waiting_leaves_the_line_in_order() {
    let house = Arc::new(House::new(4096, 0, 8 << 20));
    let mut held = Vec::new();
    for block in 0..4 {
        held.push(house.cache.read(&house.object, ByteRange::at(block * 4096, 4096)).await.unwrap());
    }
    let read = |house: Arc<House>, offset| tokio::spawn(async move { house.check(offset, 8192).await });
    let (first, second) = (read(house.clone(), 40_960), read(house.clone(), 81_920));
    settle().await;
    first.abort();
    held.truncate(2);
    second.await.unwrap();
}

#[tokio::test]
async fn a_read_longer_than_the_memory_is_answered() {
    let house = House::new(4096, 0, 8 << 20);
    house.check(0, SIZE).await;
    house.check(5000, 700_000).await;
    let stats = house.cache.stats();
    assert!(stats.resident_bytes <= stats.capacity_bytes);
}

#[tokio::test]
async fn fetching_ahead_takes_no_more_than_its_budget() {
    let house = House::new(4096, 60 * 4160, 8 << 20);
    house.store.held.store(true, Ordering::SeqCst);
    let first = house.cache.fetch_ahead(&house.object, ByteRange::at(0, 32 * 4096));
    assert!(matches!(first, Ahead::Fetching(_)));
    assert!(matches!(house.cache.fetch_ahead(&house.object, ByteRange::at(40 * 4096, 4096)), Ahead::Refused));
    drop(first);
    assert!(matches!(house.cache.fetch_ahead(&house.object, ByteRange::at(40 * 4096, 4096)), Ahead::Fetching(_)));
    assert_eq!(house.cache.stats().refused_ahead, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_readers_of_the_smallest_memory_all_come_through() {
    for block in [4096, 65536] {
        let house = Arc::new(House::new(block, 0, 8192));
        house.store.yielding.store(true, Ordering::SeqCst);
        let readers: Vec<_> = (0..64u64)
            .map(|reader| {
                let house = house.clone();
                tokio::spawn(async move {
                    let mut random = fastrand::Rng::with_seed(reader);
                    for _ in 0..30 {
                        house.check(random.u64(0..SIZE), random.u64(1..3 * block)).await;
                    }
                })
            })
            .collect();
        for reader in readers {
            tokio::time::timeout(FOREVER, reader).await.expect("a deadlock").unwrap();
        }
        let stats = house.cache.stats();
        assert!(stats.resident_bytes <= stats.capacity_bytes);
        drop(house);
    }
}

/// One thing a client does.
#[derive(Clone, Debug)]
enum Step {
    Read { object: usize, offset: u64, length: u64 },
    Ahead { object: usize, offset: u64, length: u64 },
    GiveUp { object: usize, offset: u64, length: u64 },
    Overwrite { object: usize, size: usize, fill: u8 },
    Invalidate { object: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let place = (0..3usize, 0..120_000u64, 1..60_000u64);
    prop_oneof![
        8 => place.clone().prop_map(|(object, offset, length)| Step::Read { object, offset, length }),
        2 => place.clone().prop_map(|(object, offset, length)| Step::Ahead { object, offset, length }),
        2 => place.prop_map(|(object, offset, length)| Step::GiveUp { object, offset, length }),
        1 => (0..3usize, 0..100_000usize, any::<u8>()).prop_map(|(object, size, fill)| Step::Overwrite { object, size, fill }),
        1 => (0..3usize).prop_map(|object| Step::Invalidate { object }),
    ]
}

/// The bytes of a version, as a plain vector.
fn content(size: usize, fill: u8) -> Vec<u8> {
    (0..size).map(|i| (i as u8).wrapping_mul(31) ^ ((i >> 8) as u8) ^ fill).collect()
}

async fn play(block: u64, spare: u64, fetch_max: u64, rounds: Vec<Vec<Step>>) {
    let store = probe();
    store.yielding.store(true, Ordering::SeqCst);
    let block_size = BlockSize::new(block).unwrap();
    let memory = BlockCache::least_memory(block_size) + spare;
    let cache = BlockCache::new(store.clone(), &CacheConfig { block_size, memory, fetch_max, disk: None });
    let put = |object: usize, size: usize, fill: u8| {
        let (key, body) = (format!("object {object}"), content(size, fill));
        let version = store.memory.put_now(key.as_str(), body.clone());
        (cache.pin(ObjectId { key: ObjectKey::from(key.as_str()), version }, size as u64), Arc::new(body))
    };
    let mut model: Vec<_> = (0..3).map(|object| put(object, 90_000 + object, object as u8)).collect();
    for round in rounds {
        let mut tasks = Vec::new();
        for step in round {
            match step {
                Step::Overwrite { object, size, fill } => model[object] = put(object, size, fill),
                Step::Invalidate { object } => {
                    cache.invalidate(&model[object].0);
                }
                Step::Read { object, offset, length } => {
                    let (cache, (object, body), store) = (cache.clone(), model[object].clone(), store.clone());
                    tasks.push(tokio::spawn(async move {
                        let range = ByteRange::at(offset, length).clamp_to(object.size);
                        match cache.read(&object, range).await {
                            Ok(slices) => {
                                assert_eq!(slices.to_vec(), body[range.start() as usize..range.end() as usize]);
                            }
                            // Only what was overwritten meanwhile may be refused.
                            Err(_) => assert!(
                                rfuse_store::Store::head(&*store, &object.id.key).await.unwrap().version
                                    != object.id.version
                            ),
                        }
                    }));
                }
                Step::Ahead { object, offset, length } => {
                    let ahead = cache.fetch_ahead(&model[object].0, ByteRange::at(offset, length));
                    if let Ahead::Fetching(fetch) = ahead {
                        tasks.push(tokio::spawn(async move {
                            let _ = fetch.await;
                        }));
                    }
                }
                Step::GiveUp { object, offset, length } => {
                    let (cache, (object, _)) = (cache.clone(), model[object].clone());
                    let task = tokio::spawn(async move {
                        let _ = cache.read(&object, ByteRange::at(offset, length)).await;
                    });
                    tokio::task::yield_now().await;
                    task.abort();
                    let _ = task.await;
                }
            }
            let stats = cache.stats();
            assert!(stats.resident_bytes + stats.overhead_bytes <= memory, "{stats:?} of {memory}");
        }
        for task in tasks {
            tokio::time::timeout(FOREVER, task).await.expect("a deadlock").unwrap();
        }
    }
    settle().await;
    assert_eq!(store.alive(), 0);
    for (object, _) in &model {
        cache.invalidate(object);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn concurrent_readers_see_what_a_plain_vector_would_show(
        shift in 12u32..15, spare in 0u64..200_000, fetch_max in 1000u64..100_000,
        rounds in proptest::collection::vec(proptest::collection::vec(step(), 1..24), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_time().build().unwrap();
        runtime.block_on(play(1 << shift, spare, fetch_max, rounds));
    }
}

#[test]
fn hits_from_many_threads_are_right_while_blocks_come_and_go() {
    let house = Arc::new(House::new(4096, 64 * 4160, 64 << 10));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|seed| {
            let (house, stop) = (house.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut hits = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    let (offset, length) = (random.u64(0..400_000), random.u64(1..9000));
                    if let Some(slices) = house.cache.try_read(&house.object, ByteRange::at(offset, length)) {
                        assert_eq!(slices.to_vec(), House::bytes(offset, length));
                        hits += 1;
                    }
                }
                hits
            })
        })
        .collect();
    runtime.block_on(async {
        let mut random = fastrand::Rng::with_seed(99);
        for _ in 0..3000 {
            house.check(random.u64(0..400_000), random.u64(1..20_000)).await;
        }
    });
    stop.store(true, Ordering::Relaxed);
    let hits: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
    assert!(hits > 0);
}

#[test]
fn what_settings_take_for_the_least_memory_is_enough() {
    for exponent in 12..=26 {
        let block_size = BlockSize::new(1 << exponent).unwrap();
        assert!(CacheConfig::least_memory(block_size) >= BlockCache::least_memory(block_size), "2^{exponent}");
    }
}
