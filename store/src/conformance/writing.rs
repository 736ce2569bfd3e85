//! Questions about writes: whole, in parts, under conditions; copies and deletions.

use std::collections::BTreeMap;

use bytes::Bytes;
use rfuse_block::{ByteRange, ObjectKey, Version};

use super::{Subject, kind};
use crate::{PartTag, Precondition, PutOptions, StoreError, StoreErrorKind, UploadId, pattern};

fn key(text: &str) -> ObjectKey {
    ObjectKey::from(text)
}

/// A version that no object has.
fn nobodys() -> Version {
    Version::new("\"0123456789abcdef0123456789abcdef\"")
}

/// Content type and metadata come back as they were given.
pub async fn metadata_survives(subject: &Subject) {
    let metadata = BTreeMap::from([("colour", "blue"), ("size", "1 2 3")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    let options = PutOptions { content_type: Some("application/x-test".to_owned()), metadata };
    subject.store.put(&key("object"), Bytes::from("x"), &Precondition::None, &options).await.unwrap();
    let meta = subject.store.head(&key("object")).await.unwrap();
    assert_eq!((meta.content_type, meta.metadata), (options.content_type, options.metadata));
}

/// Without a condition the last put counts, also when it is shorter.
pub async fn a_put_replaces_what_is_there(subject: &Subject) {
    subject.put("object", "a long content").await;
    subject.put("object", "short").await;
    assert_eq!(subject.content(&key("object")).await.unwrap(), b"short");
}

/// `Absent` writes once.
pub async fn absent_protects_what_is_there(subject: &Subject) {
    let object = key("object");
    subject.try_put(&object, Bytes::from("first"), &Precondition::Absent).await.unwrap();
    let second = subject.try_put(&object, Bytes::from("second"), &Precondition::Absent).await;
    assert_eq!(kind(second), StoreErrorKind::Exists);
    assert_eq!(subject.content(&object).await.unwrap(), b"first");
}

/// `Matches` writes only over its version, and not where there is nothing.
pub async fn matches_protects_another_version(subject: &Subject) {
    let object = key("object");
    let first = subject.put("object", "first").await;
    let second = subject.try_put(&object, Bytes::from("second"), &Precondition::Matches(first.clone())).await.unwrap();
    for stale in [first, nobodys()] {
        let third = subject.try_put(&object, Bytes::from("third"), &Precondition::Matches(stale)).await;
        assert_eq!(kind(third), StoreErrorKind::Changed);
    }
    assert_eq!(subject.read_version(&object, Some(&second), 0, 6).await.unwrap(), b"second");
    let nowhere = subject.try_put(&key("gone"), Bytes::from("x"), &Precondition::Matches(second)).await;
    assert!(matches!(kind(nowhere), StoreErrorKind::Changed | StoreErrorKind::NotFound));
}

/// Bytes of the parts that the questions send: the least the store takes.
fn part(subject: &Subject, seed: u64) -> Bytes {
    pattern::bytes(seed, 0, subject.abilities.part_min.max(3)).into()
}

async fn begin(subject: &Subject) -> UploadId {
    subject.store.begin_upload(&key("object"), &PutOptions::default()).await.unwrap()
}

async fn send(subject: &Subject, upload: &UploadId, number: u32, body: Bytes) -> PartTag {
    subject.store.put_part(&key("object"), upload, number, body).await.unwrap()
}

async fn complete(
    subject: &Subject,
    upload: &UploadId,
    parts: &[PartTag],
    condition: &Precondition,
) -> Result<Version, StoreError> {
    subject.store.complete_upload(&key("object"), upload, parts, condition, &PutOptions::default()).await
}

/// Parts sent in any order become the object in the order of their numbers; one sent twice counts once.
pub async fn an_upload_is_its_parts_in_order(subject: &Subject) {
    let upload = begin(subject).await;
    let (first, last) = (part(subject, 1), Bytes::from("the end"));
    let tag_2 = send(subject, &upload, 2, last.clone()).await;
    send(subject, &upload, 1, part(subject, 7)).await;
    let tag_1 = send(subject, &upload, 1, first.clone()).await;
    let version = complete(subject, &upload, &[tag_1, tag_2], &Precondition::None).await.unwrap();
    let meta = subject.store.head(&key("object")).await.unwrap();
    assert_eq!((meta.version, meta.size), (version, (first.len() + last.len()) as u64));
    assert!(subject.content(&key("object")).await.unwrap() == [first, last].concat());
}

/// Nothing is seen of an upload before it is complete.
pub async fn an_upload_is_invisible_until_it_is_complete(subject: &Subject) {
    let upload = begin(subject).await;
    let tag = send(subject, &upload, 1, part(subject, 1)).await;
    assert_eq!(kind(subject.store.head(&key("object")).await), StoreErrorKind::NotFound);
    assert_eq!(subject.names("", false, None).await, [""; 0]);
    complete(subject, &upload, &[tag], &Precondition::None).await.unwrap();
    assert_eq!(subject.names("", false, None).await, ["object"]);
}

/// An upload given up leaves nothing, and cannot be completed.
pub async fn an_upload_given_up_leaves_nothing(subject: &Subject) {
    let upload = begin(subject).await;
    let tag = send(subject, &upload, 1, part(subject, 1)).await;
    subject.store.abort_upload(&key("object"), &upload).await.unwrap();
    complete(subject, &upload, &[tag], &Precondition::None).await.unwrap_err();
    assert_eq!(kind(subject.store.head(&key("object")).await), StoreErrorKind::NotFound);
}

/// The conditions of a completion protect what is there.
pub async fn an_upload_keeps_its_condition(subject: &Subject) {
    let first = subject.put("object", "first").await;
    for (condition, refusal) in
        [(Precondition::Absent, StoreErrorKind::Exists), (Precondition::Matches(nobodys()), StoreErrorKind::Changed)]
    {
        let upload = begin(subject).await;
        let tag = send(subject, &upload, 1, part(subject, 1)).await;
        assert_eq!(kind(complete(subject, &upload, &[tag], &condition).await), refusal);
        assert_eq!(subject.content(&key("object")).await.unwrap(), b"first");
    }
    let upload = begin(subject).await;
    let tag = send(subject, &upload, 1, Bytes::from("second")).await;
    complete(subject, &upload, &[tag], &Precondition::Matches(first)).await.unwrap();
    assert_eq!(subject.content(&key("object")).await.unwrap(), b"second");
}

/// A part may be made of a range of one version of another object.
pub async fn a_part_may_be_copied(subject: &Subject) {
    if !subject.can(subject.abilities.copies_parts, "copy parts") {
        return;
    }
    let length = part(subject, 0).len() as u64;
    let version = subject.put("source", pattern::bytes(5, 0, length as usize + 1000)).await;
    let (object, source, range) = (key("object"), key("source"), ByteRange::at(500, length));
    let upload = begin(subject).await;
    let copied = subject.store.copy_part(&object, &upload, 1, &source, &version, range).await.unwrap();
    let stale = subject.store.copy_part(&object, &upload, 2, &source, &nobodys(), range).await;
    assert_eq!(kind(stale), StoreErrorKind::Changed);
    let own = send(subject, &upload, 2, Bytes::from("tail")).await;
    complete(subject, &upload, &[copied, own], &Precondition::None).await.unwrap();
    let content = subject.content(&object).await.unwrap();
    assert_eq!(pattern::first_difference(5, 500, &content[..length as usize]), None);
    assert_eq!(&content[length as usize..], b"tail");
}

/// A copy has the bytes and the metadata of its source, which stays.
pub async fn a_copy_is_the_same(subject: &Subject) {
    let metadata = BTreeMap::from([("colour".to_owned(), "blue".to_owned())]);
    let options = PutOptions { content_type: Some("text/plain".to_owned()), metadata };
    let body = Bytes::from("content");
    subject.store.put(&key("dir/source"), body, &Precondition::None, &options).await.unwrap();
    let version = subject.store.copy(&key("dir/source"), &key("target"), &Precondition::None).await.unwrap();
    let meta = subject.store.head(&key("target")).await.unwrap();
    assert_eq!((meta.version, meta.metadata, meta.content_type), (version, options.metadata, options.content_type));
    for object in ["dir/source", "target"] {
        assert_eq!(subject.content(&key(object)).await.unwrap(), b"content");
    }
    let gone = subject.store.copy(&key("gone"), &key("other"), &Precondition::None).await;
    assert_eq!(kind(gone), StoreErrorKind::NotFound);
}

/// The condition of a copy protects its target.
pub async fn a_copy_keeps_its_condition(subject: &Subject) {
    if !subject.can(subject.abilities.copies_under_conditions, "copy under conditions") {
        return;
    }
    subject.put("source", "source").await;
    let version = subject.put("target", "target").await;
    for (condition, refusal) in
        [(Precondition::Absent, StoreErrorKind::Exists), (Precondition::Matches(nobodys()), StoreErrorKind::Changed)]
    {
        assert_eq!(kind(subject.store.copy(&key("source"), &key("target"), &condition).await), refusal);
        assert_eq!(subject.content(&key("target")).await.unwrap(), b"target");
    }
    subject.store.copy(&key("source"), &key("target"), &Precondition::Matches(version)).await.unwrap();
    assert_eq!(subject.content(&key("target")).await.unwrap(), b"source");
}

/// What was deleted is neither found nor listed; its neighbours stay.
pub async fn what_was_deleted_is_not_there(subject: &Subject) {
    subject.put("object", "x").await;
    subject.put("object2", "y").await;
    subject.store.delete(&key("object"), None).await.unwrap();
    assert_eq!(kind(subject.read("object", 0, 1).await), StoreErrorKind::NotFound);
    assert_eq!(subject.names("", false, None).await, ["object2"]);
    let again = subject.store.delete(&key("object"), None).await;
    if subject.can(subject.abilities.misses_the_deleted, "tell that there was nothing to delete") {
        assert_eq!(kind(again), StoreErrorKind::NotFound);
    } else {
        again.unwrap();
    }
}

/// A deletion of a version spares every other one.
pub async fn a_deletion_is_of_one_version(subject: &Subject) {
    if !subject.can(subject.abilities.deletes_versions, "delete under a condition") {
        return;
    }
    let first = subject.put("object", "first").await;
    let second = subject.put("object", "second").await;
    assert_eq!(kind(subject.store.delete(&key("object"), Some(&first)).await), StoreErrorKind::Changed);
    assert_eq!(subject.content(&key("object")).await.unwrap(), b"second");
    subject.store.delete(&key("object"), Some(&second)).await.unwrap();
    assert_eq!(kind(subject.store.head(&key("object")).await), StoreErrorKind::NotFound);
}
