//! Questions about names in listings.

use std::collections::BTreeMap;

use bytes::Bytes;
use rfuse_block::ObjectKey;

use super::Subject;
use crate::{ListEntry, Precondition, PutOptions};

const KEYS: [&str; 8] = ["a", "a-b", "a.b", "b/1", "b/2", "b/c/3", "b0", "z/ü/x y"];

async fn filled(subject: &Subject) {
    for key in KEYS {
        subject.put(key, key).await;
    }
}

/// Names come in the order of their bytes, each once, with size and version.
pub async fn listings_are_in_byte_order(subject: &Subject) {
    filled(subject).await;
    assert_eq!(subject.names("", false, None).await, KEYS);
    for entry in subject.pages(&"".into(), false, None).await.concat() {
        let ListEntry::Object(meta) = entry else { panic!("a flat listing holds objects only") };
        let head = subject.store.head(&meta.key).await.unwrap();
        assert_eq!((meta.size, &meta.version), (meta.key.as_bytes().len() as u64, &head.version), "{}", meta.key);
    }
}

/// However small the pages, together they are the listing.
pub async fn pages_together_are_the_listing(subject: &Subject) {
    filled(subject).await;
    for limit in 1..=9 {
        assert_eq!(subject.names("", false, Some(limit)).await, KEYS, "flat, {limit} a page");
        let rolled_up = ["a", "a-b", "a.b", "b/", "b0", "z/"];
        assert_eq!(subject.names("", true, Some(limit)).await, rolled_up, "delimited, {limit} a page");
    }
}

/// No page holds more than was asked for.
pub async fn a_limit_is_kept(subject: &Subject) {
    filled(subject).await;
    for limit in [1, 3] {
        for delimited in [false, true] {
            let pages = subject.pages(&"".into(), delimited, Some(limit)).await;
            assert!(pages.iter().all(|page| page.len() <= limit as usize), "{limit}");
        }
    }
}

/// What lies below the next `/` is one entry.
pub async fn names_are_rolled_up_at_the_delimiter(subject: &Subject) {
    filled(subject).await;
    let entries = subject.pages(&"b/".into(), true, None).await.concat();
    let kinds: Vec<_> =
        entries.iter().map(|entry| (entry.key().to_string(), matches!(entry, ListEntry::Prefix(_)))).collect();
    assert_eq!(kinds, [("b/1".to_owned(), false), ("b/2".to_owned(), false), ("b/c/".to_owned(), true)]);
    assert_eq!(subject.names("z/", true, None).await, ["z/ü/"]);
}

/// A prefix may end in the middle of a name.
pub async fn a_prefix_need_not_end_in_a_delimiter(subject: &Subject) {
    filled(subject).await;
    assert_eq!(subject.names("a", false, None).await, ["a", "a-b", "a.b"]);
    assert_eq!(subject.names("b", true, None).await, ["b/", "b0"]);
    assert_eq!(subject.names("b", false, Some(2)).await, ["b/1", "b/2", "b/c/3", "b0"]);
    assert_eq!(subject.names("b/c", true, None).await, ["b/c/"]);
    assert_eq!(subject.names("z/ü/x ", false, None).await, ["z/ü/x y"]);
}

/// A prefix that nothing has gives an empty page.
pub async fn an_empty_listing_is_no_error(subject: &Subject) {
    assert_eq!(subject.names("", false, None).await, [""; 0]);
    filled(subject).await;
    for prefix in ["c", "c/", "a/", "b/1/"] {
        assert_eq!(subject.names(prefix, true, None).await, [""; 0], "{prefix}");
        assert_eq!(subject.names(prefix, false, None).await, [""; 0], "{prefix}");
    }
}

/// A listing tells the metadata of each object, where the store lists metadata at all.
pub async fn listed_metadata_is_that_of_the_object(subject: &Subject) {
    if !subject.can(subject.abilities.lists_metadata, "list metadata") {
        return;
    }
    let metadata = BTreeMap::from([("colour".to_owned(), "blue".to_owned())]);
    let options = PutOptions { content_type: Some("text/plain".to_owned()), metadata: metadata.clone() };
    let key = ObjectKey::from("object");
    subject.store.put(&key, Bytes::from("x"), &Precondition::None, &options).await.unwrap();
    let entries = subject.pages(&key, true, None).await.concat();
    let [ListEntry::Object(meta)] = entries.as_slice() else { panic!("one object: {entries:?}") };
    assert_eq!((&meta.metadata, meta.content_type.as_deref()), (&metadata, Some("text/plain")));
}
