//! Local disk for the bytes of files that are being written.
//!
//! Each changed file has a sparse file here, with the object's bytes at their own offsets, and beside it a
//! journal that says which object it is and which of its bytes are newer than the stored ones. Both are
//! removed once the object is stored and nobody has the file open. What a killed process leaves is found by
//! its journal; a process that lives holds a lock on its own directory.
//!
//! Bound: `max` bytes written and not removed over all files of a mount; beyond, writing fails with ENOSPC.

mod journal;
mod leftover;

use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rfuse_block::ByteRange;
use rustix::buffer::spare_capacity;
use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::lock;

use journal::Journal;
pub(crate) use journal::{Head, Line};
pub use leftover::Leftover;

/// The directory of one mount.
#[derive(Debug)]
pub(crate) struct Spool {
    /// Where directories of processes are made.
    root: PathBuf,
    own: Mutex<Option<Arc<Own>>>,
    names: AtomicU64,
    room: Arc<Room>,
    /// What is mounted, for the journals.
    origin: String,
}

/// Bytes that may be written.
#[derive(Debug)]
struct Room {
    max: u64,
    used: AtomicU64,
}

/// The directory of this process; removed with the last file in it.
#[derive(Debug)]
struct Own {
    path: PathBuf,
    /// Locked for as long as it is open.
    _lock: File,
}

impl Drop for Own {
    fn drop(&mut self) {
        // Not empty when something could not be stored: that is what it is for.
        let _ = std::fs::remove_file(self.path.join(LOCK));
        let _ = std::fs::remove_dir(&self.path);
    }
}

const LOCK: &str = "lock";
const DATA: &str = "data";
const JOURNAL: &str = "journal";
/// The directory of files that a living process has given up.
const KEPT: &str = "kept";

impl Spool {
    /// A spool below `root`, which is made when the first file is, of at most `max` bytes.
    pub(crate) fn new(root: PathBuf, max: u64, origin: &str) -> Self {
        let room = Arc::new(Room { max, used: AtomicU64::new(0) });
        Self { root, own: Mutex::default(), names: AtomicU64::new(1), room, origin: origin.to_owned() }
    }

    /// Bytes in it.
    pub(crate) fn used(&self) -> u64 {
        self.room.used.load(Ordering::Relaxed)
    }

    /// The file for an object that `head` names.
    ///
    /// # Errors
    /// What the local file system says.
    pub(crate) fn create(&self, mut head: Head) -> io::Result<SpoolFile> {
        head.origin.clone_from(&self.origin);
        let own = self.own()?;
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let stem = own.path.join(format!("{number:08}"));
        let data = create(&stem.with_extension(DATA))?;
        let journal = Journal::begin(create(&stem.with_extension(JOURNAL))?, &head)?;
        Ok(SpoolFile {
            stem,
            data,
            journal: Mutex::new(journal),
            keeps: Mutex::new(false),
            taken: AtomicU64::new(0),
            room: Arc::clone(&self.room),
            own: Some(own),
        })
    }

    /// The file of `leftover`, which stays on disk.
    ///
    /// # Errors
    /// What the local file system says.
    pub(crate) fn adopt(&self, leftover: &Leftover) -> io::Result<SpoolFile> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let data = rustix::fs::open(&leftover.data, flags, Mode::empty())?.into();
        let stem = leftover.data.with_extension("");
        let journal = rustix::fs::open(stem.with_extension(JOURNAL), flags | OFlags::APPEND, Mode::empty())?;
        let (journal, keeps) = (Mutex::new(Journal::resume(journal.into())), Mutex::new(true));
        let (taken, room) = (AtomicU64::new(0), Arc::clone(&self.room));
        Ok(SpoolFile { stem, data, journal, keeps, taken, room, own: None })
    }

    /// Takes the directory of this process away, if nothing is in it and in its neighbour for what was given up.
    pub(crate) fn leave(&self) {
        lock(&self.own).take();
        let _ = std::fs::remove_dir(self.root.join(KEPT));
    }

    fn own(&self) -> io::Result<Arc<Own>> {
        if let Some(own) = &*lock(&self.own) {
            return Ok(Arc::clone(own));
        }
        let made = Arc::new(self.make()?);
        let mut own = lock(&self.own);
        Ok(Arc::clone(own.get_or_insert(made)))
    }

    fn make(&self) -> io::Result<Own> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root)?;
        let path = self.root.join(format!("{}-{:08x}", std::process::id(), fastrand::u32(..)));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        let held = create(&path.join(LOCK))?;
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Own { path, _lock: held })
    }
}

fn create(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?.into())
}

/// The bytes of one file, at their own offsets.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    stem: PathBuf,
    data: File,
    journal: Mutex<Journal>,
    /// Whether it stays on disk when this is dropped.
    keeps: Mutex<bool>,
    /// Bytes of the room that are this file's.
    taken: AtomicU64,
    room: Arc<Room>,
    /// None for one that another process left.
    own: Option<Arc<Own>>,
}

