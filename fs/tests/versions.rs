//! Files that change or vanish under their readers, and what `getfattr`, `access` and small reads see.

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use rfuse_config::FsConfig;
use rfuse_fs::{Answer, Errno, FsError, Inode, Via};
use rfuse_store::{MemoryStore, PutOptions};
use support::{House, ready};

async fn one_file(content: impl Into<bytes::Bytes>) -> (House, Inode) {
    let memory = MemoryStore::new();
    memory.put_now("f", content);
    let house = House::new(memory);
    let inode = house.find("f").await.expect("the file is there").inode;
    (house, inode)
}

#[tokio::test]
async fn read_after_version_change_is_estale_and_the_next_open_sees_the_new_content() {
    let (house, inode) = one_file(vec![1; 10_000]).await;
    let old = house.fs.open(inode, Via::Pages).wait().await.unwrap();
    assert_eq!(house.fs.read(old.handle, 0, 4096).wait().await.unwrap().to_vec(), [1; 4096]);
    house.store.memory.put_now("f", vec![2; 20_000]);
    let error = house.fs.read(old.handle, 8192, 4096).wait().await.unwrap_err();
    assert_eq!(error.errno(), Errno::STALE);
    let again = house.fs.open(inode, Via::Pages).wait().await;
    assert!(matches!(again, Err(FsError::Stale(_))), "the kernel's pages of this inode are those of the old version");
    let replaced = house.find("f").await.unwrap();
    assert_ne!(replaced.inode, inode);
    assert_eq!(replaced.size, 20_000);
    let new = house.fs.open(replaced.inode, Via::Pages).wait().await.unwrap();
    assert_eq!(house.fs.read(new.handle, 8192, 4096).wait().await.unwrap().to_vec(), [2; 4096]);
    assert_eq!(ready(house.fs.getattr(inode, Some(old.handle))).unwrap().0.size, 10_000);
    assert!(matches!(ready(house.fs.read(old.handle, 0, 4096)), Err(FsError::Stale(_))), "the old handle is done for");
    assert!(house.fs.open(replaced.inode, Via::Pages).wait().await.unwrap().keep_cache);
    assert_eq!(house.fs.snapshot().stale_handles, 1);
}

#[tokio::test]
async fn a_newer_version_opened_beside_an_older_is_another_inode_and_both_keep_their_bytes() {
    let (house, inode) = one_file(vec![1; 10_000]).await;
    let old = house.fs.open(inode, Via::Pages).wait().await.unwrap();
    house.fs.read(old.handle, 0, 4096).wait().await.unwrap();
    house.store.memory.put_now("f", vec![2; 10_000]);
    house.clock.advance(Duration::from_secs(61));
    assert!(matches!(house.fs.open(inode, Via::Pages).wait().await, Err(FsError::Stale(_))));
    let replaced = house.find("f").await.unwrap().inode;
    assert_ne!(replaced, inode);
    let new = house.fs.open(replaced, Via::Pages).wait().await.unwrap();
    assert_eq!(house.fs.read(new.handle, 0, 4096).wait().await.unwrap().to_vec(), [2; 4096]);
    assert_eq!(ready(house.fs.read(old.handle, 0, 4096)).unwrap().to_vec(), [1; 4096], "from memory");
    assert!(matches!(house.fs.read(old.handle, 4096, 4096).wait().await, Err(FsError::Stale(_))), "from the store");
}

#[tokio::test]
async fn a_newer_version_opened_after_an_older_was_closed_is_the_same_inode_without_its_pages() {
    let (house, inode) = one_file(vec![1; 10_000]).await;
    let old = house.fs.open(inode, Via::Pages).wait().await.unwrap();
    house.fs.release(old.handle);
    house.store.memory.put_now("f", vec![2; 10_000]);
    house.clock.advance(Duration::from_secs(61));
    let new = house.fs.open(inode, Via::Pages).wait().await.unwrap();
    assert!(!new.keep_cache);
    let beside = house.fs.open(inode, Via::Pages).wait().await.unwrap();
    assert!(!beside.keep_cache, "nobody knows yet whether the kernel has dropped what it had");
    assert_eq!(house.fs.read(new.handle, 0, 4096).wait().await.unwrap().to_vec(), [2; 4096]);
    assert!(house.fs.open(inode, Via::Pages).wait().await.unwrap().keep_cache, "a read came through: it has");
}

