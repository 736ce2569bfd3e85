//! What `docs/semantics.md` promises of writing and no other test shows, row by row.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use rfuse_block::ObjectKey;
use rfuse_store::{MemoryStore, Operation, Store};
use rustix::fs::{AtFlags, CWD, FlockOperation, Timespec, Timestamps};
use rustix::io::Errno;

use crate::fixture::{Mounted, Setup};

fn errno<T>(result: std::io::Result<T>) -> Option<Errno> {
    result.err().and_then(|error| Errno::from_io_error(&error))
}

fn writable(tune: fn(&mut rfuse_config::FsConfig)) -> Setup {
    Setup { tune, ..Setup::writable() }
}

fn stored(mounted: &Mounted, key: &str) -> Option<u64> {
    mounted.memory.head(&ObjectKey::from(key)).now_or_never().unwrap().ok().map(|meta| meta.size)
}

const LONG_AGO: Duration = Duration::new(1_000_000_000, 500_000_000);

/// Sets both times, of a link itself.
fn set_times(path: &Path, since: Duration) -> Result<(), Errno> {
    let time = Timespec { tv_sec: since.as_secs().cast_signed(), tv_nsec: since.subsec_nanos().into() };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
}

fn set_now(path: &Path) -> Result<(), Errno> {
    set_times(path, SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}

#[test]
fn the_last_one_wins_where_conflicts_are_overwritten() {
    let setup = writable(|config| config.overwrite_on_conflict = true);
    let memory = MemoryStore::new();
    memory.put_now("old", "before");
    let Some(mounted) = Mounted::new(memory, &setup) else { return };
    let mut old = OpenOptions::new().write(true).truncate(true).open(mounted.path("old")).unwrap();
    let mut new = File::create_new(mounted.path("new")).unwrap();
    for name in ["old", "new"] {
        mounted.memory.put_now(name, "theirs, which is longer");
    }
    old.write_all(b"mine").unwrap();
    new.write_all(b"mine").unwrap();
    old.sync_all().unwrap();
    new.sync_all().unwrap();
    assert_eq!((stored(&mounted, "old"), stored(&mounted, "new")), (Some(4), Some(4)));
}

#[test]
fn a_full_spool_is_enospc_at_write_and_what_was_written_before_is_stored() {
    let setup = writable(|config| config.spool_max = 1 << 20);
    let Some(mounted) = Mounted::new(MemoryStore::new(), &setup) else { return };
    let file = File::create_new(mounted.path("a")).unwrap();
    // Not in order, so that nothing leaves the spool before the end.
    file.write_all_at(&[1; 4096], 1 << 16).unwrap();
    let mut offset = 1 << 17;
    let full = loop {
        match file.write_all_at(&[2; 1 << 16], offset) {
            Ok(()) => offset += 1 << 16,
            Err(error) => break error,
        }
        assert!(offset < 16 << 20, "the bound is not kept");
    };
    assert_eq!(Errno::from_io_error(&full), Some(Errno::NOSPC));
    file.sync_all().unwrap();
    assert!(stored(&mounted, "a").unwrap() >= 1 << 17);
}

#[test]
fn a_store_that_fails_is_heard_at_close_and_fsync_may_be_tried_again() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::writable()) else { return };
    let mut file = File::create_new(mounted.path("a")).unwrap();
    file.write_all(b"kept").unwrap();
    mounted.gate.fail_after(Operation::Put, 0);
    assert_eq!(errno(file.sync_all()), Some(Errno::IO));
    assert_eq!(stored(&mounted, "a"), None);
    mounted.gate.fail_no_more();
    file.sync_all().unwrap();
    assert_eq!(stored(&mounted, "a"), Some(4));
}

#[test]
fn a_directory_outlives_its_last_file() {
    let memory = MemoryStore::new();
    memory.put_now("implied/file", "x");
    let Some(mounted) = Mounted::new(memory, &Setup::writable()) else { return };
    fs::remove_file(mounted.path("implied/file")).unwrap();
    assert!(mounted.path("implied").is_dir());
    assert_eq!(stored(&mounted, "implied/"), Some(0), "others see it too");
}

