//! A folder as a store: names, versions and pages against the real file system.

use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{ListEntry, MemoryStore, Urgency, pattern};

fn store() -> (TempDir, LocalStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    (directory, store)
}

async fn get(store: &dyn Store, key: &str, version: Option<&Version>, range: ByteRange) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0; range.length() as usize];
    let key = ObjectKey::from(key);
    let get = Get { key: &key, version, range, urgency: Urgency::Demand };
    store.get(get, &mut Landing::one(&mut bytes)).await?;
    Ok(bytes)
}

/// Every page of a listing.
async fn list(store: &dyn Store, prefix: &str, delimited: bool, limit: Option<u32>) -> Vec<ListEntry> {
    let prefix = ObjectKey::from(prefix);
    let (mut entries, mut token) = (Vec::new(), None);
    loop {
        let request =
            ListRequest { prefix: &prefix, delimited, token: token.as_ref(), limit, urgency: Urgency::Demand };
        let page = store.list(request).await.unwrap();
        entries.extend(page.entries);
        match page.next {
            Some(next) => token = Some(next),
            None => return entries,
        }
    }
}

fn names(entries: &[ListEntry]) -> Vec<String> {
    entries.iter().map(|entry| String::from_utf8(entry.key().as_bytes().to_vec()).unwrap()).collect()
}

fn kind<T: std::fmt::Debug>(result: Result<T, StoreError>) -> StoreErrorKind {
    result.unwrap_err().kind
}

#[tokio::test]
async fn no_name_and_no_link_leads_out_of_the_directory() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let (directory, store) = store();
    fs::create_dir(directory.path().join("sub")).unwrap();
    symlink(outside.path(), directory.path().join("way")).unwrap();
    symlink(outside.path().join("secret"), directory.path().join("file")).unwrap();
    symlink("../../secret", directory.path().join("sub/up")).unwrap();
    symlink("/proc/self/root/etc/passwd", directory.path().join("magic")).unwrap();
    let up = format!("../{}/secret", outside.path().file_name().unwrap().to_str().unwrap());
    for key in ["way/secret", "file", "sub/up", "magic", &up, "sub/../../x", "/etc/passwd"] {
        let kind = kind(get(&store, key, None, ByteRange::new(0, 1)).await);
        assert!(matches!(kind, StoreErrorKind::NotFound | StoreErrorKind::BadName), "{key}: {kind:?}");
        let key = ObjectKey::from(key);
        assert!(
            store.put(&key, "x".into(), &Precondition::Absent, &PutOptions::default()).await.is_err()
                || key == ObjectKey::from("file")
        );
    }
    assert_eq!(names(&list(&store, "", false, None).await), ["sub/"]);
    assert_eq!(names(&list(&store, "way/", true, None).await), [""; 0]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn links_that_stay_inside_are_followed_and_loops_are_left_out() {
    let (directory, store) = store();
    fs::create_dir_all(directory.path().join("a/b")).unwrap();
    fs::write(directory.path().join("a/b/file"), "hello").unwrap();
    symlink("a/b/file", directory.path().join("link")).unwrap();
    symlink("../a", directory.path().join("a/loop")).unwrap();
    symlink("a/b", directory.path().join("way")).unwrap();
    symlink("nowhere", directory.path().join("dangling")).unwrap();
    assert_eq!(names(&list(&store, "", false, None).await), ["a/b/file", "link", "way/file"]);
    assert_eq!(names(&list(&store, "", true, None).await), ["a/", "link", "way/"]);
    assert_eq!(names(&list(&store, "a/", true, None).await), ["a/b/"]);
    assert_eq!(get(&store, "way/file", None, ByteRange::new(1, 3)).await.unwrap(), b"el");
    let ListEntry::Object(meta) = &list(&store, "link", true, None).await[0] else { panic!("no object") };
    assert_eq!(meta.size, 5);
}

#[tokio::test]
async fn only_regular_files_are_objects_and_a_fifo_does_not_hang() {
    let (directory, store) = store();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        directory.path().join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    fs::create_dir(directory.path().join("empty")).unwrap();
    assert_eq!(kind(get(&store, "fifo", None, ByteRange::new(0, 1)).await), StoreErrorKind::NotFound);
    assert_eq!(kind(get(&store, "empty", None, ByteRange::new(0, 1)).await), StoreErrorKind::NotFound);
    assert_eq!(kind(store.head(&ObjectKey::from("empty")).await), StoreErrorKind::NotFound);
    let entries = list(&store, "", false, None).await;
    assert_eq!(names(&entries), ["empty/"]);
    assert!(matches!(&entries[0], ListEntry::Object(meta) if meta.is_directory));
    assert!(store.head(&ObjectKey::from("empty/")).await.unwrap().is_directory);
}

#[tokio::test]
async fn a_rewritten_and_a_replaced_file_are_changed() {
    let (directory, store) = store();
    let path = directory.path().join("file");
    fs::write(&path, "one").unwrap();
    let first = store.head(&ObjectKey::from("file")).await.unwrap().version;
    fs::write(&path, "longer").unwrap();
    let range = ByteRange::new(0, 3);
    assert_eq!(kind(get(&store, "file", Some(&first), range).await), StoreErrorKind::Changed);
    let second = store.head(&ObjectKey::from("file")).await.unwrap().version;
    let third = store.put(&"file".into(), "newest".into(), &Precondition::None, &PutOptions::default()).await.unwrap();
    assert_eq!(kind(get(&store, "file", Some(&second), range).await), StoreErrorKind::Changed);
    assert_eq!(get(&store, "file", Some(&third), range).await.unwrap(), b"new");
}

#[tokio::test]
async fn a_large_read_lands_in_many_buffers_cached_or_not() {
    let (directory, store) = store();
    let content = pattern::bytes(7, 0, 3 << 20);
    let path = directory.path().join("file");
    fs::write(&path, &content).unwrap();
    let key = ObjectKey::from("file");
    for drop_cache in [false, true] {
        if drop_cache {
            let file = fs::File::open(&path).unwrap();
            file.sync_all().unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        }
        let mut bytes = vec![0; content.len() - 123];
        let range = ByteRange::new(123, content.len() as u64);
        let get = Get { key: &key, version: None, range, urgency: Urgency::Demand };
        let mut landing = Landing::many(bytes.chunks_mut(4096));
        let fetched = store.get(get, &mut landing).await.unwrap();
        assert_eq!((landing.missing(), fetched.object_size), (0, content.len() as u64));
        drop(landing);
        assert!(bytes == content[123..], "drop_cache: {drop_cache}");
    }
}

#[tokio::test]
async fn a_file_on_tmpfs_is_read_on_the_calling_thread() {
    let Ok(directory) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("SKIPPED: there is no /dev/shm");
        return;
    };
    let store = LocalStore::open(directory.path()).unwrap();
    fs::write(directory.path().join("file"), "0123456789").unwrap();
    let key = ObjectKey::from("file");
    let mut bytes = [0; 4];
    let mut landing = Landing::one(&mut bytes);
    let get = Get { key: &key, version: None, range: ByteRange::new(3, 7), urgency: Urgency::Demand };
    let answer = futures_util::FutureExt::now_or_never(store.get(get, &mut landing));
    answer.expect("nothing was waited for").unwrap();
    drop(landing);
    assert_eq!(&bytes, b"3456");
}

