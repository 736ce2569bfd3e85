//! Questions about names that some stores cannot hold: kept exactly, or refused, never taken for another.

use bytes::Bytes;
use rfuse_block::ObjectKey;

use super::Subject;
use crate::{ListEntry, Precondition, StoreErrorKind};

/// Names that a URL must spell carefully, and the one each might be taken for.
const ODD_IN_URLS: &[(&[u8], &[u8])] = &[
    (b"percent%2Fslash", b"percent/slash"),
    (b"percent%41", b"percentA"),
    (b"plus+plus", b"plus plus"),
    (b"space space", b"space+space"),
    (b" leading and trailing ", b"leading and trailing"),
    (b"question?mark=1&x", b"question"),
    (b"hash#tag", b"hash"),
    (b"quotes'\"<&>;", b"quotes"),
    (b"colon:at@tilde~", b"colon"),
    ("ünïcødé/日本/🦀".as_bytes(), b"unicode"),
    // One character, two spellings.
    ("e\u{301}".as_bytes(), "\u{e9}".as_bytes()),
    (b"...", b"a"),
    (b"CASE", b"case"),
];

/// Names that a path cannot say, or that text cannot hold, and the one each might be taken for.
const ODD_AS_PATHS: &[(&[u8], &[u8])] = &[
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
    (b"back\\slash", b"back/slash"),
    (b"dot.", b"dot"),
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

/// Whatever a URL means by them, these names hold their own objects, or are refused.
pub async fn a_name_that_is_odd_in_a_url_is_kept_exactly_or_refused(subject: &Subject) {
    ask_all(subject, ODD_IN_URLS).await;
}

/// Whatever a path means by them, these names hold their own objects, or are refused.
pub async fn a_name_that_is_odd_as_a_path_is_kept_exactly_or_refused(subject: &Subject) {
    if subject.can(subject.abilities.holds_or_refuses_odd_paths, "tell `a//b` from `a/b` once it has left us") {
        ask_all(subject, ODD_AS_PATHS).await;
    }
}

/// Each name holds its own object beside the one it might be taken for, or is refused in every way.
async fn ask_all(subject: &Subject, names: &[(&[u8], &[u8])]) {
    for &(odd, twin) in names {
        ask(subject, &ObjectKey::new(odd), &ObjectKey::new(twin)).await;
    }
    let left = subject.pages(&"".into(), false, None).await.concat();
    let is_object = |entry: &&ListEntry| !matches!(entry, ListEntry::Object(meta) if meta.is_directory);
    let left: Vec<_> = left.iter().filter(is_object).collect();
    assert!(left.is_empty(), "what was put was deleted under the same name: {left:?}");
}

async fn ask(subject: &Subject, odd: &ObjectKey, twin: &ObjectKey) {
    let has_twin = holds(subject, twin, "twin").await;
    if holds(subject, odd, "odd").await {
        check(subject, odd, "odd").await;
        subject.store.delete(odd, None).await.unwrap();
    } else {
        for error in [subject.content(odd).await.unwrap_err(), subject.store.head(odd).await.unwrap_err()] {
            let is_refused = matches!(error.kind, StoreErrorKind::BadName | StoreErrorKind::NotFound);
            assert!(is_refused, "reading {odd}: {error}");
        }
    }
    if has_twin {
        check(subject, twin, "twin").await;
        subject.store.delete(twin, None).await.unwrap();
    }
}

/// `n` and `n/x` are two objects; a store whose names are paths refuses the second.
pub async fn an_object_and_a_prefix_of_one_name_are_both_there_or_refused(subject: &Subject) {
    if !subject.can(subject.abilities.lists_below_objects, "list what lies below the name of an object") {
        return;
    }
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