#[test]
fn a_directory_whose_renaming_fails_in_the_middle_loses_nothing() {
    let memory = MemoryStore::new();
    for name in 0..20 {
        memory.put_now(format!("old/{name}").as_str(), format!("content {name}"));
    }
    let Some(mounted) = Mounted::new(memory, &Setup::writable()) else { return };
    for (operation, count) in [(Operation::Copy, 7), (Operation::Delete, 7)] {
        mounted.gate.fail_after(operation, count);
        assert_eq!(errno(fs::rename(mounted.path("old"), mounted.path("new"))), Some(Errno::IO), "{operation:?}");
        mounted.gate.fail_no_more();
        for name in 0..20 {
            let places = ["old", "new"].map(|folder| stored(&mounted, &format!("{folder}/{name}")));
            assert!(places.iter().any(Option::is_some), "{name} is gone after {operation:?} failed");
        }
    }
}

#[test]
fn modes_owners_and_times_of_directories_and_links_are_kept() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::writable()) else { return };
    let (directory, link) = (mounted.path("d"), mounted.path("l"));
    fs::create_dir(&directory).unwrap();
    symlink("d", &link).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o2750)).unwrap();
    std::os::unix::fs::chown(&directory, Some(7), Some(8)).unwrap();
    std::os::unix::fs::lchown(&link, Some(9), None).unwrap();
    for path in [&directory, &link] {
        set_times(path, LONG_AGO).unwrap();
    }
    let facts = |path: &Path| {
        let meta = fs::symlink_metadata(path).unwrap();
        (meta.mode() & 0o7777, meta.uid(), meta.gid(), meta.modified().unwrap(), meta.accessed().unwrap())
    };
    let time = UNIX_EPOCH + LONG_AGO;
    assert_eq!(facts(&directory), (0o2750, 7, 8, time, time));
    assert_eq!(facts(&link), (0o777, 9, 0, time, time));
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("d"));
    let changed = fs::metadata(&directory).unwrap().ctime();
    assert!(Duration::from_secs(changed.cast_unsigned()) > LONG_AGO, "when it was stored is another question");
    // Kept in the store, where s3fs would look for it.
    let meta = mounted.memory.head(&ObjectKey::from("d/")).now_or_never().unwrap().unwrap();
    assert_eq!(meta.metadata["mode"], (0o042_750).to_string());
    assert_eq!(meta.metadata["mtime"], "1000000000.500000000");
    // A name that comes moves the time on.
    fs::write(directory.join("f"), "x").unwrap();
    assert!(fs::metadata(&directory).unwrap().modified().unwrap() > time);
}

#[test]
fn a_new_directory_has_the_mode_it_was_given_and_a_removed_open_file_no_link() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::writable()) else { return };
    rustix::fs::mkdir(mounted.path("d"), rustix::fs::Mode::from_raw_mode(0o700)).unwrap();
    assert_eq!(fs::metadata(mounted.path("d")).unwrap().mode() & 0o7777, 0o700);
    let file = File::create_new(mounted.path("d/f")).unwrap();
    assert_eq!(file.metadata().unwrap().nlink(), 1);
    fs::remove_file(mounted.path("d/f")).unwrap();
    assert_eq!(file.metadata().unwrap().nlink(), 0);
}

#[test]
fn the_top_directory_has_the_mount_s_mode_and_remembers_its_time() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::writable()) else { return };
    let top = mounted.path("");
    assert_eq!(errno(fs::set_permissions(&top, fs::Permissions::from_mode(0o700))), Some(Errno::PERM));
    fs::set_permissions(&top, fs::Permissions::from_mode(0o755)).unwrap();
    set_times(&top, LONG_AGO).unwrap();
    assert_eq!(fs::metadata(&top).unwrap().modified().unwrap(), UNIX_EPOCH + LONG_AGO);
}

