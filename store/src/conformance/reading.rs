//! Questions about bytes, versions and what is known of an object.

use std::time::{Duration, SystemTime};

use rfuse_block::{ByteRange, ObjectKey, Version};

use super::{Subject, kind};
use crate::{Get, Landing, StoreErrorKind, Urgency, pattern};

/// Any range inside an object is delivered, byte for byte.
pub async fn exact_ranges_are_delivered(subject: &Subject) {
    let content = pattern::bytes(1, 0, 10_000);
    subject.put("object", content.clone()).await;
    for (start, end) in [(0, 1), (0, 4096), (4096, 8192), (1, 2), (4095, 4097), (9_999, 10_000), (5_904, 10_000)] {
        let read = subject.read("object", start, end).await.unwrap();
        assert!(read == content[start as usize..end as usize], "{start}..{end}");
    }
}

/// The range of the whole object is delivered, and its size told.
pub async fn a_whole_object_is_delivered(subject: &Subject) {
    let version = subject.put("object", "0123456789").await;
    let (key, mut bytes) = (ObjectKey::from("object"), [0; 10]);
    let get = Get { key: &key, version: Some(&version), range: ByteRange::new(0, 10), urgency: Urgency::Ahead };
    let fetched = subject.store.get(get, &mut Landing::one(&mut bytes)).await.unwrap();
    assert_eq!((&bytes, fetched.object_size, fetched.version), (b"0123456789", 10, version));
}

/// A landing of many buffers, some of them empty, is filled front to back.
pub async fn many_buffers_are_filled_in_order(subject: &Subject) {
    let content = pattern::bytes(2, 0, 5000);
    subject.put("object", content.clone()).await;
    let mut memory: Vec<Vec<u8>> = [1, 0, 1000, 7, 0, 2000].map(|length| vec![0; length]).into();
    let key = ObjectKey::from("object");
    let range = ByteRange::at(500, memory.iter().map(Vec::len).sum::<usize>() as u64);
    let get = Get { key: &key, version: None, range, urgency: Urgency::Demand };
    subject.store.get(get, &mut Landing::many(memory.iter_mut().map(Vec::as_mut_slice))).await.unwrap();
    assert!(memory.concat() == content[500..3508]);
}

/// A range of several MiB is delivered.
pub async fn a_large_range_is_delivered(subject: &Subject) {
    subject.put("object", pattern::bytes(3, 0, 3 << 20)).await;
    let read = subject.read("object", 12_345, 3 << 20).await.unwrap();
    assert_eq!(pattern::first_difference(3, 12_345, &read), None);
}

/// An object of no bytes is there, has a size of zero, and every range is past its end.
pub async fn an_empty_object_has_no_bytes(subject: &Subject) {
    let version = subject.put("object", "").await;
    let meta = subject.store.head(&"object".into()).await.unwrap();
    assert_eq!((meta.size, meta.version, meta.is_directory), (0, version, false));
    assert_eq!(kind(subject.read("object", 0, 1).await), StoreErrorKind::PastEnd);
}

/// A range that starts at or after the end is `PastEnd`.
pub async fn a_range_past_the_end_is_told(subject: &Subject) {
    subject.put("object", "0123456789").await;
    for start in [10, 11, 1 << 40] {
        assert_eq!(kind(subject.read("object", start, start + 5).await), StoreErrorKind::PastEnd, "{start}");
    }
}

/// A range that starts inside and ends after the object is `Cut`; what there is has landed.
pub async fn a_range_over_the_end_is_cut(subject: &Subject) {
    subject.put("object", "0123456789").await;
    let (key, mut bytes) = (ObjectKey::from("object"), [b'x'; 8]);
    let get = Get { key: &key, version: None, range: ByteRange::new(6, 14), urgency: Urgency::Demand };
    let mut landing = Landing::one(&mut bytes);
    let answer = subject.store.get(get, &mut landing).await;
    assert_eq!((kind(answer), landing.filled()), (StoreErrorKind::Cut, 4));
    drop(landing);
    assert_eq!(&bytes, b"6789xxxx");
}

/// A version that the object never had is `Changed`, and no byte lands.
pub async fn another_version_is_changed(subject: &Subject) {
    subject.put("object", "0123456789").await;
    let (key, mut bytes) = (ObjectKey::from("object"), [b'x'; 4]);
    let version = Version::new("\"0123456789abcdef0123456789abcdef\"");
    let get = Get { key: &key, version: Some(&version), range: ByteRange::new(0, 4), urgency: Urgency::Demand };
    let answer = subject.store.get(get, &mut Landing::one(&mut bytes)).await;
    assert_eq!((kind(answer), &bytes), (StoreErrorKind::Changed, b"xxxx"));
}

/// The version of before a replacement is `Changed`; the new one is readable, and differs.
pub async fn a_replaced_object_is_changed(subject: &Subject) {
    let key = ObjectKey::from("object");
    let first = subject.put("object", "one").await;
    let second = subject.put("object", "two").await;
    assert_ne!(first, second);
    assert_eq!(kind(subject.read_version(&key, Some(&first), 0, 3).await), StoreErrorKind::Changed);
    assert_eq!(subject.read_version(&key, Some(&second), 0, 3).await.unwrap(), b"two");
    assert_eq!(subject.store.head(&key).await.unwrap().version, second);
}

/// GET and HEAD of what is not there are `NotFound`, about the key asked for.
pub async fn what_is_not_there_is_not_found(subject: &Subject) {
    subject.put("there/object", "x").await;
    for key in ["gone", "there", "there/gone", "gone/object"] {
        let error = subject.read(key, 0, 1).await.unwrap_err();
        assert_eq!((error.kind, error.key), (StoreErrorKind::NotFound, Some(key.into())), "get {key}");
        let error = subject.store.head(&key.into()).await.unwrap_err();
        assert_eq!((error.kind, error.key), (StoreErrorKind::NotFound, Some(key.into())), "head {key}");
    }
}

/// HEAD tells size, version and time.
pub async fn what_was_put_is_known(subject: &Subject) {
    let version = subject.put("dir/object", "0123456789").await;
    let meta = subject.store.head(&"dir/object".into()).await.unwrap();
    assert_eq!((meta.key, meta.size, meta.version), ("dir/object".into(), 10, version));
    let age = SystemTime::now().duration_since(meta.modified).unwrap_or_default();
    assert!(age < Duration::from_secs(300), "the time is that of the write: {age:?}");
}

/// A container that does not exist is `NoContainer`, not an empty one.
pub async fn a_missing_container_is_told(subject: &Subject) {
    let Some(store) = &subject.without_container else {
        subject.can(false, "have containers");
        return;
    };
    let prefix = ObjectKey::from("");
    let request =
        crate::ListRequest { prefix: &prefix, delimited: true, token: None, limit: None, urgency: Urgency::Demand };
    assert_eq!(kind(store.list(request).await), StoreErrorKind::NoContainer);
}
