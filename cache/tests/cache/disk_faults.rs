//! The disk tier when things go wrong: no read fails for it, no byte is wrong.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::folder::{Folder, files};

const MIB: u64 = 1 << 20;

/// Flips a bit or cuts the end off, somewhere in the segments of `dir`.
fn damage(dir: &Path, random: &mut fastrand::Rng) {
    let files: Vec<_> = files(dir).into_iter().filter(|file| !file.ends_with("lock")).collect();
    let Some(path) = random.choice(&files) else { return };
    let length = std::fs::metadata(path).unwrap().len();
    // The owner has it open; this is somebody else's hand.
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    if random.u8(0..20) == 0 {
        file.set_len(random.u64(0..=length)).unwrap();
    } else if length > 0 {
        let at = random.u64(0..length);
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        byte[0] ^= 1 << random.u32(0..8);
        file.write_all_at(&byte, at).unwrap();
    }
}

#[tokio::test]
async fn after_a_thousand_bit_flips_and_truncations_no_byte_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    // Dense enough that most of what is damaged is read.
    let folder = Folder { object: 10 * MIB + 777, size: 32 * MIB, ..Folder::new(dir.path(), 0) };
    let mut random = fastrand::Rng::with_seed(4);
    let mut open = folder.open();
    open.pass(256 << 10).await;
    let (mut found, mut hits) = (0, 0);
    for round in 0..50 {
        for _ in 0..20 {
            damage(&dir.path().join("blocks"), &mut random);
        }
        if round % 2 == 0 {
            let disk = open.disk();
            (found, hits) = (found + disk.corrupt, hits + disk.hits);
            drop(open);
            open = folder.open();
        }
        open.pass(64 << 10).await;
    }
    let disk = open.disk();
    (found, hits) = (found + disk.corrupt, hits + disk.hits);
    assert!(found > 200, "only {found} of the damaged blocks were noticed");
    assert!(hits > 10_000, "the rest is of use: {hits} hits");
}

/// Runs when the test below starts this binary anew; otherwise it does nothing.
#[tokio::test]
async fn child_that_writes_until_it_is_killed() {
    let Ok(dir) = std::env::var("RFUSE_TEST_CACHE_CHILD") else { return };
    let open = Folder { object: 24 * MIB, size: 16 * MIB, ..Folder::new(Path::new(&dir), 0) }.open();
    let mut random = fastrand::Rng::new();
    loop {
        open.check(random.u64(0..24 * MIB), random.u64(1..200_000)).await;
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn child(dir: &Path) -> Killed {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "disk_faults::child_that_writes_until_it_is_killed"]);
    let command = command.env("RFUSE_TEST_CACHE_CHILD", dir).stdout(Stdio::null()).stderr(Stdio::null());
    Killed(command.spawn().unwrap())
}

#[tokio::test]
async fn killed_in_the_middle_of_writing_the_cache_is_reused_and_no_byte_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { object: 24 * MIB, size: 16 * MIB, ..Folder::new(dir.path(), 0) };
    for round in 0..12 {
        // Two writers now and then, both killed.
        let children = [Some(child(dir.path())), (round % 3 == 2).then(|| child(dir.path()))];
        std::thread::sleep(Duration::from_millis(300 + 60 * round));
        drop(children);
        let open = folder.open();
        open.pass(64 << 10).await;
        let disk = open.disk();
        assert!(round == 0 || disk.hits > 300, "round {round}: {disk:?}");
        assert_eq!((disk.errors, disk.corrupt), (0, 0), "round {round}");
        assert!(folder.bytes() <= folder.size);
    }
}

#[tokio::test]
async fn a_neighbour_that_is_killed_while_both_write_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { object: 24 * MIB, size: 16 * MIB, ..Folder::new(dir.path(), 0) };
    let open = folder.open();
    for _ in 0..5 {
        let neighbour = child(dir.path());
        open.pass(64 << 10).await;
        drop(neighbour);
        open.pass(256 << 10).await;
        assert!(folder.bytes() <= folder.size);
    }
    let disk = open.disk();
    assert_eq!((disk.errors, disk.corrupt), (0, 0), "{disk:?}");
}

#[tokio::test]
async fn a_folder_that_vanishes_is_a_miss_and_a_count() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path(), 4 * MIB);
    let open = folder.open();
    open.pass(64 << 10).await;
    std::fs::remove_dir_all(dir.path().join("blocks")).unwrap();
    open.pass(64 << 10).await;
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while open.disk().errors == 0 && std::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    open.pass(64 << 10).await;
    let disk = open.disk();
    assert!(disk.errors > 0, "{disk:?}");
    assert!(!dir.path().join("blocks").exists(), "it is not made anew: the disk may not be mounted");
}

