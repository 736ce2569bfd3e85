//! What each operation costs in requests.

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use rfuse_config::FsConfig;
use rfuse_fs::{FileKind, Inode, Via};
use rfuse_store::MemoryStore;
use support::{House, ready};

fn files(count: usize) -> MemoryStore {
    let memory = MemoryStore::new();
    for number in 0..count {
        memory.put_now(format!("d/f{number:05}").as_str(), vec![7; 10]);
    }
    memory
}

#[tokio::test]
async fn ls_l_after_ls_and_stat_of_a_listed_file_cost_nothing() {
    let house = House::new(files(2500));
    let directory = house.find("d").await.unwrap();
    house.store.take();
    let entries = house.list(directory.inode).await;
    assert_eq!(entries.len(), 2500);
    assert_eq!(house.store.take(), (0, 0, 3));
    for entry in &entries {
        let found = house.lookup(directory.inode, &entry.name).await.unwrap().unwrap();
        assert_eq!(found, entry.attr);
        assert_eq!(ready(house.fs.getattr(found.inode, None)).unwrap().0.size, 10);
    }
    assert_eq!(house.names(directory.inode).await.len(), 2500);
    assert_eq!(house.store.take(), (0, 0, 0));
}

#[tokio::test]
async fn a_listed_directory_also_knows_what_is_not_there_for_the_negative_time() {
    let house = House::new(files(10));
    let directory = house.find("d").await.unwrap();
    house.list(directory.inode).await;
    house.store.take();
    assert_eq!(house.lookup(directory.inode, b"nope").await.unwrap(), None);
    assert_eq!(house.store.take(), (0, 0, 0));
    house.clock.advance(Duration::from_secs(6));
    house.store.memory.put_now("d/nope", "here now");
    assert!(house.lookup(directory.inode, b"nope").await.unwrap().is_some());
    assert_eq!(house.store.take(), (0, 0, 1));
}

#[tokio::test]
async fn a_lookup_is_one_request_and_so_is_a_name_that_is_not_there() {
    let memory = files(3);
    memory.put_now("file", "x");
    let house = House::new(memory);
    assert_eq!(house.find("file").await.unwrap().kind, FileKind::File);
    assert_eq!(house.store.take(), (0, 0, 1));
    assert_eq!(house.find("d").await.unwrap().kind, FileKind::Directory);
    assert_eq!(house.store.take(), (0, 0, 1));
    house.find("d").await.unwrap();
    house.find("file").await.unwrap();
    assert_eq!(house.store.take(), (0, 0, 0));
    let house = House::new(files(3));
    assert!(house.find("none").await.is_none());
    assert!(house.find("none").await.is_none());
    assert_eq!(house.store.take(), (0, 0, 1));
    house.clock.advance(Duration::from_secs(5));
    assert!(house.find("none").await.is_none());
    assert_eq!(house.store.take(), (0, 0, 1));
}

#[tokio::test]
async fn a_directory_is_found_behind_any_number_of_siblings_that_begin_like_it() {
    let memory = MemoryStore::new();
    for number in 0..100 {
        memory.put_now(format!("a-{number}").as_str(), "x");
    }
    memory.put_now("a/b", "x");
    let house = House::new(memory);
    assert_eq!(house.find("a").await.unwrap().kind, FileKind::Directory);
    assert_eq!(house.store.take(), (0, 0, 2));
}

#[tokio::test]
async fn a_hundred_waiters_for_one_name_are_one_request() {
    let house = House::new(files(3));
    let directory = house.find("d").await.unwrap();
    house.store.take();
    let found = join_all((0..100).map(|_| house.lookup(directory.inode, b"f00001"))).await;
    assert!(found.iter().all(|found| found.as_ref().unwrap().is_some()));
    assert_eq!(house.store.take(), (0, 0, 1));
}

#[tokio::test]
async fn a_dropped_lookup_leaves_the_name_to_others() {
    let house = House::new(files(3));
    let directory = house.find("d").await.unwrap();
    let mut first = Box::pin(house.lookup(directory.inode, b"f00001"));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(first.as_mut().poll(&mut context).is_pending());
    let second = house.lookup(directory.inode, b"f00001");
    drop(first);
    assert!(second.await.unwrap().is_some());
}

#[tokio::test]
async fn files_opened_by_name_in_an_unlisted_directory_cost_one_request_each() {
    let house = House::new(files(2000));
    let directory = house.find("d").await.unwrap();
    house.store.take();
    for number in 0..2000 {
        let name = format!("f{number:05}");
        let attr = house.lookup(directory.inode, name.as_bytes()).await.unwrap().unwrap();
        assert_eq!(house.content(attr.inode).await.unwrap(), [7; 10]);
    }
    let (gets, heads, lists) = house.store.take();
    assert_eq!((gets, heads), (2000, 0));
    assert!(lists <= 5, "{lists} lists");
}

#[tokio::test]
async fn reopening_costs_nothing_inside_the_time_and_one_head_after() {
    let house = House::new(files(3));
    let file = house.find("d/f00001").await.unwrap();
    house.store.take();
    let first = ready(house.fs.open(file.inode, Via::Pages)).unwrap();
    let second = ready(house.fs.open(file.inode, Via::Pages)).unwrap();
    assert!(first.keep_cache && second.keep_cache);
    assert_eq!(house.store.take(), (0, 0, 0));
    house.clock.advance(Duration::from_secs(60));
    assert!(house.fs.open(file.inode, Via::Pages).wait().await.unwrap().keep_cache);
    assert_eq!(house.store.take(), (0, 1, 0));
    assert!(ready(house.fs.open(file.inode, Via::Pages)).unwrap().keep_cache);
}

#[tokio::test]
async fn a_reader_that_stops_early_costs_two_pages() {
    let house = House::new(files(20_000));
    let directory = house.find("d").await.unwrap();
    house.store.take();
    let handle = house.fs.opendir(directory.inode).wait().await.unwrap();
    let some = house.fs.readdir(handle, 0, 10).wait().await.unwrap();
    assert_eq!(some.len(), 10);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(house.store.take().2 <= 2);
}

#[tokio::test]
async fn a_directory_larger_than_memory_is_read_whole_and_within_the_bound() {
    let config = FsConfig { entries_max: 3000, ..FsConfig::default() };
    let house = House::with(files(20_000), Duration::ZERO, &config);
    let directory = house.find("d").await.unwrap();
    let handle = house.fs.opendir(directory.inode).wait().await.unwrap();
    let (mut names, mut cookie, mut most) = (Vec::new(), 0, 0);
    loop {
        let some = house.fs.readdir(handle, cookie, 100).wait().await.unwrap();
        let Some(last) = some.last() else { break };
        cookie = last.next;
        names.extend(some.into_iter().map(|entry| entry.name));
        most = most.max(house.fs.snapshot().entries);
    }
    assert_eq!(names.len(), 20_002);
    names.dedup();
    assert_eq!(names.len(), 20_002);
    assert!(most <= 3000, "{most} names");
    let again = house.fs.readdir(handle, 12, 1).wait().await.unwrap();
    assert_eq!(again[0].name, b"f00010", "a reader that goes back finds its place");
}

#[tokio::test]
async fn without_permission_to_list_files_are_found_by_name() {
    let house = House::new(files(3));
    house.store.may_list.store(false, std::sync::atomic::Ordering::SeqCst);
    house.store.memory.put_now("file", "x");
    let file = house.find("file").await.unwrap();
    assert_eq!(house.content(file.inode).await.unwrap(), b"x");
    assert!(house.lookup(Inode::ROOT, b"nothing").await.unwrap().is_none());
}
