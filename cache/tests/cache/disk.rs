//! The disk tier when all goes well: what is written, what is found again, what leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rfuse_block::ByteRange;
use rfuse_config::Admit;

use crate::folder::Folder;
use crate::support::settle;

const MIB: u64 = 1 << 20;
const SOME: u64 = 8 * MIB + 777;

#[tokio::test]
async fn what_is_read_once_is_not_written_and_the_second_epoch_is() {
    let dir = tempfile::tempdir().unwrap();
    let open = Folder { admit: Admit::Again, ..Folder::new(dir.path(), SOME) }.open();
    open.pass(32 << 10).await;
    // The ghost takes one name in some thousands for another.
    assert!(open.disk().written_bytes <= 16 * 4096, "{:?}", open.disk());
    open.pass(32 << 10).await;
    let disk = open.disk();
    // The rest was in memory.
    assert!(disk.written_bytes >= SOME * 6 / 10 && disk.dropped == 0, "{disk:?}");
    let gets = open.store.gets();
    open.pass(32 << 10).await;
    let disk = open.disk();
    assert!(disk.hits * 4096 >= SOME * 5 / 10, "{disk:?}");
    assert!(open.store.gets() - gets <= 40, "{} GETs", open.store.gets() - gets);
}

#[tokio::test]
async fn what_is_hot_in_memory_comes_to_disk_though_it_was_fetched_once() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { admit: Admit::Again, ..Folder::new(dir.path(), SOME) };
    let open = folder.open();
    for _ in 0..4 {
        open.check(0, 10 * 4096).await;
    }
    open.check(100 * 4096, 10 * 4096).await;
    let end = Instant::now() + Duration::from_secs(40);
    while open.disk().written_bytes < 10 * 4096 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((open.disk().written_bytes, open.store.gets()), (10 * 4096, 2));
    drop(open);
    let open = folder.open();
    open.check(0, 10 * 4096).await;
    assert_eq!(open.store.gets(), 0);
}

#[tokio::test]
async fn after_a_restart_everything_is_there_and_costs_no_get() {
    for block in [4096, 65_536, 1 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder { block, ..Folder::new(dir.path(), SOME) };
        let open = folder.open();
        open.pass(2 * block).await;
        assert_eq!(open.disk().dropped, 0);
        drop(open);
        let open = folder.open();
        let begun = open.disk();
        assert!(begun.resident_bytes > folder.object && begun.hits == 0);
        for offset in (0..folder.object).step_by(100_000) {
            open.check(offset, 100_000).await;
        }
        assert_eq!(open.store.gets(), 0, "blocks of {block}");
        assert!(open.disk().hits > 0 && open.disk().misses == 0);
    }
}

#[tokio::test]
async fn a_half_filled_segment_is_carried_on_with_by_the_next_mount() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path(), SOME);
    for part in 0..6 {
        let open = folder.open();
        open.check(part * 100_000, 100_000).await;
        open.cache.flush();
    }
    assert_eq!(crate::folder::files(&dir.path().join("blocks")).len(), 4, "one segment, the lock and the seed");
    let open = folder.open();
    open.check(0, 600_000).await;
    assert_eq!(open.store.gets(), 0);
}

#[tokio::test]
async fn only_what_is_missing_is_fetched_and_neighbours_by_one_get() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { memory: 1000, ..Folder::new(dir.path(), SOME) };
    let open = folder.open();
    for block in [1, 2, 5, 6, 7] {
        open.check(block * 4096, 4096).await;
    }
    open.cache.flush();
    drop(open);
    let open = folder.open();
    open.check(0, 10 * 4096).await;
    assert_eq!(open.store.gets(), 3, "block 0, blocks 3 to 4, blocks 8 to 9");
    assert_eq!(open.store.bytes.load(std::sync::atomic::Ordering::SeqCst), 5 * 4096);
    let disk = open.disk();
    assert_eq!((disk.hits, disk.misses), (5, 5));
}

#[tokio::test]
async fn an_extent_in_shreds_costs_few_gets() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { memory: 1000, ..Folder::new(dir.path(), SOME) };
    let open = folder.open();
    for block in (0..200).step_by(2) {
        open.check(block * 4096, 4096).await;
    }
    open.cache.flush();
    drop(open);
    let open = folder.open();
    open.check(0, 200 * 4096).await;
    assert!(open.store.gets() <= 10, "{} GETs", open.store.gets());
}

