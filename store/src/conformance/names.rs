//! Questions about names that some stores cannot hold: kept exactly, or refused, never taken for another.

use bytes::Bytes;
use rfuse_block::ObjectKey;

use super::Subject;
use crate::{ListEntry, Precondition, StoreErrorKind};

/// A name, and the one that a careless store would take it for.
const ODD: &[(&[u8], &[u8])] = &[
    (b"a//b", b"a/b"),
    (b"/a", b"a"),
    (b"dir/", b"dir"),
    (b"./a", b"a"),
    (b"d/./a", b"d/a"),
    (b"d/../a", b"a"),
    (b"..", b"a"),
    (b"nul\0byte", b"nul"),
    (b"new\nline", b"newline"),
    (b"tab\tand\x1bescape", b"tab"),
    (b"not\xffutf8", b"not\xef\xbf\xbdutf8"),
    (b"percent%2Fslash", b"percent/slash"),
    (b"percent%41", b"percentA"),
    (b"plus+plus", b"plus plus"),
    (b"space space", b"space+space"),
    (b" leading and trailing ", b"leading and trailing"),
    (b"question?mark=1&x", b"question"),
    (b"hash#tag", b"hash"),
    (b"back\\slash", b"back/slash"),
    (b"quotes'\"<&>;", b"quotes"),
    (b"colon:at@tilde~", b"colon"),
    ("ünïcødé/日本/🦀".as_bytes(), b"unicode"),
    // One character each, two spellings.
    ("e\u{301}".as_bytes(), "\u{e9}".as_bytes()),
    (b"dot.", b"dot"),
    (b"...", b"a"),
    (b"CASE", b"case"),
];

/// Writes under `key`; whether the store holds the name. Any answer but success and refusal is wrong.
async fn holds(subject: &Subject, key: &ObjectKey, body: &'static str) -> bool {
    match subject.try_put(key, Bytes::from(body), &Precondition::None).await {
        Ok(_) => true,
        Err(error) => {
            let refusals = &subject.abilities.name_refusals;
            assert!(refusals.contains(&error.kind), "{key} is refused by {refusals:?}, not {:?}: {error}", error.kind);
            false
        }
    }
}

/// What a reader and a listing find under `key`.
async fn check(subject: &Subject, key: &ObjectKey, body: &str) {
    let found = subject.content(key).await;
    assert_eq!(found.as_deref().ok(), Some(body.as_bytes()), "{key} holds what was put there: {found:?}");
    let listed = subject.pages(key, false, None).await.concat();
    assert!(listed.iter().any(|entry| entry.key() == key), "{key} is listed under its name: {listed:?}");
}

/// Each odd name holds its own object beside the one it might be taken for, or is refused in every way.
pub async fn an_odd_name_is_kept_exactly_or_refused(subject: &Subject) {
    for &(odd, twin) in ODD {
        let (odd, twin) = (ObjectKey::new(odd), ObjectKey::new(twin));
        let has_twin = holds(subject, &twin, "twin").await;
        if holds(subject, &odd, "odd").await {
            check(subject, &odd, "odd").await;
            subject.store.delete(&odd, None).await.unwrap();
        } else {
            for error in [subject.content(&odd).await.unwrap_err(), subject.store.head(&odd).await.unwrap_err()] {
                let is_refused = matches!(error.kind, StoreErrorKind::BadName | StoreErrorKind::NotFound);
                assert!(is_refused, "reading {odd}: {error}");
            }
        }
        if has_twin {
            check(subject, &twin, "twin").await;
            subject.store.delete(&twin, None).await.unwrap();
        }
    }
    let left = subject.pages(&"".into(), false, None).await.concat();
    let left: Vec<_> =
        left.iter().filter(|entry| !matches!(entry, ListEntry::Object(meta) if meta.is_directory)).collect();
    assert!(left.is_empty(), "what was put was deleted under the same name: {left:?}");
}

/// `n` and `n/x` are two objects; a store whose names are paths refuses the second.
pub async fn an_object_and_a_prefix_of_one_name_are_both_there_or_refused(subject: &Subject) {
    let (object, below) = (ObjectKey::from("n"), ObjectKey::from("n/x"));
    assert!(holds(subject, &object, "object").await);
    if holds(subject, &below, "below").await {
        check(subject, &below, "below").await;
        assert_eq!(subject.names("", true, None).await, ["n", "n/"]);
    }
    check(subject, &object, "object").await;
}

/// 1,024 bytes, the longest name both clouds take, with and without `/`; and one byte more.
pub async fn long_names_are_kept_exactly_or_refused(subject: &Subject) {
    let flat = "x".repeat(1024);
    let deep = "dir/".repeat(255) + "file";
    for name in [flat.clone(), deep, flat + "y"] {
        let key = ObjectKey::from(name.as_str());
        if holds(subject, &key, "long").await {
            check(subject, &key, "long").await;
        }
    }
}