#[test]
fn what_is_not_kept_is_eperm_where_nothing_is_kept() {
    let memory = MemoryStore::new();
    memory.put_now("f", "x");
    let Some(mounted) = Mounted::new(memory, &writable(|config| config.posix = false)) else { return };
    let (file, directory) = (mounted.path("f"), mounted.path("d"));
    fs::create_dir(&directory).unwrap();
    for path in [&file, &directory] {
        let meta = fs::metadata(path).unwrap();
        let mode = meta.mode() & 0o7777;
        assert_eq!(errno(fs::set_permissions(path, fs::Permissions::from_mode(0o700))), Some(Errno::PERM));
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(errno(std::os::unix::fs::chown(path, Some(7), None)), Some(Errno::PERM));
        std::os::unix::fs::chown(path, Some(meta.uid()), Some(meta.gid())).unwrap();
        assert_eq!(set_times(path, LONG_AGO), Err(Errno::PERM), "{}", path.display());
    }
    assert_eq!(errno(symlink("f", mounted.path("l"))), Some(Errno::PERM));
    // The present time is what storing it will make it.
    let mut new = File::create_new(mounted.path("new")).unwrap();
    new.write_all(b"x").unwrap();
    set_now(&mounted.path("new")).unwrap();
    set_now(&directory).unwrap();
    assert_eq!(set_now(&file), Err(Errno::PERM), "nobody writes it, so nothing will store it");
}

#[test]
fn locks_are_among_the_programs_of_a_mount() {
    let memory = MemoryStore::new();
    memory.put_now("f", "x");
    let Some(mounted) = Mounted::new(memory, &Setup::writable()) else { return };
    let [one, two] = [(); 2].map(|()| File::open(mounted.path("f")).unwrap());
    rustix::fs::flock(&one, FlockOperation::LockExclusive).unwrap();
    assert_eq!(rustix::fs::flock(&two, FlockOperation::NonBlockingLockExclusive), Err(Errno::AGAIN));
    drop(one);
    rustix::fs::flock(&two, FlockOperation::NonBlockingLockExclusive).unwrap();
}

#[test]
fn a_mount_that_deletes_nothing_says_eperm() {
    let memory = MemoryStore::new();
    memory.put_now("d/f", "x");
    let Some(mounted) = Mounted::new(memory, &writable(|config| config.no_delete = true)) else { return };
    fs::create_dir(mounted.path("e")).unwrap();
    assert_eq!(errno(fs::remove_file(mounted.path("d/f"))), Some(Errno::PERM));
    assert_eq!(errno(fs::remove_dir(mounted.path("e"))), Some(Errno::PERM));
    assert_eq!(errno(fs::rename(mounted.path("d/f"), mounted.path("g"))), Some(Errno::PERM));
    fs::write(mounted.path("d/f"), "changing is another matter").unwrap();
}

#[test]
fn a_mount_that_overwrites_nothing_says_eperm() {
    let memory = MemoryStore::new();
    memory.put_now("f", "x");
    let Some(mounted) = Mounted::new(memory, &writable(|config| config.no_overwrite = true)) else { return };
    assert_eq!(errno(fs::write(mounted.path("f"), "y")), Some(Errno::PERM));
    assert_eq!(errno(OpenOptions::new().append(true).open(mounted.path("f"))), Some(Errno::PERM));
    fs::write(mounted.path("new"), "y").unwrap();
    assert_eq!(errno(fs::rename(mounted.path("new"), mounted.path("f"))), Some(Errno::PERM));
    fs::rename(mounted.path("new"), mounted.path("newer")).unwrap();
    assert_eq!(fs::read(mounted.path("f")).unwrap(), b"x");
}

#[test]
fn pipes_and_devices_are_eperm() {
    use rustix::fs::{FileType, Mode};
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::writable()) else { return };
    for kind in [FileType::Fifo, FileType::Socket, FileType::CharacterDevice] {
        let made = rustix::fs::mknodat(CWD, mounted.path("x"), kind, Mode::from_raw_mode(0o644), 0);
        assert_eq!(made, Err(Errno::PERM), "{kind:?}");
    }
}