#[tokio::test]
async fn a_disk_that_hangs_is_given_up_and_then_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path(), 3 * MIB);
    let open = folder.open();
    open.pass(64 << 10).await;
    drop(open);
    let open = folder.open();
    // Opening a pipe that nobody writes to lasts for ever.
    let blocks = files(&dir.path().join("blocks")).into_iter();
    let blocks: Vec<_> = blocks.filter(|file| file.extension().is_some_and(|end| end == "blocks")).collect();
    for path in &blocks {
        std::fs::remove_file(path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    }
    open.check(0, 100_000).await;
    let errors = open.disk().errors;
    assert!(errors > 0, "{:?}", open.disk());
    open.check(200_000, MIB).await;
    assert_eq!(open.disk().errors, errors, "only the first one waited");
    // Lets the threads go.
    for path in &blocks {
        let _ = OpenOptions::new().read(true).write(true).open(path);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_no_reason_not_to_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let open = Folder::new(&dir.path().join("file/x"), MIB).open();
    open.check(0, MIB).await;
    assert_eq!(open.disk().capacity_bytes, 0);
}

/// A small file system of its own, gone at the end.
struct Small(tempfile::TempDir);

impl Small {
    fn new(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = std::ffi::CString::new(format!("size={bytes}")).unwrap();
        match rustix::mount::mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), Some(options.as_c_str())) {
            Ok(()) => Some(Self(dir)),
            Err(error) => {
                eprintln!("SKIPPED: needs to mount a tmpfs: {error}");
                None
            }
        }
    }

    fn read_only(&self) {
        let flags = MountFlags::BIND | MountFlags::RDONLY;
        rustix::mount::mount_bind(self.0.path(), self.0.path()).unwrap();
        rustix::mount::mount_change(self.0.path(), MountPropagationFlags::PRIVATE).unwrap();
        rustix::mount::mount_remount(self.0.path(), flags, "").unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        while rustix::mount::unmount(self.0.path(), UnmountFlags::DETACH).is_ok() {}
    }
}

#[tokio::test]
async fn a_full_disk_is_a_count_and_what_is_there_is_still_read() {
    let Some(small) = Small::new(6 * MIB) else { return };
    let folder = Folder { memory: 300, ..Folder::new(small.0.path(), 3 * MIB) };
    let open = folder.open();
    open.pass(64 << 10).await;
    // Somebody else takes what is left: the cache gets by with what it has.
    std::fs::write(small.0.path().join("other"), vec![1; 16 << 20]).unwrap_err();
    open.pass(64 << 10).await;
    let disk = open.disk();
    assert!(disk.hits > 0, "{disk:?}");
    drop(open);
    // And where there was never room for anything, nothing is written.
    std::fs::remove_dir_all(small.0.path().join("blocks")).unwrap();
    std::fs::write(small.0.path().join("more"), vec![1; 16 << 20]).unwrap_err();
    std::fs::remove_file(small.0.path().join("other")).unwrap();
    std::fs::write(small.0.path().join("other"), vec![1; 300 << 10]).unwrap();
    std::fs::write(small.0.path().join("rest"), vec![1; 16 << 20]).unwrap_err();
    std::fs::remove_file(small.0.path().join("other")).unwrap();
    let open = folder.open();
    open.pass(64 << 10).await;
    let disk = open.disk();
    assert!(disk.errors > 0 && disk.dropped > 0 && disk.written_bytes == 0, "{disk:?}");
}

#[tokio::test]
async fn a_read_only_folder_is_read_and_not_written() {
    let Some(small) = Small::new(64 * MIB) else { return };
    let folder = Folder::new(small.0.path(), 8 * MIB);
    let open = folder.open();
    open.pass(256 << 10).await;
    drop(open);
    small.read_only();
    let open = folder.open();
    open.pass(256 << 10).await;
    let disk = open.disk();
    assert!(disk.hits > 1500 && disk.written_bytes == 0 && disk.errors > 0, "{disk:?}");
}

#[tokio::test]
async fn what_is_left_to_others_is_left() {
    let Some(small) = Small::new(32 * MIB) else { return };
    let mut folder = Folder::new(small.0.path(), 60 * MIB);
    folder.reserve = 20 * MIB;
    let open = folder.open();
    open.pass(256 << 10).await;
    let stat = rustix::fs::statvfs(small.0.path()).unwrap();
    assert!(stat.f_bavail * stat.f_frsize >= 20 * MIB, "{} blocks", stat.f_bavail);
    assert!(folder.bytes() > 8 * MIB);
}
