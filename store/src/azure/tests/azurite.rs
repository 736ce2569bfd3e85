//! The Azure store against the emulator, when `RFUSE_TEST_AZURITE` names one
//! (`http://127.0.0.1:PORT/devstoreaccount1`). Each test has a container of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rfuse_block::{ByteRange, ObjectKey, Version};
use rfuse_config::{AzureCredential, Location, Secret, StoreConfig};

use crate::azure::AzureStore;
use crate::azure::auth::Auth;
use crate::credential::{CredentialControl, Reloaded};
use crate::{
    Get, Landing, ListEntry, ListPage, ListRequest, Precondition, PutOptions, Store as _, StoreErrorKind, Token,
    Urgency,
};

/// A container of its own and how to come to it.
struct Emulator {
    config: StoreConfig,
    store: AzureStore,
}

impl Emulator {
    /// None, loudly, when there is no emulator.
    async fn start(test: &str) -> Option<Self> {
        let Ok(endpoint) = std::env::var("RFUSE_TEST_AZURITE") else {
            eprintln!("SKIPPED: {test} needs RFUSE_TEST_AZURITE=http://127.0.0.1:PORT/devstoreaccount1");
            return None;
        };
        let container = format!("{}-{:08x}", test.replace('_', "-"), fastrand::u32(..));
        let location = Location::Azure { account: "devstoreaccount1".into(), container, prefix: Vec::new() };
        let config = StoreConfig { endpoint: Some(endpoint), ..StoreConfig::at(location) };
        let (store, _) = AzureStore::open(&config).await.unwrap();
        store.create_container().await.unwrap();
        Some(Self { config, store })
    }

    /// A SAS for the container.
    fn sas(&self, permissions: &str, lifetime: i64) -> Secret {
        let Auth::Key(key) = &*self.store.authority.current() else { panic!("the emulator's key is used") };
        let now = SystemTime::now();
        let span = Duration::from_secs(lifetime.unsigned_abs());
        let expiry = if lifetime < 0 { now - span } else { now + span };
        key.container_sas(&self.store.container.name, permissions, expiry)
    }

    async fn as_somebody(&self, credential: AzureCredential) -> (AzureStore, Arc<dyn CredentialControl>) {
        let config = StoreConfig { azure: credential, ..self.config.clone() };
        AzureStore::open_watching(&config, Duration::from_millis(50)).await.unwrap()
    }

    async fn put(&self, name: &str, body: &str) -> Version {
        put(&self.store, name, body, Precondition::None).await.unwrap()
    }
}

async fn put(store: &AzureStore, name: &str, body: &str, condition: Precondition) -> Result<Version, StoreErrorKind> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let done = store.put(&ObjectKey::from(name), body, &condition, &PutOptions::default()).await;
    done.map_err(|error| error.kind)
}

async fn read(
    store: &AzureStore,
    name: &str,
    version: Option<&Version>,
    start: u64,
    end: u64,
) -> Result<String, StoreErrorKind> {
    let key = ObjectKey::from(name);
    let mut buffer = vec![0; usize::try_from(end - start).unwrap()];
    let get = Get { key: &key, version, range: ByteRange::new(start, end), urgency: Urgency::Demand };
    let result = store.get(get, &mut Landing::one(&mut buffer)).await;
    match result {
        Ok(_) => Ok(String::from_utf8(buffer).unwrap()),
        Err(error) => {
            assert!(!error.to_string().contains("sig"), "{error}");
            Err(error.kind)
        }
    }
}

async fn page(
    store: &AzureStore,
    prefix: &str,
    delimited: bool,
    token: Option<&Token>,
    limit: Option<u32>,
) -> ListPage {
    let prefix = ObjectKey::from(prefix);
    store.list(ListRequest { prefix: &prefix, delimited, token, limit, urgency: Urgency::Demand }).await.unwrap()
}

fn names(page: &ListPage) -> Vec<String> {
    let text = |entry: &ListEntry| String::from_utf8(entry.key().as_bytes().to_vec()).unwrap();
    page.entries.iter().map(text).collect()
}

