//! Local disk for the bytes of files that are being written.
//!
//! Each changed file has a sparse file here, with the object's bytes at their own offsets, and beside it a
//! journal that says which object it is and which of its bytes are newer than the stored ones. Both are
//! removed once the object is stored and nobody has the file open. What a killed process leaves is found by
//! its journal; a process that lives holds a lock on its own directory.
//!
//! What is written in order is collected in memory and goes to disk a part at a time, past the page cache.
//!
//! Bound: `max` bytes written and not removed over all files of a mount; beyond, writing fails with ENOSPC.

mod buffer;
mod journal;
mod leftover;
mod pending;

use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use rfuse_block::ByteRange;
use rustix::buffer::spare_capacity;
use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::lock;

pub(crate) use buffer::{Buffer, Buffers};
use journal::Journal;
pub(crate) use journal::{Head, Line, SentPart};
pub use leftover::Leftover;
use pending::{Held, Pending, Taken};

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

    /// Whether `bytes` more fit.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.used().saturating_add(bytes) <= self.room.max
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
            direct: OnceLock::new(),
            pending: Pending::default(),
            notes_writes: AtomicBool::new(head.has_version()),
            is_begun: AtomicBool::new(false),
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
        let (direct, pending) = (OnceLock::new(), Pending::default());
        let (notes_writes, is_begun) = (AtomicBool::new(true), AtomicBool::new(false));
        Ok(SpoolFile { stem, data, direct, pending, notes_writes, is_begun, journal, keeps, taken, room, own: None })
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
    /// The same file past the page cache; none where its file system does not do that.
    direct: OnceLock<Option<File>>,
    /// What was written and is not in the file yet.
    pending: Pending,
    /// Whether the journal says which bytes are there: not of a new file, of which all are.
    notes_writes: AtomicBool,
    /// Whether it says already that bytes wait in memory.
    is_begun: AtomicBool,
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

    /// Collects what is written from `at` on in `buffer`.
    pub(crate) fn begin(&self, at: u64, buffer: Buffer) {
        self.pending.begin(at, buffer);
    }

    /// Gives `range` up, which is not written any more: its disk space, and its room. Blocks.
    ///
    /// # Errors
    /// What the local file system says.
    pub(crate) fn give_up(&self, range: ByteRange) -> io::Result<()> {
        self.pending.settle(range, |held| self.put(held))?;
        self.punch_disk(range)?;
        self.shrink_to(self.taken().saturating_sub(range.length()));
        Ok(())
    }

    /// Bytes of the room that are this file's.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Writes `bytes` at `offset`, into memory or the file; fewer than all only when the disk took no more.
    ///
    /// # Errors
    /// What the local file system says to the first byte.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<Wrote> {
        match self.pending.take(offset, bytes) {
            Taken::Here => {
                if self.notes_writes.load(Ordering::Acquire) && !self.is_begun.swap(true, Ordering::AcqRel) {
                    self.note(&Line::Begun)?;
                }
                Ok(Wrote::Memory)
            }
            Taken::Behind => Ok(Wrote::Not),
            Taken::Through => self.write_through(&self.data, offset, bytes).map(Wrote::Disk),
        }
    }

    /// Puts `bytes` at `offset` on disk, all of them. Blocks.
    ///
    /// # Errors
    /// What the local file system says.
    pub(crate) fn insert(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.drain()?;
        match self.write_through(&self.data, offset, bytes)? {
            count if count < bytes.len() => Err(Errno::NOSPC.into()),
            _ => Ok(()),
        }
    }

    fn write_through(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pwrite(file, &bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) if done == 0 => return Err(errno.into()),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Whether bytes wait in memory for their turn to go to disk.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// All bytes of `range`, if they are in memory as one piece.
    pub(crate) fn share(&self, range: ByteRange) -> Option<Bytes> {
        self.pending.share(range)
    }

    /// Puts complete parts on disk, in order. Blocks.
    ///
    /// # Errors
    /// What the local file system says; the bytes stay in memory then.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.pending.flush(|held| self.put(held))
    }

    /// Puts everything on disk. Blocks.
    ///
    /// # Errors
    /// What the local file system says; the bytes stay in memory then.
    pub(crate) fn drain(&self) -> io::Result<()> {
        self.pending.drain(|held| self.put(held))
    }

    /// Puts everything on disk so that it is there after a power loss: for bytes that are nowhere else. Blocks.
    ///
    /// # Errors
    /// What the local file system says.
    pub(crate) fn secure(&self) -> io::Result<()> {
        self.drain()?;
        rustix::fs::fdatasync(&self.data)?;
        lock(&self.journal).sync()?;
        sync_directory(&self.stem)
    }

    fn put(&self, held: &Held) -> io::Result<()> {
        let (at, bytes) = (held.range().start(), held.bytes());
        let is_aligned = at.is_multiple_of(buffer::ALIGNMENT as u64) && bytes.len().is_multiple_of(buffer::ALIGNMENT);
        let done = match self.direct().filter(|_| is_aligned) {
            // What direct writing refuses or leaves, the page cache may take.
            Some(file) => self.write_through(file, at, bytes).unwrap_or(0),
            None => 0,
        };
        if done < bytes.len() && self.write_through(&self.data, at + done as u64, &bytes[done..])? < bytes.len() - done
        {
            return Err(Errno::NOSPC.into());
        }
        if self.notes_writes.load(Ordering::Acquire) {
            self.note(&Line::Write(at, bytes.len() as u64))?;
        }
        Ok(())
    }

    fn direct(&self) -> Option<&File> {
        let open = || {
            let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            rustix::fs::open(self.stem.with_extension(DATA), flags, Mode::empty()).ok().map(File::from)
        };
        self.direct.get_or_init(open).as_ref()
    }

    /// The bytes of `range`; what the file does not have is zero.
    ///
    /// # Errors
    /// What the local file system says.
    pub(crate) fn read(&self, range: ByteRange) -> io::Result<Bytes> {
        // Looked at first: what goes to disk meanwhile is in both places.
        let waiting = self.pending.within(range);
        if let [(part, bytes)] = &waiting[..]
            && *part == range
        {
            return Ok(bytes.clone());
        }
        let mut bytes = self.read_disk(range)?;
        for (part, piece) in waiting {
            let from = (part.start() - range.start()) as usize;
            bytes[from..from + piece.len()].copy_from_slice(&piece);
        }
        Ok(bytes.into())
    }

    fn read_disk(&self, range: ByteRange) -> io::Result<Vec<u8>> {
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
        Ok(bytes)
    }

    /// Loses what is behind `size`.
    ///
    /// # Errors
    /// What the local file system says.
    pub(crate) fn cut(&self, size: u64) -> io::Result<()> {
        self.drain()?;
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
        self.drain()?;
        self.punch_disk(range)
    }

    fn punch_disk(&self, range: ByteRange) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&self.data, flags, range.start(), range.length())?)
    }

    /// Notes that the store has everything so far, as `head`.
    ///
    /// # Errors
    /// What the local file system says.
    pub(crate) fn note_stored(&self, head: Head) -> io::Result<()> {
        self.note(&Line::Stored(head))?;
        self.notes_writes.store(true, Ordering::Release);
        self.is_begun.store(false, Ordering::Release);
        Ok(())
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
        if let Err(error) = self.secure() {
            tracing::error!(%error, path = %self.path().display(), "the last bytes of a file cannot be kept on local disk");
        }
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
        sync_directory(&stem)?;
        Ok(stem.with_extension(DATA))
    }

    /// Where the bytes are.
    pub(crate) fn path(&self) -> PathBuf {
        self.stem.with_extension(DATA)
    }
}

