//! The S3 store against a real server that checks signatures and preconditions.
//!
//! Run against versitygw 1.8.0, and against MinIO (`cargo xtask test --s3 minio`). Written for the first, which keeps
//! objects as files and therefore cannot show what S3 does with every name: it stores `a//b` as `a/b`, `./x` and
//! `/x` as `x` and `a/../b` as `b`, refuses `dir/` with a body, `dir/x` beside an object `dir`, NUL, and names with
//! more than 255 bytes between slashes, and lists control characters as U+FFFD. It also knows neither
//! `encoding-type` nor conditions on CopyObject. That our side reads such names exactly is shown by `odd_names.rs`,
//! and what it sends by the store's unit tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/s3_server.rs"]
mod s3_server;

use std::collections::BTreeMap;

use bytes::Bytes;
use rfuse_block::{ByteRange, ObjectKey, Version};
use rfuse_config::{AwsCredential, Location, Secret, StoreConfig};
use rfuse_store::{
    Get, Landing, ListEntry, ListRequest, Precondition, PutOptions, S3Store, Store, StoreError, StoreErrorKind, Urgency,
};
use s3_server::Server;

/// An empty bucket, or none without a server.
async fn bucket() -> Option<(S3Store, StoreConfig)> {
    let config = Server::from_env()?.new_bucket();
    let (store, _) = S3Store::open(&config).await.unwrap();
    Some((store, config))
}

fn plain() -> PutOptions {
    PutOptions::default()
}

async fn put(store: &S3Store, key: &str, body: impl Into<Bytes>) -> Result<Version, StoreError> {
    store.put(&key.into(), body.into(), &Precondition::None, &plain()).await
}

async fn read(store: &S3Store, key: &str, range: ByteRange, version: Option<&Version>) -> Result<Vec<u8>, StoreError> {
    let key = ObjectKey::from(key);
    let mut bytes = vec![0; range.length() as usize];
    let get = Get { key: &key, version, range, urgency: Urgency::Demand };
    store.get(get, &mut Landing::one(&mut bytes)).await?;
    Ok(bytes)
}