#[tokio::test]
async fn a_range_comes_with_version_and_size() {
    let Some(emulator) = Emulator::start("range").await else { return };
    let version = emulator.put("object", "0123456789").await;
    let store = &emulator.store;
    assert_eq!(read(store, "object", Some(&version), 3, 7).await.as_deref(), Ok("3456"));
    assert_eq!(read(store, "object", None, 0, 10).await.as_deref(), Ok("0123456789"));
    assert_eq!(read(store, "object", None, 10, 12).await, Err(StoreErrorKind::PastEnd));
    assert_eq!(read(store, "object", None, 8, 12).await, Err(StoreErrorKind::Cut));
    assert_eq!(read(store, "nothing", None, 0, 1).await, Err(StoreErrorKind::NotFound));
    let meta = store.head(&ObjectKey::from("object")).await.unwrap();
    assert_eq!((meta.size, meta.version), (10, version));
    assert!(meta.modified > SystemTime::now() - Duration::from_secs(60));
}

#[tokio::test]
async fn a_replaced_object_is_changed() {
    let Some(emulator) = Emulator::start("replaced").await else { return };
    let old = emulator.put("object", "old").await;
    let new = emulator.put("object", "new").await;
    assert_eq!(read(&emulator.store, "object", Some(&old), 0, 3).await, Err(StoreErrorKind::Changed));
    assert_eq!(read(&emulator.store, "object", Some(&new), 0, 3).await.as_deref(), Ok("new"));
}

