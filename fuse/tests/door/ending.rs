//! How a mount ends, and what it leaves behind when its process dies.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use rfuse_fuse::kernel::mount_table;
use rfuse_fuse::kernel::{MountError, MountOptions, Unmount, UnmountError, mount, unmount};
use rfuse_store::MemoryStore;
use rustix::io::Errno;

use crate::fixture::{Mounted, Setup, can_mount, ended, until};

/// Set for the copy of this test that serves a mount until it is killed.
const SERVE: &str = "RFUSE_TEST_DOOR_SERVE";

#[test]
fn unmounting_ends_the_session() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::default()) else { return };
    let target = mounted.mount.target.clone();
    unmount(&target, Unmount::Plain).unwrap();
    mounted.join();
    assert_eq!(mount_table::on(&target).unwrap(), None);
    assert!(matches!(unmount(&target, Unmount::Plain), Err(UnmountError::NotMounted)));
}

#[test]
fn a_mount_in_use_is_busy_and_can_be_left_lazily() {
    let memory = MemoryStore::new();
    memory.put_now("f", "still here");
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    let target = mounted.mount.target.clone();
    let file = File::open(mounted.path("f")).unwrap();
    assert!(matches!(unmount(&target, Unmount::Plain), Err(UnmountError::Busy)));
    unmount(&target, Unmount::Lazy).unwrap();
    assert_eq!(mount_table::on(&target).unwrap(), None);
    assert_eq!(std::io::read_to_string(&file).unwrap(), "still here");
    drop(file);
    mounted.join();
}

/// Not a test of its own: what `a_killed_daemon…` starts and kills.
#[test]
fn serve_until_killed() {
    let Some(target) = std::env::var_os(SERVE) else { return };
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::default()) else { return };
    fs::write(target, mounted.mount.target.as_os_str().as_encoded_bytes()).unwrap();
    mounted.join();
}

#[test]
fn a_killed_daemon_leaves_enotconn_and_a_mount_that_unmounts() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("target");
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ending::serve_until_killed"])
        .env(SERVE, &note)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut target = String::new();
    until("it serves", || {
        target = fs::read_to_string(&note).unwrap_or_default();
        !target.is_empty()
    });
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    daemon.kill().unwrap();
    ended(&mut daemon);
    until("the kernel has noticed", || {
        let error = fs::metadata(&target).err();
        error.as_ref().and_then(Errno::from_io_error) == Some(Errno::NOTCONN)
    });
    let again = mount(target.as_ref(), &MountOptions::default());
    assert!(matches!(again, Err(MountError::AlreadyMounted { .. })), "{again:?}");
    unmount(target.as_ref(), Unmount::Plain).unwrap();
    fs::remove_dir(target).unwrap();
}
