//! Every kind of key that a store can hold, and what becomes of it.

mod support;

use std::collections::BTreeMap;

use rfuse_block::ObjectKey;
use rfuse_fs::{FileKind, FsError, Inode};
use rfuse_store::{MemoryStore, PutOptions};
use support::House;

fn options(key: &str, value: &str) -> PutOptions {
    PutOptions { content_type: None, metadata: BTreeMap::from([(key.into(), value.into())]) }
}

fn put(memory: &MemoryStore, key: &[u8]) {
    memory.put_now(ObjectKey::new(key), key.to_vec());
}

#[tokio::test]
async fn hostile_names_are_shown_exactly_or_not_at_all() {
    let memory = MemoryStore::new();
    let long = [b'x'; 255];
    let too_long = [b'y'; 256];
    let deepest =
        [&[b'k'; 250][..], b"/", &[b'l'; 250], b"/", &[b'm'; 250], b"/", &[b'n'; 250], b"/", &[b'o'; 20]].concat();
    assert_eq!(deepest.len(), 1024);
    let shown: [&[u8]; 8] = [b"a\nb", b"\xff\xfe", b"...", b"-rf", b" ", b"\x1b[31m", &long, &deepest];
    for key in shown {
        put(&memory, key);
    }
    for key in
        [&b"."[..], b"..", b"../etc/passwd", b"./x", b"/etc/passwd", b"//", b"nul\0byte", b"c:/..\0/x", &too_long]
    {
        put(&memory, key);
    }
    let house = House::new(memory);
    let mut names: Vec<Vec<u8>> = house.list(Inode::ROOT).await.into_iter().map(|entry| entry.name).collect();
    names.sort();
    let mut expected: Vec<Vec<u8>> =
        shown.iter().map(|key| key.split(|&b| b == b'/').next().unwrap().to_vec()).collect();
    expected.push(b"c:".to_vec());
    expected.sort();
    assert_eq!(names, expected);
    for key in &shown[..7] {
        let found = house.lookup(Inode::ROOT, key).await.unwrap().unwrap();
        assert_eq!(house.content(found.inode).await.unwrap(), *key);
    }
    let found = house.find(std::str::from_utf8(&deepest).unwrap()).await.unwrap();
    assert_eq!(house.content(found.inode).await.unwrap(), deepest);
    // At the root: the empty part, `.` as an object and as a prefix, `..`, the NUL and the long one.
    assert_eq!(house.fs.snapshot().unreachable_objects, 6);
}

#[tokio::test]
async fn names_that_cannot_be_are_not_found() {
    let house = House::new(MemoryStore::new());
    for key in [&b"."[..], b"..", b"", b"a\0b", b"a/b"] {
        assert!(matches!(house.lookup(Inode::ROOT, key).await, Err(FsError::NotFound)));
    }
    assert!(matches!(house.lookup(Inode::ROOT, &[b'x'; 256]).await, Err(FsError::BadName)));
    assert_eq!(house.store.take(), (0, 0, 0));
}

#[tokio::test]
async fn an_empty_part_hides_what_is_behind_it_and_nothing_else() {
    let memory = MemoryStore::new();
    for key in ["a//b", "a/c", "a//d"] {
        put(&memory, key.as_bytes());
    }
    let house = House::new(memory);
    let a = house.find("a").await.unwrap();
    assert_eq!(house.names(a.inode).await, ["c"]);
    assert_eq!(house.fs.snapshot().unreachable_objects, 1);
}

#[tokio::test]
async fn a_directory_wins_its_name_from_an_object_in_look_ups_and_listings() {
    let memory = MemoryStore::new();
    put(&memory, b"a");
    put(&memory, b"a-1");
    put(&memory, b"a/b");
    let house = House::new(memory);
    assert_eq!(house.find("a").await.unwrap().kind, FileKind::Directory);
    assert_eq!(house.names(Inode::ROOT).await, ["a-1", "a"]);
    assert_eq!(house.find("a").await.unwrap().kind, FileKind::Directory);
    assert!(house.find("a/b").await.is_some());
    assert_eq!(house.fs.snapshot().unreachable_objects, 1);
}

#[tokio::test]
async fn markers_of_every_kind_are_directories_with_the_markers_time() {
    let memory = MemoryStore::new();
    put(&memory, b"implied/x");
    memory.put_now("slash/", "");
    memory.put_with("folder", "", options("hdi_isfolder", "true"));
    memory.put_with("both", "", options("hdi_isfolder", "true"));
    put(&memory, b"both/x");
    let house = House::new(memory);
    assert_eq!(house.names(Inode::ROOT).await, ["both", "folder", "implied", "slash"]);
    for (name, below) in [("implied", vec!["x"]), ("slash", vec![]), ("folder", vec![]), ("both", vec!["x"])] {
        let found = house.find(name).await.unwrap();
        assert_eq!((found.kind, found.links), (FileKind::Directory, 2), "{name}");
        assert_eq!(house.names(found.inode).await, below, "{name}");
    }
    let house = House::new(MemoryStore::new());
    house.store.memory.put_now("slash/", "");
    let looked_up = house.find("slash").await.unwrap();
    assert_eq!(looked_up.kind, FileKind::Directory);
}

#[tokio::test]
async fn a_link_of_blobfuse2_is_a_link() {
    let memory = MemoryStore::new();
    memory.put_with("link", "../some/where", options("is_symlink", "true"));
    put(&memory, b"file");
    let house = House::new(memory);
    let link = house.find("link").await.unwrap();
    assert_eq!((link.kind, link.size), (FileKind::Symlink, 13));
    assert_eq!(house.fs.readlink(link.inode).wait().await.unwrap(), b"../some/where");
    let file = house.find("file").await.unwrap();
    assert!(matches!(house.fs.readlink(file.inode).wait().await, Err(FsError::Invalid(_))));
}
