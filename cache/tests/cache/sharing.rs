//! One fetch for many waiters: who leads, who follows, who leaves, and what they are told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::support::{House, settle};
use rfuse_block::ByteRange;
use rfuse_cache::{Ahead, CacheError};
use rfuse_store::StoreErrorKind;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_readers_of_one_block_cost_one_get() {
    let house = Arc::new(House::roomy());
    house.store.held.store(true, Ordering::SeqCst);
    let readers: Vec<_> = (0..10_000u64)
        .map(|i| {
            let house = house.clone();
            tokio::spawn(async move { house.check(4096 + i % 2000, 100).await })
        })
        .collect();
    settle().await;
    house.store.gate.add_permits(1);
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(house.store.gets(), 1);
    let stats = house.cache.stats();
    assert_eq!((stats.misses, stats.hits + stats.followed), (1, 9_999));
}

#[tokio::test]
async fn a_leader_who_leaves_does_not_fail_his_followers() {
    let house = Arc::new(House::roomy());
    house.store.held.store(true, Ordering::SeqCst);
    let read = |house: Arc<House>| tokio::spawn(async move { house.check(0, 8192).await });
    let (leader, first, second) = (read(house.clone()), read(house.clone()), read(house.clone()));
    settle().await;
    leader.abort();
    first.abort();
    settle().await;
    assert_eq!(house.store.alive(), 1);
    house.store.gate.add_permits(1);
    second.await.unwrap();
    assert_eq!(house.store.gets(), 1);
}

#[tokio::test]
async fn a_get_nobody_waits_for_is_dropped_and_asked_again_when_needed() {
    let house = Arc::new(House::roomy());
    house.store.held.store(true, Ordering::SeqCst);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let house = house.clone();
            tokio::spawn(async move { house.check(0, 4096).await })
        })
        .collect();
    settle().await;
    assert_eq!(house.store.alive(), 1);
    for reader in readers {
        reader.abort();
        let _ = reader.await;
    }
    assert_eq!(house.store.alive(), 0);
    assert_eq!(house.cache.stats().resident_bytes, 0);
    assert_eq!(house.cache.stats().failed_fetches, 1);
    house.store.held.store(false, Ordering::SeqCst);
    house.check(0, 4096).await;
    assert_eq!(house.store.gets(), 2);
}

#[tokio::test]
async fn a_failure_is_told_to_every_waiter_and_not_remembered() {
    let house = Arc::new(House::roomy());
    house.store.held.store(true, Ordering::SeqCst);
    house.store.failing.store(true, Ordering::SeqCst);
    let readers: Vec<_> = (0..50)
        .map(|_| {
            let house = house.clone();
            tokio::spawn(async move { house.cache.read(&house.object, ByteRange::at(0, 4096)).await })
        })
        .collect();
    settle().await;
    house.store.gate.add_permits(1);
    for reader in readers {
        let Err(CacheError::Store(error)) = reader.await.unwrap() else { panic!("the store failed") };
        assert_eq!(error.kind, StoreErrorKind::Unavailable);
    }
    assert_eq!(house.store.gets(), 1);
    house.store.failing.store(false, Ordering::SeqCst);
    house.store.held.store(false, Ordering::SeqCst);
    house.check(0, 4096).await;
}

#[tokio::test]
async fn readers_of_overlapping_ranges_fetch_each_byte_once() {
    let house = Arc::new(House::roomy());
    house.store.held.store(true, Ordering::SeqCst);
    let readers: Vec<_> = (0..64u64)
        .map(|i| {
            let house = house.clone();
            tokio::spawn(async move { house.check(i * 5000, 100_000).await })
        })
        .collect();
    settle().await;
    house.store.gate.add_permits(1000);
    for reader in readers {
        reader.await.unwrap();
    }
    let end = (63 * 5000 + 100_000u64).div_ceil(4096) * 4096;
    assert_eq!(house.store.bytes.load(Ordering::SeqCst) as u64, end);
}

#[tokio::test]
async fn a_store_that_hangs_on_one_block_holds_nobody_else_up() {
    let house = Arc::new(House::roomy());
    house.check(8192, 4096).await;
    house.store.held.store(true, Ordering::SeqCst);
    let stuck = house.clone();
    let stuck = tokio::spawn(async move { stuck.check(0, 4096).await });
    settle().await;
    assert!(house.cache.try_read(&house.object, ByteRange::at(0, 4096)).is_none());
    assert!(house.cache.try_read(&house.object, ByteRange::at(8192, 4096)).is_some());
    house.store.held.store(false, Ordering::SeqCst);
    house.check(4096, 4096).await;
    house.check(12288, 500_000).await;
    assert!(!stuck.is_finished());
    stuck.abort();
}

#[tokio::test]
async fn a_reader_joins_what_is_fetched_ahead_and_carries_on_when_it_is_given_up() {
    let house = Arc::new(House::roomy());
    house.store.held.store(true, Ordering::SeqCst);
    let Ahead::Fetching(ahead) = house.cache.fetch_ahead(&house.object, ByteRange::at(0, 65536)) else {
        panic!("nothing was there")
    };
    assert!(matches!(house.cache.fetch_ahead(&house.object, ByteRange::at(4096, 4096)), Ahead::Present));
    let ahead = tokio::spawn(ahead);
    let reader = house.clone();
    let reader = tokio::spawn(async move { reader.check(8192, 4096).await });
    settle().await;
    ahead.abort();
    settle().await;
    house.store.gate.add_permits(1);
    reader.await.unwrap();
    assert_eq!((house.store.gets(), house.store.ahead.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(house.cache.resident(&house.object), 65536);
}

#[tokio::test]
async fn what_is_fetched_ahead_and_given_up_is_cancelled() {
    let house = House::roomy();
    house.store.held.store(true, Ordering::SeqCst);
    let Ahead::Fetching(ahead) = house.cache.fetch_ahead(&house.object, ByteRange::at(0, 65536)) else {
        panic!("nothing was there")
    };
    let task = tokio::spawn(ahead);
    settle().await;
    assert_eq!(house.store.alive(), 1);
    task.abort();
    let _ = task.await;
    assert_eq!((house.store.alive(), house.cache.stats().resident_bytes), (0, 0));
    house.store.held.store(false, Ordering::SeqCst);
    house.check(0, 4096).await;
}