/// The names of a whole listing, prefixes in brackets, and how many pages it took.
async fn names(store: &S3Store, prefix: &str, delimited: bool, limit: u32) -> (Vec<String>, usize) {
    let prefix = ObjectKey::from(prefix);
    let (mut names, mut token, mut pages) = (Vec::new(), None, 0);
    loop {
        let urgency = Urgency::Demand;
        let request = ListRequest { prefix: &prefix, delimited, token: token.as_ref(), limit: Some(limit), urgency };
        let page = store.list(request).await.unwrap();
        pages += 1;
        names.extend(page.entries.iter().map(|entry| match entry {
            ListEntry::Object(meta) => String::from_utf8(meta.key.as_bytes().to_vec()).unwrap(),
            ListEntry::Prefix(key) => format!("[{}]", String::from_utf8(key.as_bytes().to_vec()).unwrap()),
        }));
        match page.next {
            Some(next) => token = Some(next),
            None => return (names, pages),
        }
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T, StoreError>) -> StoreErrorKind {
    result.unwrap_err().kind
}

#[tokio::test]
async fn a_range_is_read_of_one_version_only() {
    let Some((store, _)) = bucket().await else { return };
    let first = put(&store, "k", "hello world").await.unwrap();
    let range = ByteRange::new(6, 11);
    assert_eq!(read(&store, "k", range, None).await.unwrap(), b"world");
    assert_eq!(read(&store, "k", range, Some(&first)).await.unwrap(), b"world");
    let second = put(&store, "k", "other words").await.unwrap();
    assert_eq!(kind(read(&store, "k", range, Some(&first)).await), StoreErrorKind::Changed);
    assert_eq!(read(&store, "k", range, Some(&second)).await.unwrap(), b"words");
    assert_eq!(kind(read(&store, "k", ByteRange::new(11, 12), None).await), StoreErrorKind::PastEnd);
    assert_eq!(kind(read(&store, "k", ByteRange::new(6, 20), None).await), StoreErrorKind::Cut);
    assert_eq!(kind(read(&store, "none", range, None).await), StoreErrorKind::NotFound);
    put(&store, "empty", "").await.unwrap();
    assert_eq!(kind(read(&store, "empty", ByteRange::new(0, 1), None).await), StoreErrorKind::PastEnd);
}

#[tokio::test]
async fn a_head_tells_what_was_put() {
    let Some((store, _)) = bucket().await else { return };
    let key = ObjectKey::from("with/meta");
    let metadata =
        BTreeMap::from([("plain".to_owned(), "two  words".to_owned()), ("umlaut".to_owned(), "Ä 100%".to_owned())]);
    let options = PutOptions { content_type: Some("text/x-test".to_owned()), metadata };
    let version = store.put(&key, Bytes::from_static(b"12345"), &Precondition::None, &options).await.unwrap();
    let meta = store.head(&key).await.unwrap();
    assert_eq!((meta.size, &meta.version, meta.is_directory), (5, &version, false));
    assert_eq!((meta.content_type, meta.metadata), (options.content_type, options.metadata));
    assert!(meta.modified.elapsed().unwrap().as_secs() < 60);
    assert_eq!(kind(store.head(&"none".into()).await), StoreErrorKind::NotFound);
}

#[tokio::test]
async fn who_has_the_wrong_key_is_refused() {
    let Some((store, config)) = bucket().await else { return };
    put(&store, "k", "x").await.unwrap();
    let AwsCredential::Keys { id, secret, .. } = config.aws.clone() else { unreachable!() };
    let with = |id: &str, secret: Secret| StoreConfig {
        aws: AwsCredential::Keys { id: id.to_owned(), secret, session_token: None },
        ..config.clone()
    };
    let range = ByteRange::new(0, 1);
    let (forged, _) = S3Store::open(&with(&id, Secret::new("canary"))).await.unwrap();
    let error = read(&forged, "k", range, None).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (StoreErrorKind::BadCredential, Some("SignatureDoesNotMatch")));
    assert!(!format!("{error:?}").contains("canary"));
    let (unknown, _) = S3Store::open(&with("nobody", secret)).await.unwrap();
    assert_eq!(kind(read(&unknown, "k", range, None).await), StoreErrorKind::BadCredential);
    let (nobody, control) = S3Store::open(&StoreConfig { aws: AwsCredential::Anonymous, ..config }).await.unwrap();
    assert_eq!(kind(read(&nobody, "k", range, None).await), StoreErrorKind::Denied);
    assert!(control.describe().contains("nobody"));
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_no_container() {
    let Some((_, config)) = bucket().await else { return };
    let location = Location::S3 { bucket: "not-there-at-all".to_owned(), prefix: Vec::new() };
    let (store, _) = S3Store::open(&StoreConfig { location, ..config }).await.unwrap();
    let prefix = ObjectKey::from("");
    let request = ListRequest { prefix: &prefix, delimited: true, token: None, limit: None, urgency: Urgency::Demand };
    assert_eq!(kind(store.list(request).await), StoreErrorKind::NoContainer);
    assert_eq!(kind(read(&store, "k", ByteRange::new(0, 1), None).await), StoreErrorKind::NoContainer);
    assert_eq!(kind(put(&store, "k", "x").await), StoreErrorKind::NoContainer);
}

#[tokio::test]
async fn listings_come_in_pages_and_rolled_up() {
    let Some((store, _)) = bucket().await else { return };
    for key in ["a/1", "a/2", "a/b/3", "b", "c/4", "c.5", "c0"] {
        put(&store, key, "x").await.unwrap();
    }
    let (flat, pages) = names(&store, "", false, 3).await;
    assert_eq!(flat, ["a/1", "a/2", "a/b/3", "b", "c.5", "c/4", "c0"]);
    assert!(pages >= 3, "{pages} pages");
    let (top, _) = names(&store, "", true, 2).await;
    assert_eq!(top, ["[a/]", "b", "c.5", "[c/]", "c0"]);
    let (below, _) = names(&store, "a/", true, 1000).await;
    assert_eq!(below, ["a/1", "a/2", "[a/b/]"]);
    assert_eq!(names(&store, "a/b", false, 1000).await.0, ["a/b/3"]);
    assert_eq!(names(&store, "none/", true, 1000).await.0, [""; 0]);
}

#[tokio::test]
async fn a_listing_tells_the_version_and_size_that_a_head_tells() {
    let Some((store, _)) = bucket().await else { return };
    let version = put(&store, "k", "12345").await.unwrap();
    let prefix = ObjectKey::from("");
    let request = ListRequest { prefix: &prefix, delimited: false, token: None, limit: None, urgency: Urgency::Demand };
    let page = store.list(request).await.unwrap();
    let ListEntry::Object(listed) = &page.entries[0] else { panic!("an object") };
    let head = store.head(&"k".into()).await.unwrap();
    assert_eq!((&listed.version, listed.size), (&version, 5));
    assert_eq!((&head.version, head.size), (&version, 5));
}

#[tokio::test]
async fn writes_respect_their_conditions() {
    let Some((store, _)) = bucket().await else { return };
    let key = ObjectKey::from("k");
    let write = |body: &'static str, condition: Precondition| {
        let (store, key) = (&store, &key);
        async move { store.put(key, Bytes::from_static(body.as_bytes()), &condition, &plain()).await }
    };
    let first = write("one", Precondition::Absent).await.unwrap();
    assert_eq!(kind(write("two", Precondition::Absent).await), StoreErrorKind::Exists);
    let second = write("two", Precondition::Matches(first.clone())).await.unwrap();
    assert_eq!(kind(write("three", Precondition::Matches(first.clone())).await), StoreErrorKind::Changed);
    assert_eq!(read(&store, "k", ByteRange::new(0, 3), Some(&second)).await.unwrap(), b"two");
    assert_eq!(kind(store.delete(&key, Some(&first)).await), StoreErrorKind::Changed);
    store.delete(&key, Some(&second)).await.unwrap();
    assert_eq!(kind(store.head(&key).await), StoreErrorKind::NotFound);
    assert_eq!(kind(write("four", Precondition::Matches(second)).await), StoreErrorKind::Changed);
}

