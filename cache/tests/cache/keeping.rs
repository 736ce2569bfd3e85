//! What is warmed, what is pinned, and what a mount may have of a folder.

use rfuse_block::{ByteRange, ObjectId, ObjectKey};
use rfuse_cache::{PinError, PinnedObject, Warmed};
use rfuse_config::Admit;

use crate::folder::{Folder, Open};
use crate::support::pin_pattern;

const MIB: u64 = 1 << 20;

fn all(object: &PinnedObject) -> ByteRange {
    ByteRange::new(0, object.size)
}

/// Has other objects of `bytes` in all fetched and written, twice, so that they are worth it.
async fn crowd(open: &Open, seed: u64, bytes: u64) {
    let other = pin_pattern(&open.store, &open.cache, &format!("other-{seed}"), bytes, seed);
    for _ in 0..2 {
        for offset in (0..bytes).step_by(256 << 10) {
            open.cache.read(&other, ByteRange::at(offset, 256 << 10)).await.unwrap();
            open.cache.flush();
        }
    }
}

#[tokio::test]
async fn what_is_warmed_is_on_disk_whatever_the_admission_says_and_not_fetched_twice() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { admit: Admit::Again, memory: 8000, ..Folder::new(dir.path(), 5 * MIB + 777) };
    let open = folder.open();
    let first = open.cache.warm(&open.object, ByteRange::new(0, 2 * MIB)).await.unwrap();
    assert_eq!(first, Warmed { present: 0, brought: 2 * MIB, unkept: 0 });
    let gets = open.store.gets();
    let second = open.cache.warm(&open.object, all(&open.object)).await.unwrap();
    assert_eq!(second, Warmed { present: 2 * MIB, brought: 3 * MIB + 777, unkept: 0 });
    drop(open);
    let open = folder.open();
    open.check(0, 5 * MIB + 777).await;
    assert_eq!(open.store.gets(), 0);
    assert!(gets <= 2 + 2, "{gets} GETs for two MiB");
}

#[tokio::test]
async fn without_a_disk_what_is_warmed_is_in_memory() {
    let case = crate::support::House::roomy();
    let warmed = case.cache.warm(&case.object, ByteRange::new(100, MIB)).await.unwrap();
    assert_eq!(warmed, Warmed { present: 0, brought: MIB - 100, unkept: 0 });
    let gets = case.store.gets();
    case.check(100, MIB - 100).await;
    assert_eq!(case.store.gets(), gets);
    assert!(case.cache.warm_limit().is_some());
    assert!(matches!(case.cache.pin_ranges(&[(case.object.clone(), all(&case.object))]), Err(PinError::NoFolder)));
}

#[tokio::test]
async fn what_is_pinned_stays_when_others_want_its_room_and_leaves_once_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { size: 16 * MIB, ..Folder::new(dir.path(), 6 * MIB) };
    let open = folder.open();
    open.cache.pin_ranges(&[(open.object.clone(), all(&open.object))]).unwrap();
    assert_eq!(open.disk().pinned_bytes, 6 * MIB);
    assert_eq!(open.cache.warm(&open.object, all(&open.object)).await.unwrap().unkept, 0);
    for seed in 0..3 {
        crowd(&open, seed, 20 * MIB).await;
    }
    assert!(open.disk().evictions > 0, "{:?}", open.disk());
    let again = open.cache.warm(&open.object, all(&open.object)).await.unwrap();
    assert_eq!(again, Warmed { present: 6 * MIB, ..Warmed::default() }, "{:?}", open.disk());
    drop(open);
    // Another process knows of it by the folder alone.
    let open = folder.open();
    crowd(&open, 9, 20 * MIB).await;
    assert_eq!(open.cache.warm(&open.object, all(&open.object)).await.unwrap().present, 6 * MIB);
    assert_eq!(open.cache.unpin(Some(&[ObjectKey::from("object")])).unwrap(), 6 * MIB);
    for seed in 10..14 {
        crowd(&open, seed, 20 * MIB).await;
    }
    let after = open.cache.warm(&open.object, all(&open.object)).await.unwrap();
    assert!(after.present < 3 * MIB, "{after:?}");
}

#[tokio::test]
async fn three_quarters_of_the_folder_can_be_pinned_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let open = Folder { size: 16 * MIB, ..Folder::new(dir.path(), 13 * MIB) }.open();
    let refused = open.cache.pin_ranges(&[(open.object.clone(), all(&open.object))]);
    assert!(matches!(refused, Err(PinError::TooMuch { wanted, most }) if wanted == 13 * MIB && most == 12 * MIB));
    assert_eq!(open.disk().pinned_bytes, 0);
    open.cache.pin_ranges(&[(open.object.clone(), ByteRange::new(0, 12 * MIB))]).unwrap();
}

#[tokio::test]
async fn a_mount_takes_its_quota_and_leaves_the_rest_to_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { size: 32 * MIB, ..Folder::new(dir.path(), 9 * MIB) };
    let other = folder.open();
    other.pass(64 << 10).await;
    drop(other);
    let guest = Folder { quota: 4 * MIB, scope: "another store", object: 40 * MIB, ..folder.clone() };
    let open = guest.open();
    open.pass(64 << 10).await;
    open.pass(64 << 10).await;
    assert!(open.disk().evictions > 0, "it has made room among its own: {:?}", open.disk());
    // Segments are a MiB here, and one more is made before the oldest goes.
    assert!(folder.bytes() <= (10 + 4 + 2) * MIB + (1 << 19), "{} bytes", folder.bytes());
    drop(open);
    let other = folder.open();
    other.check(0, 9 * MIB).await;
    assert_eq!(other.store.gets(), 0, "what the other had is all there");
}

#[tokio::test]
async fn what_is_forgotten_is_fetched_anew() {
    let dir = tempfile::tempdir().unwrap();
    let open = Folder::new(dir.path(), 2 * MIB).open();
    open.pass(64 << 10).await;
    let before = open.store.gets();
    assert!(open.cache.invalidate_all() > 0);
    open.check(0, 2 * MIB).await;
    assert!(open.store.gets() > before);
    let id = ObjectId { key: ObjectKey::from("object"), version: open.object.id.version.clone() };
    assert_eq!(open.cache.pin(id, open.object.size).id, open.object.id);
}