#[tokio::test]
async fn a_deleted_file_is_stale_to_its_reader_and_gone_to_others() {
    let (house, inode) = one_file(vec![1; 10_000]).await;
    let old = house.fs.open(inode, Via::Pages).wait().await.unwrap();
    house.store.memory.remove_now("f");
    assert!(matches!(house.fs.read(old.handle, 0, 4096).wait().await, Err(FsError::Stale(_))));
    assert!(matches!(house.fs.open(inode, Via::Pages).wait().await, Err(FsError::NotFound)));
    assert!(house.find("f").await.is_none());
}

#[tokio::test]
async fn reads_are_clamped_to_the_pinned_size() {
    let (house, inode) = one_file(vec![1; 5000]).await;
    let opened = house.fs.open(inode, Via::Pages).wait().await.unwrap();
    assert_eq!(house.fs.read(opened.handle, 4096, 131_072).wait().await.unwrap().length(), 904);
    assert_eq!(ready(house.fs.read(opened.handle, 5000, 4096)).unwrap().length(), 0);
    assert_eq!(ready(house.fs.read(opened.handle, u64::MAX, u32::MAX)).unwrap().length(), 0);
    house.fs.release(opened.handle);
    assert!(matches!(ready(house.fs.read(opened.handle, 0, 1)), Err(FsError::Unknown(_))));
}

#[tokio::test]
async fn a_read_at_random_fetches_its_block_and_nothing_else_whatever_the_size() {
    let (house, inode) = one_file(vec![1; 100 << 10]).await;
    let opened = house.fs.open(inode, Via::Pages).wait().await.unwrap();
    for block in [17u64, 3, 24, 9, 0] {
        house.fs.read(opened.handle, block * 4096, 4096).wait().await.unwrap();
    }
    assert_eq!(house.store.take().0, 5);
    assert_eq!(house.store.bytes.load(Ordering::SeqCst), 5 * 4096);
}

#[tokio::test]
async fn a_small_file_read_whole_is_one_request_and_in_pieces_two() {
    let (house, inode) = one_file(vec![1; 100 << 10]).await;
    let opened = house.fs.open(inode, Via::Pages).wait().await.unwrap();
    house.store.take();
    assert_eq!(house.fs.read(opened.handle, 0, 128 << 10).wait().await.unwrap().length(), 100 << 10);
    assert_eq!(house.store.take().0, 1);
    let (house, inode) = one_file(vec![1; 100 << 10]).await;
    let opened = house.fs.open(inode, Via::Pages).wait().await.unwrap();
    for piece in 0..25 {
        house.fs.read(opened.handle, piece * 4096, 4096).wait().await.unwrap();
    }
    assert_eq!(house.store.take().0, 2);
}

#[tokio::test]
async fn attributes_tell_what_the_store_knows() {
    let memory = MemoryStore::new();
    let options = PutOptions { content_type: Some("text/plain".into()), ..PutOptions::default() };
    let version = memory.put_with("d/f", "hello", options);
    let house = House::new(memory);
    let file = house.find("d/f").await.unwrap().inode;
    let value = |name: &'static str| house.fs.getxattr(file, name.as_bytes()).wait();
    assert_eq!(value("user.rfuse.etag").await.unwrap(), version.as_str().as_bytes());
    assert_eq!(value("user.rfuse.key").await.unwrap(), b"d/f");
    assert_eq!(value("user.rfuse.content_type").await.unwrap(), b"text/plain");
    assert_eq!(value("user.rfuse.cache").await.unwrap(), b"0/5");
    house.content(file).await.unwrap();
    assert_eq!(value("user.rfuse.cache").await.unwrap(), b"5/5");
    for name in ready(house.fs.listxattr(file)).unwrap() {
        house.fs.getxattr(file, &name).wait().await.unwrap();
    }
    house.store.take();
    assert!(matches!(ready(house.fs.getxattr(file, b"security.capability")), Err(FsError::NoAttribute)));
    let directory = house.find("d").await.unwrap().inode;
    assert_eq!(ready(house.fs.getxattr(directory, b"user.rfuse.key")).unwrap(), b"d/");
    assert!(matches!(ready(house.fs.getxattr(directory, b"user.rfuse.etag")), Err(FsError::NoAttribute)));
    assert_eq!(house.store.take(), (0, 0, 0));
}