#[tokio::test]
async fn pages_join_to_the_whole_listing() {
    let Some(emulator) = Emulator::start("pages").await else { return };
    for name in ["a", "d/1", "d/2", "e/x/y", "f"] {
        emulator.put(name, name).await;
    }
    let store = &emulator.store;
    // The emulator puts prefixes before objects, the service all by name.
    let mut top = names(&page(store, "", true, None, None).await);
    top.sort_unstable();
    assert_eq!(top, ["a", "d/", "e/", "f"]);
    assert_eq!(names(&page(store, "d/", true, None, None).await), ["d/1", "d/2"]);
    let (mut all, mut token, mut pages) = (Vec::new(), None, 0);
    loop {
        let next = page(store, "", false, token.as_ref(), Some(2)).await;
        assert!(next.entries.len() <= 2);
        all.extend(names(&next));
        pages += 1;
        token = next.next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(all, ["a", "d/1", "d/2", "e/x/y", "f"]);
    assert!(pages >= 3);
}

#[tokio::test]
async fn a_listed_object_is_what_head_says() {
    let Some(emulator) = Emulator::start("listed").await else { return };
    let options = PutOptions {
        content_type: Some("application/x-test".into()),
        metadata: BTreeMap::from([("hdi_isfolder".into(), "true".into()), ("owner".into(), "me & co".into())]),
    };
    let key = ObjectKey::from("dir");
    emulator.store.put(&key, Bytes::new(), &Precondition::None, &options).await.unwrap();
    let head = emulator.store.head(&key).await.unwrap();
    assert!(head.is_directory);
    assert_eq!((head.content_type.as_deref(), &head.metadata), (Some("application/x-test"), &options.metadata));
    assert_eq!(page(&emulator.store, "", true, None, None).await.entries, [ListEntry::Object(head)]);
}

#[tokio::test]
async fn names_are_byte_exact() {
    let Some(emulator) = Emulator::start("names").await else { return };
    let store = &emulator.store;
    let odd = [
        "a//b",
        "a/b",
        "dir/",
        "dir",
        "100%",
        "100%25",
        " lead and trail ",
        "q?x=1&y",
        "#frag",
        "plus+",
        "ü/Ω/漢字",
        "quote'\"",
        "semi;colon,",
        "<xml>&amp;",
        "tab\there",
        "...",
        ".hidden",
        "new\nline",
    ];
    let mut refused = Vec::new();
    for name in odd {
        if let Err(kind) = put(store, name, name, Precondition::None).await {
            refused.push((name, kind));
        }
    }
    for name in odd.iter().filter(|name| !refused.iter().any(|(bad, _)| bad == *name)) {
        let length = u64::try_from(name.len()).unwrap();
        assert_eq!(read(store, name, None, 0, length).await.as_deref(), Ok(*name));
    }
    let mut listed = names(&page(store, "", false, None, None).await);
    let mut expected: Vec<_> = odd.iter().filter(|name| !refused.iter().any(|(bad, _)| bad == *name)).collect();
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(
        listed.iter().map(String::as_str).collect::<Vec<_>>(),
        expected.into_iter().copied().collect::<Vec<_>>()
    );
    assert_eq!(refused, []);
}

#[tokio::test]
async fn preconditions_of_a_put_hold() {
    let Some(emulator) = Emulator::start("conditions").await else { return };
    let store = &emulator.store;
    let first = put(store, "object", "1", Precondition::Absent).await.unwrap();
    assert_eq!(put(store, "object", "2", Precondition::Absent).await, Err(StoreErrorKind::Exists));
    let second = put(store, "object", "2", Precondition::Matches(first.clone())).await.unwrap();
    assert_eq!(put(store, "object", "3", Precondition::Matches(first)).await, Err(StoreErrorKind::Changed));
    assert_eq!(read(store, "object", Some(&second), 0, 1).await.as_deref(), Ok("2"));
}

#[tokio::test]
async fn blocks_become_an_object_when_they_are_committed() {
    let Some(emulator) = Emulator::start("blocks").await else { return };
    let store = &emulator.store;
    let key = ObjectKey::from("up load/é");
    let options =
        PutOptions { content_type: Some("text/x-parts".into()), metadata: BTreeMap::from([("k".into(), "v".into())]) };
    let upload = store.begin_upload(&key, &options).await.unwrap();
    let mut parts = Vec::new();
    for (number, text) in [(1, "one "), (2, "wrong"), (3, "three")] {
        parts.push(store.put_part(&key, &upload, number, Bytes::from_static(text.as_bytes())).await.unwrap());
    }
    parts[1] = store.put_part(&key, &upload, 2, Bytes::from_static(b"two ")).await.unwrap();
    assert_eq!(store.head(&key).await.unwrap_err().kind, StoreErrorKind::NotFound);
    let version = store.complete_upload(&key, &upload, &parts, &Precondition::Absent, &options).await.unwrap();
    assert_eq!(read(store, "up load/é", Some(&version), 0, 13).await.as_deref(), Ok("one two three"));
    let head = store.head(&key).await.unwrap();
    assert_eq!((head.content_type.as_deref(), head.metadata), (Some("text/x-parts"), options.metadata.clone()));

    let upload = store.begin_upload(&key, &options).await.unwrap();
    let part = store.put_part(&key, &upload, 1, Bytes::from_static(b"x")).await.unwrap();
    let again =
        store.complete_upload(&key, &upload, std::slice::from_ref(&part), &Precondition::Absent, &options).await;
    assert_eq!(again.unwrap_err().kind, StoreErrorKind::Exists);
    store.abort_upload(&key, &upload).await.unwrap();
    assert_eq!(read(store, "up load/é", Some(&version), 0, 3).await.as_deref(), Ok("one"));
}

#[tokio::test]
async fn copies_and_deletions_work_with_key_and_sas() {
    let Some(emulator) = Emulator::start("copies").await else { return };
    let (with_sas, _) = emulator.as_somebody(AzureCredential::Sas(emulator.sas("racwdl", 600))).await;
    let version = emulator.put("source name", "content").await;
    for store in [&emulator.store, &with_sas] {
        let (source, target) = (ObjectKey::from("source name"), ObjectKey::from("target//x"));
        store.copy(&source, &target, &Precondition::None).await.unwrap();
        assert_eq!(read(store, "target//x", None, 0, 7).await.as_deref(), Ok("content"));
        let wrong = store.delete(&target, Some(&version)).await.unwrap_err();
        assert_eq!(wrong.kind, StoreErrorKind::Changed);
        store.delete(&target, None).await.unwrap();
        assert_eq!(store.delete(&target, None).await.unwrap_err().kind, StoreErrorKind::NotFound);
        let missing = store.copy(&target, &source, &Precondition::None).await.unwrap_err();
        assert_eq!(missing.kind, StoreErrorKind::NotFound, "{missing}");
    }
}

#[tokio::test]
async fn the_emulator_is_known_not_to_copy_into_a_block() {
    let Some(emulator) = Emulator::start("partcopy").await else { return };
    let version = emulator.put("source", "0123456789").await;
    let (source, target) = (ObjectKey::from("source"), ObjectKey::from("target"));
    let upload = emulator.store.begin_upload(&target, &PutOptions::default()).await.unwrap();
    let copied = emulator.store.copy_part(&target, &upload, 1, &source, &version, ByteRange::new(2, 6)).await;
    assert_eq!(copied.unwrap_err().kind, StoreErrorKind::Unsupported);
}

#[tokio::test]
async fn a_missing_container_and_a_wrong_key_are_told_apart() {
    let Some(emulator) = Emulator::start("missing").await else { return };
    let mut config = emulator.config.clone();
    let Location::Azure { container, .. } = &mut config.location else { unreachable!() };
    *container = "does-not-exist".into();
    let (elsewhere, _) = AzureStore::open(&config).await.unwrap();
    let prefix = ObjectKey::from("");
    let list = ListRequest { prefix: &prefix, delimited: true, token: None, limit: None, urgency: Urgency::Demand };
    assert_eq!(elsewhere.list(list).await.unwrap_err().kind, StoreErrorKind::NoContainer);
    assert_eq!(elsewhere.head(&ObjectKey::from("x")).await.unwrap_err().kind, StoreErrorKind::NoContainer);
    let (stranger, _) = emulator.as_somebody(AzureCredential::AccountKey(Secret::new("d3Jvbmc="))).await;
    // The emulator calls it AuthorizationFailure, the service AuthenticationFailed.
    let kind = stranger.list(list).await.unwrap_err().kind;
    assert!(matches!(kind, StoreErrorKind::BadCredential | StoreErrorKind::Denied), "{kind:?}");
}

#[tokio::test]
async fn a_sas_reads_and_says_what_it_may_not() {
    let Some(emulator) = Emulator::start("sas").await else { return };
    emulator.put("object", "data").await;
    let (reader, control) = emulator.as_somebody(AzureCredential::Sas(emulator.sas("r", 600))).await;
    assert_eq!(read(&reader, "object", None, 0, 4).await.as_deref(), Ok("data"));
    assert!(control.expiry().unwrap() > SystemTime::now() + Duration::from_secs(500));
    let prefix = ObjectKey::from("");
    let list = ListRequest { prefix: &prefix, delimited: true, token: None, limit: None, urgency: Urgency::Demand };
    let error = reader.list(list).await.unwrap_err();
    assert!(error.kind == StoreErrorKind::Denied && error.message.contains("(l)"), "{error}");
}

#[tokio::test]
async fn an_expired_sas_fails_as_expired_and_heals_when_its_file_is_renewed() {
    let Some(emulator) = Emulator::start("heal").await else { return };
    emulator.put("object", "data").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("azurestorageaccountsastoken");
    std::fs::write(&file, emulator.sas("rl", -60).reveal()).unwrap();
    // The folder is given, as a mounted secret would be.
    let (store, control) = emulator.as_somebody(AzureCredential::SasFile(dir.path().to_owned())).await;
    assert_eq!(read(&store, "object", None, 0, 4).await, Err(StoreErrorKind::Expired));
    std::fs::write(&file, emulator.sas("rl", 600).reveal()).unwrap();
    assert!(matches!(control.reload().await, Ok(Reloaded::Swapped | Reloaded::Unchanged)));
    assert_eq!(read(&store, "object", None, 0, 4).await.as_deref(), Ok("data"));
}

#[tokio::test]
async fn a_renewed_file_is_noticed_tested_and_swapped_while_reads_go_on() {
    let Some(emulator) = Emulator::start("swap").await else { return };
    emulator.put("object", "data").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sas");
    std::fs::write(&file, emulator.sas("rl", 500).reveal()).unwrap();
    let (store, control) = emulator.as_somebody(AzureCredential::SasFile(file.clone())).await;
    let before = control.expiry().unwrap();

    std::fs::write(&file, "sv=1&sig=bm90IGEgc2lnbmF0dXJl").unwrap();
    let refused = control.reload().await.unwrap_err();
    assert!(!refused.to_string().contains("bm90"), "{refused}");
    assert_eq!(control.expiry(), Some(before));

    std::fs::write(dir.path().join("next"), emulator.sas("rl", 5000).reveal()).unwrap();
    std::fs::rename(dir.path().join("next"), &file).unwrap();
    // The watcher looks every 50 ms; reading goes on meanwhile.
    for _ in 0..400 {
        assert_eq!(read(&store, "object", None, 0, 4).await.as_deref(), Ok("data"));
        if control.expiry().unwrap() > before + Duration::from_secs(4000) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the new token was not taken up");
}