/// S3 takes no part but the last below this.
const PART: usize = 5 << 20;

#[tokio::test]
async fn parts_become_an_object_only_when_they_are_complete() {
    let Some((store, _)) = bucket().await else { return };
    let key = ObjectKey::from("big");
    let options = PutOptions { content_type: Some("text/x-test".to_owned()), ..plain() };
    let upload = store.begin_upload(&key, &options).await.unwrap();
    let mut parts = Vec::new();
    for (number, fill) in [(1, b'a'), (2, b'b'), (3, b'c')] {
        let length = if number == 3 { 7 } else { PART };
        parts.push(store.put_part(&key, &upload, number, vec![fill; length].into()).await.unwrap());
    }
    assert_eq!(kind(store.head(&key).await), StoreErrorKind::NotFound);
    let version = store.complete_upload(&key, &upload, &parts, &Precondition::Absent, &options).await.unwrap();
    let meta = store.head(&key).await.unwrap();
    assert_eq!((meta.size, &meta.version), (2 * PART as u64 + 7, &version));
    assert_eq!(meta.content_type.as_deref(), Some("text/x-test"));
    let seam = ByteRange::at(PART as u64 - 2, 4);
    assert_eq!(read(&store, "big", seam, Some(&version)).await.unwrap(), b"aabb");

    let again = store.begin_upload(&key, &options).await.unwrap();
    let part = store.put_part(&key, &again, 1, Bytes::from_static(b"x")).await.unwrap();
    let completed = store.complete_upload(&key, &again, &[part], &Precondition::Absent, &options).await;
    assert_eq!(kind(completed), StoreErrorKind::Exists);
    store.abort_upload(&key, &again).await.unwrap();
    assert_eq!(store.head(&key).await.unwrap().version, version);
}

