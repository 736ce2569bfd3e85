//! Names that a real S3 server at hand refuses, read through the S3 store byte for byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rfuse_block::{ByteRange, ObjectKey};
use rfuse_config::{AwsCredential, Secret, StoreConfig};
use rfuse_store::testing::S3Server;
use rfuse_store::{Get, Landing, ListEntry, ListRequest, S3Store, Store, StoreErrorKind, Token, Urgency};

/// Names in byte order, with what each would be taken for by who tidies up.
fn names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        &b"/lead"[..],
        b"..",
        b"../up",
        b"./here",
        b"a",
        b"a//b",
        b"a/b",
        b"a/../b",
        b"b",
        b"dir",
        b"dir/",
        b"dir/x",
        b"line\nfeed",
        b"nul\0byte",
        b"not\xffutf8/\xfe",
        b"per%2Fcent",
        b"plus+space *~",
        "ü/日本".as_bytes(),
    ]
    .map(<[u8]>::to_vec)
    .into();
    names.push(vec![b'x'; 1024]);
    names.push([&b"deep/".repeat(204)[..], b"last"].concat());
    names.sort();
    names
}

/// A server with an object of each name, whose bytes are the name twice.
fn server() -> S3Server {
    let server = S3Server::start(5).unwrap();
    for name in names() {
        server.put(name.clone(), name.repeat(2));
    }
    server
}

async fn entries(store: &S3Store, prefix: &[u8], delimited: bool) -> Vec<ListEntry> {
    let (prefix, mut all, mut token) = (ObjectKey::new(prefix), Vec::new(), None::<Token>);
    loop {
        let (token_now, urgency) = (token.as_ref(), Urgency::Demand);
        let request = ListRequest { prefix: &prefix, delimited, token: token_now, limit: None, urgency };
        let page = store.list(request).await.unwrap();
        all.extend(page.entries);
        match page.next {
            Some(next) => token = Some(next),
            None => return all,
        }
    }
}

fn keys(entries: &[ListEntry]) -> Vec<Vec<u8>> {
    entries.iter().map(|entry| entry.key().as_bytes().to_vec()).collect()
}

#[tokio::test]
async fn every_name_is_listed_and_read_byte_for_byte() {
    let server = server();
    let (store, _) = S3Store::open(&server.config()).await.unwrap();
    let listed = entries(&store, b"", false).await;
    assert_eq!(keys(&listed), names());
    for entry in &listed {
        let ListEntry::Object(meta) = entry else { panic!("{entry:?}") };
        let head = store.head(&meta.key).await.unwrap();
        assert_eq!((&head.version, head.size, head.is_directory), (&meta.version, meta.size, meta.is_directory));
        let mut bytes = vec![0; usize::try_from(meta.size).unwrap()];
        let range = ByteRange::new(0, meta.size);
        let get = Get { key: &meta.key, version: Some(&meta.version), range, urgency: Urgency::Demand };
        store.get(get, &mut Landing::one(&mut bytes)).await.unwrap();
        assert_eq!(bytes, meta.key.as_bytes().repeat(2), "{}", meta.key);
    }
}

#[tokio::test]
async fn names_below_an_odd_prefix_are_listed_too() {
    let server = server();
    let (store, _) = S3Store::open(&server.config()).await.unwrap();
    for (prefix, expected) in [
        (&b"a/"[..], vec![&b"a/../"[..], b"a//", b"a/b"]),
        (b"a//", vec![b"a//b"]),
        (b"../", vec![b"../up"]),
        (b"dir/", vec![b"dir/", b"dir/x"]),
        (b"not\xffutf8/", vec![b"not\xffutf8/\xfe"]),
        (b"per%", vec![b"per%2Fcent"]),
    ] {
        let mut expected: Vec<Vec<u8>> = expected.into_iter().map(<[u8]>::to_vec).collect();
        expected.sort();
        assert_eq!(keys(&entries(&store, prefix, true).await), expected, "{}", prefix.escape_ascii());
    }
}

#[tokio::test]
async fn the_server_refuses_another_signature_and_knows_no_other_name() {
    let server = server();
    let (id, _) = server.key_pair();
    let aws = AwsCredential::Keys { id: id.to_owned(), secret: Secret::new("another"), session_token: None };
    let (forged, _) = S3Store::open(&StoreConfig { aws, ..server.config() }).await.unwrap();
    let prefix = ObjectKey::from("");
    let request = ListRequest { prefix: &prefix, delimited: false, token: None, limit: None, urgency: Urgency::Demand };
    assert_eq!(forged.list(request).await.unwrap_err().kind, StoreErrorKind::BadCredential);
    let (store, _) = S3Store::open(&server.config()).await.unwrap();
    for near in ["a/", "here", "a/./b", "nul", "not\u{fffd}utf8/\u{fffd}"] {
        assert_eq!(store.head(&near.into()).await.unwrap_err().kind, StoreErrorKind::NotFound, "{near}");
    }
}
