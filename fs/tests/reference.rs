//! The file system against a plain model: random keys, then every name listed, looked up and read.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rfuse_block::ObjectKey;
use rfuse_fs::{FileKind, Inode};
use rfuse_store::MemoryStore;
use support::House;

/// What should be seen: files by path, and directories.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    files: BTreeMap<Vec<u8>, Vec<u8>>,
    directories: BTreeSet<Vec<u8>>,
}

fn is_name(part: &[u8]) -> bool {
    !part.is_empty() && part.len() <= 255 && part != b"." && part != b".." && !part.contains(&0)
}

fn model(keys: &BTreeSet<Vec<u8>>) -> Seen {
    let mut seen = Seen::default();
    for key in keys {
        let parts: Vec<&[u8]> = key.split(|&byte| byte == b'/').collect();
        for depth in 1..parts.len() {
            if !parts[..depth].iter().all(|part| is_name(part)) {
                break;
            }
            seen.directories.insert(parts[..depth].join(&b'/'));
        }
    }
    for key in keys {
        let is_path = key.split(|&byte| byte == b'/').all(is_name);
        if is_path && !seen.directories.contains(key) {
            seen.files.insert(key.clone(), key.clone());
        }
    }
    seen
}

#[expect(clippy::unwrap_used, reason = "part of the test")]
async fn walk(house: &House, look_up_first: bool) -> Seen {
    let mut seen = Seen::default();
    let mut todo = vec![(Inode::ROOT, Vec::new())];
    while let Some((inode, path)) = todo.pop() {
        let mut names = BTreeSet::new();
        for entry in house.list(inode).await {
            assert!(names.insert(entry.name.clone()), "{} twice", entry.name.escape_ascii());
            let attr = house.lookup(inode, &entry.name).await.unwrap().unwrap();
            assert_eq!((attr.inode, attr.kind, attr.size), (entry.attr.inode, entry.attr.kind, entry.attr.size));
            let below = if path.is_empty() { entry.name.clone() } else { [&path[..], b"/", &entry.name].concat() };
            match attr.kind {
                FileKind::Directory => {
                    seen.directories.insert(below.clone());
                    todo.push((attr.inode, below));
                }
                _ => {
                    let content = house.content(attr.inode).await.unwrap();
                    seen.files.insert(below, content);
                }
            }
        }
        if look_up_first {
            todo.reverse();
        }
    }
    seen
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        8 => prop::collection::vec(prop::sample::select(b"abA-.0\xff\n".to_vec()), 1..3),
        1 => Just(Vec::new()),
        1 => prop::sample::select(vec![b".".to_vec(), b"..".to_vec(), vec![0], vec![b'x'; 256], b"a".to_vec()]),
    ];
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join(&b'/')).prop_filter("a key", |key| !key.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_listed_looked_up_and_read_is_what_the_keys_say(
        keys in prop::collection::btree_set(key(), 0..40), page in 1u32..7, reversed: bool, look_up: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let memory = MemoryStore::with_page_max(page);
            for key in &keys {
                memory.put_now(ObjectKey::new(key.as_slice()), key.clone());
            }
            let house = House::new(memory);
            let expected = model(&keys);
            if look_up {
                for path in expected.files.keys().chain(&expected.directories) {
                    let mut inode = Inode::ROOT;
                    for part in path.split(|&byte| byte == b'/') {
                        inode = house.lookup(inode, part).await.unwrap().unwrap().inode;
                    }
                }
            }
            assert_eq!(walk(&house, reversed).await, expected);
            assert_eq!(walk(&house, !reversed).await, expected);
        });
    }
}
