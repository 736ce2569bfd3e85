//! What a read asks of the store, and that it is right.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::support::{House, SIZE};
use rfuse_block::{BlockSize, ByteRange, ObjectId, ObjectKey};
use rfuse_cache::{BlockCache, CacheError};
use rfuse_config::CacheConfig;
use rfuse_store::{MemoryStore, StoreErrorKind};

#[tokio::test]
async fn a_random_block_costs_one_get_of_its_bytes_and_nothing_again() {
    let house = House::roomy();
    for _ in 0..3 {
        house.check(40_960, 4096).await;
        assert!(house.cache.try_read(&house.object, ByteRange::at(40_960, 4096)).is_some());
    }
    let stats = house.cache.stats();
    assert_eq!((stats.fetches, stats.fetched_bytes, stats.misses), (1, 4096, 1));
    assert_eq!(stats.delivered_bytes, 6 * 4096);
    assert_eq!(house.store.bytes.load(Ordering::SeqCst), 4096);
}

#[tokio::test]
async fn only_the_missing_runs_are_fetched() {
    let house = House::roomy();
    house.check(5 * 4096, 4096).await;
    house.check(9 * 4096, 2 * 4096).await;
    house.check(0, 20 * 4096).await;
    assert_eq!(house.store.gets(), 2 + 3);
    assert_eq!(house.store.bytes.load(Ordering::SeqCst), 20 * 4096);
}

#[tokio::test]
async fn a_long_read_is_one_get_unless_it_is_longer_than_a_get_may_be() {
    let house = House::roomy();
    house.check(0, 1 << 20).await;
    assert_eq!(house.store.gets(), 1);
    let house = House::new(4096, 16 << 20, 256 << 10);
    house.check(0, 1 << 20).await;
    assert_eq!(house.store.gets(), 4);
}

#[tokio::test]
async fn a_block_larger_than_a_get_is_fetched_in_parts() {
    let house = House::new(1 << 20, 8 << 20, 256 << 10);
    house.check(300_000, 10).await;
    assert_eq!((house.store.gets(), house.store.bytes.load(Ordering::SeqCst)), (4, 1 << 20));
    house.check(1 << 20, 777).await;
    assert_eq!(house.store.gets(), 5);
}

#[tokio::test]
async fn the_last_block_is_short_and_nothing_lies_behind_it() {
    let house = House::roomy();
    house.check(SIZE - 10, 4096).await;
    assert_eq!(house.store.bytes.load(Ordering::SeqCst) as u64, SIZE % 4096);
    let behind = house.cache.read(&house.object, ByteRange::at(SIZE, 4096)).await.unwrap();
    assert_eq!(behind.length(), 0);
    assert_eq!(house.cache.resident(&house.object), SIZE % 4096);
}

#[tokio::test]
async fn blocks_fetched_together_are_answered_in_one_piece() {
    let house = House::roomy();
    let slices = house.cache.read(&house.object, ByteRange::at(100, 500_000)).await.unwrap();
    assert_eq!((slices.iter().count(), slices.length()), (1, 500_000));
    assert_eq!(slices.io_slices().map(|piece| piece.len()).sum::<usize>(), 500_000);
    let again = house.cache.try_read(&house.object, ByteRange::at(100, 500_000)).unwrap();
    assert_eq!(again.iter().count(), 1);
    assert_eq!(again.to_vec(), slices.to_vec());
}

#[tokio::test]
async fn a_read_of_a_changed_object_says_so_and_the_new_version_is_another_object() {
    let house = House::roomy();
    house.check(0, 4096).await;
    let version = house.store.memory.put_now("object", vec![7; SIZE as usize]);
    house.check(0, 4096).await;
    let Err(CacheError::Store(error)) = house.cache.read(&house.object, ByteRange::at(4096, 1)).await else {
        panic!("the version is gone")
    };
    assert_eq!(error.kind, StoreErrorKind::Changed);
    let new = house.cache.pin(ObjectId { version, ..house.object.id.clone() }, SIZE);
    let slices = house.cache.read(&new, ByteRange::at(0, 4096)).await.unwrap();
    assert_eq!(slices.to_vec(), vec![7; 4096]);
    assert_eq!((house.cache.invalidate(&house.object), house.cache.resident(&house.object)), (1, 0));
    assert_eq!(house.cache.resident(&new), 4096);
}

#[tokio::test]
async fn a_body_shorter_than_the_size_believed_is_an_error() {
    let store = Arc::new(MemoryStore::new());
    let version = store.put_now("short", vec![1; 5000]);
    let cache = BlockCache::new(store, &CacheConfig { block_size: BlockSize::MIN, ..CacheConfig::default() });
    let object = cache.pin(ObjectId { key: ObjectKey::from("short"), version }, 8192);
    assert!(cache.read(&object, ByteRange::at(4096, 4096)).await.is_err());
    assert!(cache.try_read(&object, ByteRange::at(4096, 100)).is_none());
}