/// Makes the names beside `path` outlive a power loss.
fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// Where written bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrote {
    /// All of them in memory.
    Memory,
    /// So many of them on disk.
    Disk(usize),
    /// Nowhere: what waits in memory has to go to disk first.
    Not,
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
        assert_eq!(file.write(10, b"abc").unwrap(), Wrote::Disk(3));
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
    fn what_waits_in_memory_is_read_goes_to_disk_in_order_and_bars_what_comes_behind_it() {
        let root = tempfile::tempdir().unwrap();
        let file = Spool::new(root.path().join("spool"), 1 << 20, "mem:").create(head()).unwrap();
        let buffers = Buffers::new(1 << 20);
        for at in [0, 8192] {
            file.begin(at, buffers.try_take(8192).unwrap());
            assert_eq!(file.write(at, &[at as u8 + 1; 8192]).unwrap(), Wrote::Memory);
        }
        file.begin(16_384, buffers.try_take(8192).unwrap());
        assert_eq!(file.write(16_384, b"end").unwrap(), Wrote::Memory);
        assert_eq!(file.write(3, b"no").unwrap(), Wrote::Not);
        assert_eq!(std::fs::metadata(file.path()).unwrap().len(), 0);
        assert_eq!(file.share(ByteRange::new(8192, 16_384)).unwrap()[..], [1; 8192]);
        assert!(file.share(ByteRange::new(8192, 16_000)).is_none());
        let read = file.read(ByteRange::new(8190, 16_390)).unwrap();
        assert_eq!(read[..3], [1, 1, 1]);
        assert_eq!(read[8194..], *b"end\0\0\0");
        file.flush().unwrap();
        assert_eq!(std::fs::metadata(file.path()).unwrap().len(), 16_384);
        assert!(file.has_pending());
        file.drain().unwrap();
        assert!(!file.has_pending());
        assert_eq!(std::fs::read(file.path()).unwrap()[16_384..], *b"end");
        assert_eq!(file.write(3, b"yes").unwrap(), Wrote::Disk(3));
        assert_eq!(file.read(ByteRange::new(2, 7)).unwrap()[..], *b"\x01yes\x01");
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
