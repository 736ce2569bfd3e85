//! What is not done here fails at once, with the right number.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use rfuse_store::MemoryStore;
use rustix::io::Errno;

use crate::fixture::{Mounted, Setup};

fn errno<T>(result: std::io::Result<T>) -> Option<Errno> {
    result.err().and_then(|error| Errno::from_io_error(&error))
}

#[test]
fn everything_that_writes_is_erofs() {
    let memory = MemoryStore::new();
    memory.put_now("d/f", "x");
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    let (file, dir, new) = (mounted.path("d/f"), mounted.path("d"), mounted.path("new"));
    let read_only = Some(Errno::ROFS);
    assert_eq!(errno(fs::write(&file, "y")), read_only);
    assert_eq!(errno(fs::write(&new, "y")), read_only);
    assert_eq!(errno(fs::OpenOptions::new().append(true).open(&file)), read_only);
    assert_eq!(errno(fs::remove_file(&file)), read_only);
    assert_eq!(errno(fs::remove_dir(&dir)), read_only);
    assert_eq!(errno(fs::create_dir(&new)), read_only);
    assert_eq!(errno(fs::rename(&file, &new)), read_only);
    assert_eq!(errno(fs::hard_link(&file, &new)), read_only);
    assert_eq!(errno(symlink(&file, &new)), read_only);
    assert_eq!(errno(fs::set_permissions(&file, fs::metadata(&file).unwrap().permissions())), read_only);
    let set = rustix::fs::setxattr(&file, "user.a", b"b", rustix::fs::XattrFlags::empty());
    assert_eq!(set, Err(Errno::ROFS));
}

#[test]
fn an_unknown_ioctl_is_enotty_and_locks_work_locally() {
    let memory = MemoryStore::new();
    memory.put_now("f", "x");
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    let script = "import fcntl, os, sys\nf = open(sys.argv[1], 'rb')\n\
                  try:\n    fcntl.ioctl(f, 0x1234)\nexcept OSError as e:\n    assert e.errno == 25, e\nelse:\n    assert 0\n\
                  fcntl.flock(f, fcntl.LOCK_EX)\nfcntl.lockf(f, fcntl.LOCK_SH)\nos.fsync(f.fileno())\n\
                  assert os.lseek(f.fileno(), 0, os.SEEK_DATA) == 0\nassert os.lseek(f.fileno(), 0, os.SEEK_HOLE) == 1\n";
    let Ok(output) = Command::new("python3").args(["-c", script]).arg(mounted.path("f")).output() else {
        eprintln!("SKIPPED: needs python3");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_missing_name_is_enoent_and_a_file_is_no_directory() {
    let memory = MemoryStore::new();
    memory.put_now("f", "x");
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    assert_eq!(errno(fs::read(mounted.path("missing"))), Some(Errno::NOENT));
    assert_eq!(errno(fs::read(mounted.path("f/below"))), Some(Errno::NOTDIR));
    assert_eq!(errno(fs::read(mounted.path(&"n".repeat(256)))), Some(Errno::NAMETOOLONG));
}