#[tokio::test]
async fn a_part_may_be_copied_from_a_range_of_a_version() {
    let Some((store, _)) = bucket().await else { return };
    let mut body = vec![b'a'; PART];
    body.extend_from_slice(b"tail");
    let (source, target) = (ObjectKey::from("from here"), ObjectKey::from("to+there"));
    let version = put(&store, "from here", body).await.unwrap();
    let upload = store.begin_upload(&target, &plain()).await.unwrap();
    let range = ByteRange::at(0, PART as u64);
    let first = store.copy_part(&target, &upload, 1, &source, &version, range).await.unwrap();
    let stale = Version::new("\"00000000000000000000000000000000\"");
    let refused = store.copy_part(&target, &upload, 2, &source, &stale, range).await;
    assert_eq!(kind(refused), StoreErrorKind::Changed);
    let second = store.put_part(&target, &upload, 2, Bytes::from_static(b"new")).await.unwrap();
    store.complete_upload(&target, &upload, &[first, second], &Precondition::None, &plain()).await.unwrap();
    assert_eq!(read(&store, "to+there", ByteRange::at(PART as u64 - 1, 4), None).await.unwrap(), b"anew");
}

#[tokio::test]
async fn a_copy_is_made_by_the_store() {
    let Some((store, _)) = bucket().await else { return };
    let (source, target) = (ObjectKey::from("a b/é"), ObjectKey::from("copy"));
    put(&store, "a b/é", "hello").await.unwrap();
    let version = store.copy(&source, &target, &Precondition::None).await.unwrap();
    assert_eq!(read(&store, "copy", ByteRange::new(0, 5), Some(&version)).await.unwrap(), b"hello");
    assert_eq!(kind(store.copy(&"none".into(), &target, &Precondition::None).await), StoreErrorKind::NotFound);
    assert_eq!(kind(store.copy(&source, &target, &Precondition::Absent).await), StoreErrorKind::Exists);
}

#[tokio::test]
async fn names_are_kept_byte_for_byte() {
    let Some((store, _)) = bucket().await else { return };
    let keys = [
        "space in it",
        "plus+plus",
        "100%",
        "%41",
        "what?",
        "hash#tag",
        "amp&eq=",
        "é/日本",
        "tilde~",
        "quote\"'",
        "back\\slash",
        "semi;colon",
        "[brackets]",
        "<xml>&amp;",
        "a.b/..c/.d",
    ];
    for key in keys {
        put(&store, key, key.as_bytes().to_vec()).await.unwrap();
        let range = ByteRange::at(0, key.len() as u64);
        assert_eq!(read(&store, key, range, None).await.unwrap(), key.as_bytes(), "{key}");
    }
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    assert_eq!(names(&store, "", false, 1000).await.0, sorted);
    assert_eq!(names(&store, "é/", true, 1000).await.0, ["é/日本"]);
    let (not_text, too_long) = (ObjectKey::new([0xff]), ObjectKey::new([b'a'; 1025]));
    assert_eq!(kind(store.head(&too_long).await), StoreErrorKind::BadName);
    let written = store.put(&not_text, Bytes::new(), &Precondition::None, &plain()).await;
    assert_eq!(kind(written), StoreErrorKind::BadName);
}

#[tokio::test]
async fn a_directory_marker_is_a_directory() {
    let Some((store, _)) = bucket().await else { return };
    put(&store, "dir/", "").await.unwrap();
    assert!(store.head(&"dir/".into()).await.unwrap().is_directory);
    put(&store, "dir/file", "x").await.unwrap();
    assert_eq!(names(&store, "dir/", true, 1000).await.0, ["dir/", "dir/file"]);
    assert_eq!(names(&store, "", true, 1000).await.0, ["[dir/]"]);
}

#[tokio::test]
async fn a_new_credential_in_a_file_is_tested_before_it_is_used() {
    let Some((store, config)) = bucket().await else { return };
    put(&store, "k", "x").await.unwrap();
    let AwsCredential::Keys { id, secret, .. } = config.aws.clone() else { unreachable!() };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credentials");
    let write = |secret: &str| {
        let text = format!("[mount]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        std::fs::write(&path, text).unwrap();
    };
    write(secret.reveal());
    let aws = AwsCredential::File { path: path.clone(), profile: "mount".to_owned() };
    let (store, control) = S3Store::open(&StoreConfig { aws, ..config }).await.unwrap();
    assert_eq!(control.reload().await.unwrap(), rfuse_store::Reloaded::Unchanged);
    write("wrong");
    assert_eq!(kind(control.reload().await), StoreErrorKind::BadCredential);
    assert_eq!(read(&store, "k", ByteRange::new(0, 1), None).await.unwrap(), b"x");
}