#[tokio::test]
async fn readers_of_one_block_on_disk_cost_one_read_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path(), SOME);
    let open = folder.open();
    open.check(0, 8192).await;
    open.cache.flush();
    drop(open);
    let open = Arc::new(folder.open());
    let readers: Vec<_> = (0..200)
        .map(|_| {
            let open = open.clone();
            tokio::spawn(async move { open.check(4096, 4096).await })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!((open.disk().hits, open.store.gets()), (1, 0));
}

#[tokio::test]
async fn a_reader_who_leaves_while_the_disk_is_read_gives_its_memory_back() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { memory: 2, ..Folder::new(dir.path(), SOME) };
    let open = folder.open();
    open.check(0, 4 * 4096).await;
    open.cache.flush();
    drop(open);
    let open = Arc::new(folder.open());
    for round in 0..200 {
        let reader = open.clone();
        let task = tokio::spawn(async move { reader.check(round % 3 * 4096, 8192).await });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
            task.abort();
        }
        let _ = task.await;
    }
    settle().await;
    open.check(0, SOME).await;
}

#[tokio::test]
async fn another_version_of_an_object_is_another_block_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path(), SOME);
    let open = folder.open();
    open.check(0, SOME).await;
    open.cache.flush();
    let other = crate::support::pin_pattern(&open.store, &open.cache, "object", SOME, 5);
    let bytes = open.cache.read(&other, ByteRange::at(0, 100_000)).await.unwrap().to_vec();
    assert!(bytes == rfuse_store::pattern::bytes(5, 0, 100_000));
}

#[tokio::test]
async fn what_is_invalidated_is_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let open = Folder::new(dir.path(), SOME).open();
    open.pass(8192).await;
    assert!(open.cache.invalidate(&open.object) >= SOME / 4096);
    let gets = open.store.gets();
    open.check(0, 4096).await;
    assert_eq!(open.store.gets(), gets + 1);
}

#[tokio::test]
async fn the_cap_is_never_passed_and_new_blocks_replace_old_ones() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { size: 16 * MIB, ..Folder::new(dir.path(), 60 * MIB) };
    let open = folder.open();
    for offset in (0..60 * MIB).step_by(256 << 10) {
        open.check(offset, 256 << 10).await;
        open.cache.flush();
        assert!(folder.bytes() <= folder.size, "{} bytes", folder.bytes());
    }
    let disk = open.disk();
    assert!(disk.evictions > 0 && folder.bytes() > 13 * MIB, "{disk:?}");
    drop(open);
    assert_eq!(folder.open().disk().errors, 0);
}

#[tokio::test]
async fn epochs_over_more_than_the_disk_keep_a_useful_share() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { size: 16 * MIB, admit: Admit::Again, ..Folder::new(dir.path(), 24 * MIB) };
    let open = folder.open();
    let mut shares = Vec::new();
    for _ in 0..6 {
        let before = open.disk().hits;
        open.pass(64 << 10).await;
        shares.push((open.disk().hits - before) as f64 * 4096.0 / folder.object as f64);
    }
    assert!(shares[5] > 0.4, "of at most 0.6: {shares:?}");
}

#[tokio::test]
async fn two_mounts_share_what_each_has_finished_and_never_pass_the_cap_together() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { size: 16 * MIB, ..Folder::new(dir.path(), 8 * MIB) };
    let (one, two) = (folder.open(), folder.open());
    one.pass(256 << 10).await;
    let end = Instant::now() + Duration::from_secs(20);
    while two.disk().resident_bytes < 6 * MIB && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for offset in (0..6 * MIB).step_by(256 << 10) {
        two.check(offset, 256 << 10).await;
    }
    assert!(two.disk().hits >= 1000 && two.store.gets() <= 5, "{:?}, {} GETs", two.disk(), two.store.gets());
    // Both write more than there is room for, at once.
    let bigger = Folder { object: 40 * MIB, ..folder.clone() };
    let (three, four) = (Arc::new(bigger.open()), Arc::new(bigger.open()));
    let tasks = [three.clone(), four.clone()].map(|open| {
        let folder = folder.clone();
        tokio::spawn(async move {
            for offset in (0..40 * MIB).step_by(256 << 10) {
                open.check(offset, 256 << 10).await;
                open.cache.flush();
                assert!(folder.bytes() <= folder.size, "{}", folder.bytes());
            }
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    one.pass(256 << 10).await;
    two.pass(256 << 10).await;
    for open in [&one, &two, &*three, &*four] {
        let disk = open.disk();
        assert_eq!((disk.corrupt, disk.errors), (0, 0), "{disk:?}");
    }
}