impl SpoolFile {
    /// Takes room for `bytes` more.
    ///
    /// # Errors
    /// NOSPC when the spool is full.
    pub(crate) fn grow(&self, bytes: u64) -> io::Result<()> {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.room.max);
        match self.room.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => self.taken.fetch_add(bytes, Ordering::Relaxed),
            Err(_) => return Err(Errno::NOSPC.into()),
        };
        Ok(())
    }

    /// Gives room back: the file has `bytes` now.
    pub(crate) fn shrink_to(&self, bytes: u64) {
        let before = self.taken.load(Ordering::Relaxed);
        if before > bytes {
            self.taken.store(bytes, Ordering::Relaxed);
            self.room.used.fetch_sub(before - bytes, Ordering::Relaxed);
        }
    }

    /// Writes `bytes` at `offset`; how many were written, fewer only when the disk took no more.
    ///
    /// # Errors
    /// What the local file system says to the first byte.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pwrite(&self.data, &bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) if done == 0 => return Err(errno.into()),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// The bytes of `range`; what the file does not have is zero.
    ///
    /// # Errors
    /// What the local file system says.
    pub(crate) fn read(&self, range: ByteRange) -> io::Result<Bytes> {
        let length = usize::try_from(range.length()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes: Vec<u8> = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = range.start() + bytes.len() as u64;
            match rustix::io::pread(&self.data, spare_capacity(&mut bytes), at) {
                Ok(0) => bytes.resize(length, 0),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        // The allocator may have given more room than was asked for.
        bytes.truncate(length);
        Ok(bytes.into())
    }

    /// Loses what is behind `size`.
    ///
    /// # Errors
    /// What the local file system says.
    pub(crate) fn cut(&self, size: u64) -> io::Result<()> {
        if rustix::fs::fstat(&self.data)?.st_size as u64 > size {
            rustix::fs::ftruncate(&self.data, size)?;
        }
        Ok(())
    }

    /// Makes the bytes of `range` zero and gives their disk space back.
    ///
    /// # Errors
    /// What the local file system says.
    pub(crate) fn punch(&self, range: ByteRange) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&self.data, flags, range.start(), range.length())?)
    }

    /// Notes a change in the journal.
    ///
    /// # Errors
    /// What the local file system says.
    pub(crate) fn note(&self, line: &Line) -> io::Result<()> {
        lock(&self.journal).note(line)
    }

    /// Leaves the files on disk when this is dropped, where they are found while this process lives; where the
    /// bytes are then.
    pub(crate) fn keep(&self) -> PathBuf {
        *lock(&self.keeps) = true;
        self.move_out().unwrap_or_else(|error| {
            tracing::warn!(%error, "a file of the spool stays where it is found after this process has ended");
            self.path()
        })
    }

    fn move_out(&self) -> io::Result<PathBuf> {
        let Some(own) = &self.own else { return Ok(self.path()) };
        let (Some(root), Some(process), Some(name)) = (own.path.parent(), own.path.file_name(), self.stem.file_name())
        else {
            return Ok(self.path());
        };
        let kept = root.join(KEPT);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&kept)?;
        let stem = kept.join([process, name].join(std::ffi::OsStr::new("-")));
        std::fs::rename(self.stem.with_extension(DATA), stem.with_extension(DATA))?;
        std::fs::rename(self.stem.with_extension(JOURNAL), stem.with_extension(JOURNAL))?;
        Ok(stem.with_extension(DATA))
    }

    /// Where the bytes are.
    pub(crate) fn path(&self) -> PathBuf {
        self.stem.with_extension(DATA)
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        self.shrink_to(0);
        if !*lock(&self.keeps) {
            for extension in [JOURNAL, DATA] {
                let path = self.stem.with_extension(extension);
                if let Err(error) = std::fs::remove_file(&path) {
                    tracing::warn!(path = %path.display(), %error, "cannot remove a file of the spool");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head::new(&rfuse_block::ObjectKey::from("a/b"), None)
    }

    #[test]
    fn bytes_are_read_where_they_were_written_and_holes_are_zero() {
        let root = tempfile::tempdir().unwrap();
        let file = Spool::new(root.path().join("spool"), 1 << 20, "mem:").create(head()).unwrap();
        assert_eq!(file.write(10, b"abc").unwrap(), 3);
        assert_eq!(&file.read(ByteRange::new(8, 16)).unwrap()[..], b"\0\0abc\0\0\0");
        file.cut(11).unwrap();
        file.write(13, b"z").unwrap();
        assert_eq!(&file.read(ByteRange::new(9, 14)).unwrap()[..], b"\0a\0\0z");
    }

    #[test]
    fn a_full_spool_says_so_and_has_room_again_when_a_file_goes() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::new(root.path().join("spool"), 10, "mem:");
        let (one, two) = (spool.create(head()).unwrap(), spool.create(head()).unwrap());
        one.grow(6).unwrap();
        assert_eq!(two.grow(5).unwrap_err().raw_os_error(), Some(Errno::NOSPC.raw_os_error()));
        one.shrink_to(5);
        two.grow(5).unwrap();
        drop(one);
        assert_eq!(spool.used(), 5);
    }

    #[test]
    fn nothing_stays_on_disk_but_what_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::new(root.path().join("spool"), 1 << 20, "mem:");
        let (kept, dropped) = (spool.create(head()).unwrap(), spool.create(head()).unwrap());
        let (path, gone) = (kept.keep(), dropped.path());
        drop((kept, dropped));
        spool.leave();
        assert!(path.exists() && !gone.exists());
        assert_eq!(std::fs::read_dir(root.path().join("spool")).unwrap().count(), 1, "what was given up");
        let empty = Spool::new(root.path().join("other"), 1 << 20, "mem:");
        drop(empty.create(head()).unwrap());
        drop(empty);
        assert_eq!(std::fs::read_dir(root.path().join("other")).unwrap().count(), 0);
    }
}
