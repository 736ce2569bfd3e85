//! How a mount looks from outside, whoever made it.

use std::fs;
use std::os::unix::fs::symlink;

use rfuse_fuse::kernel::mount_table;
use rfuse_fuse::kernel::{MountError, MountOptions, Unmount, Way, mount, set_read_ahead, unmount};
use rfuse_store::MemoryStore;

use crate::fixture::{Mounted, Setup};

#[test]
fn the_mount_table_tells_what_and_how() {
    for way in [Way::Direct, Way::Fusermount] {
        let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup { way, ..Setup::default() }) else { return };
        let entry = mount_table::on(&mounted.mount.target).unwrap().unwrap();
        assert_eq!(entry.source, "test:it, all", "{way:?}");
        assert!(entry.is_rfuse() && entry.read_only);
        assert_eq!(mounted.mount.entry.as_ref(), Some(&entry));
        assert_eq!(fs::read_dir(&mounted.mount.target).unwrap().count(), 0);
    }
}

#[test]
fn a_mount_point_in_use_is_named() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::default()) else { return };
    let error = mount(&mounted.mount.target, &MountOptions::default()).unwrap_err();
    assert!(matches!(error, MountError::AlreadyMounted { ref kind, .. } if kind == "fuse.rfuse"), "{error}");
}

#[test]
fn a_link_to_a_mount_point_unmounts_it() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::default()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    symlink(&mounted.mount.target, &link).unwrap();
    unmount(&link, Unmount::Plain).unwrap();
    assert_eq!(mount_table::on(&mounted.mount.target).unwrap(), None);
    mounted.join();
}

#[test]
fn read_ahead_is_raised_beyond_what_init_can_say() {
    let memory = MemoryStore::new();
    memory.put_pattern("f", 8 << 20, 1);
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    let entry = mounted.mount.entry.clone().unwrap();
    set_read_ahead(&entry, 1 << 20).unwrap();
    let _ = fs::read(mounted.path("f")).unwrap();
    let mean = mounted.counters.read_bytes() / mounted.reads();
    assert!(mean > 256 << 10, "requests of {mean} bytes");
}