#[tokio::test]
async fn access_follows_the_mode_bits_and_nothing_may_write() {
    let (house, file) = one_file("x").await;
    assert!(house.fs.access(file, 1000, 1000, 4).is_ok());
    assert!(matches!(house.fs.access(file, 1000, 1000, 2), Err(FsError::ReadOnly)));
    assert!(matches!(house.fs.access(file, 1000, 1000, 1), Err(FsError::Denied)));
    assert!(matches!(house.fs.access(file, 0, 0, 1), Err(FsError::Denied)), "not even root runs what nobody may run");
    assert!(house.fs.access(Inode::ROOT, 1000, 1000, 5).is_ok());
}

#[tokio::test]
async fn a_forgotten_path_has_the_same_number_again() {
    let (house, inode) = one_file("x").await;
    house.fs.forget(inode, 1);
    assert!(matches!(house.fs.open(inode, Via::Pages).wait().await, Err(FsError::Unknown(_))));
    assert_eq!(house.find("f").await.unwrap().inode, inode);
    assert_eq!(house.list(Inode::ROOT).await[0].attr.inode, inode);
}

#[tokio::test]
async fn an_entry_read_with_its_attributes_is_known_once_it_is_remembered() {
    let (house, inode) = one_file("x").await;
    house.fs.forget(inode, 1);
    let handle = house.fs.opendir(Inode::ROOT).wait().await.unwrap();
    let entries = house.fs.readdir(handle, 0, 10).wait().await.unwrap();
    house.store.take();
    assert!(entries.iter().all(|entry| house.fs.remember(handle, entry) == entry.attr.inode));
    assert_eq!(house.fs.snapshot().inodes, 1);
    assert_eq!(ready(house.fs.getattr(inode, None)).unwrap().0.size, 1);
    ready(house.fs.open(inode, Via::Pages)).unwrap();
    assert_eq!(house.store.take(), (0, 0, 0));
}

#[tokio::test]
async fn files_are_not_directories_and_the_other_way_round() {
    let memory = MemoryStore::new();
    memory.put_now("d/f", "x");
    let house = House::new(memory);
    let (directory, file) = (house.find("d").await.unwrap().inode, house.find("d/f").await.unwrap().inode);
    assert!(matches!(house.fs.open(directory, Via::Pages).wait().await, Err(FsError::IsADirectory)));
    assert!(matches!(house.fs.opendir(file).wait().await, Err(FsError::NotADirectory)));
    assert!(matches!(house.lookup(file, b"x").await, Err(FsError::NotADirectory)));
}

#[tokio::test]
async fn a_read_given_up_at_its_deadline_spares_the_next_ones_theirs_for_a_moment() {
    let (house, inode) = one_file(vec![1; 10_000]).await;
    let file = house.fs.open(inode, Via::Pages).wait().await.unwrap();
    let read = || house.fs.read(file.handle, 4096, 4096);
    drop(read());
    let waiting = read();
    assert!(matches!(waiting, Answer::Pending(_)), "an interrupted read says nothing about the store");
    house.clock.advance(FsConfig::default().deadline);
    drop(waiting);
    assert!(matches!(ready(read()), Err(FsError::Deadline(_))));
    house.clock.advance(Duration::from_millis(200));
    assert_eq!(read().wait().await.unwrap().to_vec(), [1; 4096]);
}

#[tokio::test]
async fn after_another_process_the_first_open_drops_the_pages_and_the_next_keeps_them() {
    let (house, inode) = one_file(vec![1; 10_000]).await;
    house.fs.follow_another_process();
    assert!(!house.fs.open(inode, Via::Pages).wait().await.unwrap().keep_cache, "they may be of another version");
    assert!(house.fs.open(inode, Via::Pages).wait().await.unwrap().keep_cache);
}