#[tokio::test]
async fn a_retry_lands_only_the_missing_tail() {
    let (directory, store) = store();
    fs::write(directory.path().join("file"), "0123456789").unwrap();
    let mut bytes = [0; 10];
    let mut landing = Landing::one(&mut bytes);
    landing.push(b"0123").unwrap();
    let key = ObjectKey::from("file");
    let get = Get { key: &key, version: None, range: ByteRange::new(4, 10), urgency: Urgency::Demand };
    store.get(get, &mut landing).await.unwrap();
    drop(landing);
    assert_eq!(&bytes, b"0123456789");
}

#[tokio::test]
async fn what_is_being_written_is_invisible() {
    let (directory, store) = store();
    let key = ObjectKey::from("sub/file");
    let upload = store.begin_upload(&key, &PutOptions::default()).await.unwrap();
    let tag = store.put_part(&key, &upload, 1, "part".into()).await.unwrap();
    assert_eq!(list(&store, "", false, None).await, []);
    assert_eq!(list(&store, "", true, None).await, []);
    let hidden = format!(".rfuse-uploads/{}/part-1", upload.0);
    assert_eq!(kind(get(&store, &hidden, None, ByteRange::new(0, 1)).await), StoreErrorKind::BadName);
    store.complete_upload(&key, &upload, &[tag], &Precondition::Absent, &PutOptions::default()).await.unwrap();
    assert_eq!(names(&list(&store, "", false, None).await), ["sub/file"]);
    assert_eq!(fs::read_dir(directory.path().join(".rfuse-uploads")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(directory.path().join("sub")).unwrap().count(), 1);
}

#[tokio::test]
async fn an_upload_of_another_key_or_with_a_made_up_id_is_not_found() {
    let (_directory, store) = store();
    let key = ObjectKey::from("file");
    let upload = store.begin_upload(&key, &PutOptions::default()).await.unwrap();
    assert_eq!(kind(store.abort_upload(&ObjectKey::from("other"), &upload).await), StoreErrorKind::NotFound);
    let made_up = UploadId("../..".into());
    assert_eq!(kind(store.abort_upload(&key, &made_up).await), StoreErrorKind::NotFound);
}

#[tokio::test]
async fn a_missing_directory_is_no_container() {
    assert_eq!(kind(LocalStore::open(Path::new("/nowhere/at/all"))), StoreErrorKind::NoContainer);
    assert_eq!(kind(LocalStore::open(Path::new("/dev/null"))), StoreErrorKind::NoContainer);
}

#[tokio::test]
async fn a_directory_larger_than_a_page_is_listed_whole() {
    let (directory, store) = store();
    let count = walk::PAGE_MAX as usize + 10;
    for i in 0..count {
        fs::write(directory.path().join(format!("{i:05}")), "").unwrap();
    }
    let entries = list(&store, "", true, None).await;
    assert_eq!(entries.len(), count);
    assert!(entries.is_sorted_by(|a, b| a.key() < b.key()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_directory_lists_as_an_object_store_does(
        paths in proptest::collection::btree_set("[ab.-]{1,2}(/[ab.-]{1,2}){0,2}", 0..24),
        prefix in "([ab]/?){0,2}",
        delimited: bool,
        limit in 1u32..7,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (_directory, local) = store();
        let memory = MemoryStore::new();
        runtime.block_on(async {
            for path in &paths {
                // What is a directory already cannot be a file; names with dots alone are refused.
                let (key, options) = (ObjectKey::from(path.as_str()), PutOptions::default());
                if local.put(&key, path.clone().into(), &Precondition::None, &options).await.is_ok() {
                    memory.put_now(path.as_str(), path.clone());
                }
            }
            let found = list(&local, &prefix, delimited, Some(limit)).await;
            let wanted = list(&memory, &prefix, delimited, Some(limit)).await;
            // A refused file may leave its directory behind, empty.
            let found: Vec<_> = found.into_iter().filter(|entry| !matches!(entry, ListEntry::Object(meta) if meta.is_directory)).collect();
            let plain = |entries: &[ListEntry]| entries.iter().map(|entry| match entry {
                ListEntry::Object(meta) => (meta.key.clone(), Some(meta.size)),
                ListEntry::Prefix(key) => (key.clone(), None),
            }).collect::<Vec<_>>();
            prop_assert_eq!(plain(&found), plain(&wanted));
            Ok(())
        })?;
    }
}

/// What a thread of somebody who is not root lists.
fn listed_by_nobody(store: &LocalStore, prefix: &str, limit: u32) -> Result<Vec<ListEntry>, StoreError> {
    let root = Arc::clone(&store.root);
    let (prefix, mut entries, mut token) = (ObjectKey::from(prefix), Vec::new(), None);
    let lists = move || {
        if rustix::process::geteuid().is_root() {
            // Of this thread alone.
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
        }
        loop {
            let (token_now, limit, urgency) = (token.as_ref(), Some(limit), Urgency::Demand);
            let request = ListRequest { prefix: &prefix, delimited: false, token: token_now, limit, urgency };
            let page = walk::list(&root, request)?;
            entries.extend(page.entries);
            match page.next {
                Some(next) => token = Some(next),
                None => return Ok(entries),
            }
        }
    };
    std::thread::spawn(lists).join().unwrap()
}

#[test]
fn a_directory_that_may_not_be_read_is_one_entry_of_a_flat_listing() {
    use std::os::unix::fs::PermissionsExt as _;
    let (directory, store) = store();
    for path in ["a/x", "shut/y", "z"] {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(directory.path(), 0o755);
    mode(&directory.path().join("shut"), 0o700);
    if !rustix::process::geteuid().is_root() {
        mode(&directory.path().join("shut"), 0);
    }
    for limit in [1, 2, 100] {
        let listed = listed_by_nobody(&store, "", limit).unwrap();
        assert_eq!(names(&listed), ["a/x", "shut/", "z"], "pages of {limit}");
        assert_eq!(listed[1], ListEntry::Prefix("shut/".into()));
    }
    assert_eq!(kind(listed_by_nobody(&store, "shut/", 1)), StoreErrorKind::Denied);
    mode(&directory.path().join("shut"), 0o700);
}
