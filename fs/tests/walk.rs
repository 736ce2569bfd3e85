//! Recursive walks: how many requests they take.

#![expect(clippy::unwrap_used, reason = "the walker is part of the tests")]

mod support;

use std::time::Duration;

use rfuse_config::FsConfig;
use rfuse_fs::{FileKind, Inode};
use rfuse_store::MemoryStore;
use support::House;

/// 5,000 files in 1,111 directories.
fn tree(with_markers: bool) -> MemoryStore {
    let memory = MemoryStore::new();
    for a in 0..10 {
        for b in 0..10 {
            for c in 0..10 {
                for file in 0..5 {
                    memory.put_now(format!("d{a}/d{b}/d{c}/file-{file}.bin").as_str(), "x");
                }
                if with_markers {
                    memory.put_now(format!("d{a}/d{b}/d{c}/").as_str(), "");
                }
            }
            if with_markers {
                memory.put_now(format!("d{a}/d{b}/").as_str(), "");
            }
        }
        if with_markers {
            memory.put_now(format!("d{a}/").as_str(), "");
        }
    }
    memory
}

/// Walks as `find` does: reads a directory to its end, then goes down in its order. Directories, files.
async fn find(house: &House, depth_max: usize) -> (usize, usize) {
    let (mut directories, mut files) = (0, 0);
    let mut todo = vec![(Inode::ROOT, 0)];
    while let Some((inode, depth)) = todo.pop() {
        directories += 1;
        let mut below = Vec::new();
        for entry in house.list(inode).await {
            let found = house.lookup(inode, &entry.name).await.unwrap().unwrap();
            assert_eq!(found.inode, entry.attr.inode);
            match entry.attr.kind {
                FileKind::Directory if depth < depth_max => below.push((found.inode, depth + 1)),
                FileKind::Directory => {}
                _ => files += 1,
            }
        }
        todo.extend(below.into_iter().rev());
    }
    (directories, files)
}

#[tokio::test]
async fn find_over_5000_files_in_1111_directories_takes_at_most_12_requests() {
    for with_markers in [false, true] {
        let house = House::new(tree(with_markers));
        assert_eq!(find(&house, 99).await, (1111, 5000));
        let (gets, heads, lists) = house.store.take();
        println!("markers: {with_markers}: {lists} lists");
        assert_eq!((gets, heads), (0, 0));
        assert!(lists <= 12, "{lists} lists");
        assert_eq!(find(&house, 99).await, (1111, 5000));
        assert_eq!(house.store.take(), (0, 0, 0));
    }
}

#[tokio::test]
async fn a_walk_takes_no_longer_than_its_pages() {
    let house = House::with(tree(false), Duration::from_millis(10), &FsConfig::default());
    let begun = std::time::Instant::now();
    assert_eq!(find(&house, 99).await, (1111, 5000));
    println!("{:?}, {} lists", begun.elapsed(), house.store.take().2);
}

#[tokio::test]
async fn a_walk_of_large_directories_lists_few_pages_twice() {
    let memory = MemoryStore::new();
    for class in 0..50 {
        for image in 0..1300 {
            memory.put_now(format!("train/n{class:02}/{image:04}.jpg").as_str(), "x");
        }
    }
    let house = House::new(memory);
    assert_eq!(find(&house, 99).await, (52, 65_000));
    let lists = house.store.take().2;
    println!("{lists} lists");
    assert!(lists <= 100 + 30, "{lists} lists; by directory it takes 102");
}

#[tokio::test]
async fn a_walk_that_never_was_one_costs_ten_pages() {
    let memory = MemoryStore::new();
    for directory in 0..20 {
        for file in 0..12_000 {
            memory.put_pattern(format!("d{directory:02}/x/{file:05}").as_str(), 1, 1);
        }
    }
    let house = House::new(memory);
    assert_eq!(find(&house, 1).await, (21, 0));
    let lists = house.store.take().2;
    println!("{lists} lists");
    assert!(lists <= 21 + 11, "{lists} lists");
}
