//! The folder: who may make and remove files in it, and how much it holds.
//!
//! Several processes share it without talking to each other. Whoever makes or removes segments holds the lock
//! of the folder; whoever fills one holds a lock on its index file for as long. Both are let go of by the kernel
//! when a process dies. A removed segment is cut to nothing first: its space is free at once, whoever still has
//! it open, and who reads it then gets too few bytes.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, FallocateFlags, FlockOperation, OFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;

use crate::disk::shape::{Part, SegmentName, Shape};

/// The folder inside the one that was named; the other may hold what it likes.
const FOLDER: &str = "blocks";
const LOCK: &str = "lock";
const SEED: &str = "seed";
const PINS: &str = "pins";

/// The folder of the segments.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: Option<File>,
    /// The lock of the file is the process's; this one is between its threads.
    inside: Mutex<()>,
    seed: [u8; 16],
}

/// Held by who makes or removes segments.
#[derive(Debug)]
pub(crate) struct DirectoryLock<'a> {
    file: &'a File,
    _inside: MutexGuard<'a, ()>,
}

/// One segment as the folder shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Listed {
    pub(crate) name: SegmentName,
    /// Whether it is finished.
    pub(crate) sealed: bool,
    /// Whether it has no index file of either kind: what is left of one whose maker or remover died.
    pub(crate) stray: bool,
    /// Bytes of both files.
    pub(crate) bytes: u64,
    /// When it was last said to be in use.
    pub(crate) used: SystemTime,
}

impl Directory {
    /// The folder in `dir`, made if it is not there.
    ///
    /// A folder that cannot be written is opened all the same if it is of use: see [`Directory::is_writable`].
    ///
    /// # Errors
    /// It is neither there nor can it be made, or is somebody else's.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(FOLDER);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        let meta = std::fs::symlink_metadata(&path).map_err(|error| made.err().unwrap_or(error))?;
        if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other(format!("{} is not a folder of this user", path.display())));
        }
        if meta.mode() & 0o777 != 0o700 {
            let _ = std::fs::set_permissions(&path, Permissions::from_mode(0o700));
        }
        let lock = private().read(true).write(true).create(true).truncate(false).open(path.join(LOCK));
        let (lock, refused) = lock.map_or_else(|error| (None, Some(error)), |file| (Some(file), None));
        let mut directory = Self { path, lock, inside: Mutex::default(), seed: [0; 16] };
        directory.seed = match (directory.read_seed(), refused) {
            (Ok(seed), _) => seed,
            (Err(_), None) => directory.make_seed()?,
            (Err(_), Some(error)) => return Err(error),
        };
        Ok(directory)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the names of blocks are seeded with: alike for all who share the folder, and known to nobody else.
    pub(crate) fn seed(&self) -> [u8; 16] {
        self.seed
    }

    /// Whether segments can be made.
    pub(crate) fn is_writable(&self) -> bool {
        self.lock.is_some()
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// The folder is read-only, or its file system has no locks.
    pub(crate) fn lock(&self) -> io::Result<DirectoryLock<'_>> {
        let file = self.lock.as_ref().ok_or_else(|| io::Error::from(Errno::ROFS))?;
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        rustix::fs::flock(file, FlockOperation::LockExclusive)?;
        Ok(DirectoryLock { file, _inside: inside })
    }

    /// When names in it last changed.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn changed(&self) -> io::Result<SystemTime> {
        std::fs::metadata(&self.path)?.modified()
    }

    /// Bytes of the file system that are free for this user.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn free(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Every segment, whatever its shape, that not used for the longest first; files that are not ours are not
    /// looked at.
    ///
    /// # Errors
    /// It is gone or cannot be read.
    pub(crate) fn list(&self) -> io::Result<Vec<Listed>> {
        let mut all: std::collections::BTreeMap<SegmentName, Listed> = std::collections::BTreeMap::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let Some((name, part)) = entry.file_name().to_str().and_then(SegmentName::parse) else { continue };
            // Gone in between: then it counts for nothing.
            let Ok(meta) = entry.metadata() else { continue };
            let empty = Listed { name, sealed: false, stray: true, bytes: 0, used: SystemTime::UNIX_EPOCH };
            let listed = all.entry(name).or_insert(empty);
            listed.bytes += meta.len();
            if part != Part::Blocks {
                listed.stray = false;
                listed.sealed |= part == Part::Index;
                listed.used = meta.modified()?;
            }
        }
        let mut all: Vec<Listed> = all.into_values().collect();
        all.sort_by_key(|listed| listed.used);
        Ok(all)
    }

    /// Makes a segment of `shape` for `scope`, all of its space taken: its name, and its index file with the lock on it.
    ///
    /// # Errors
    /// There is no room, or the folder does not let us.
    pub(crate) fn create(
        &self,
        _lock: &DirectoryLock<'_>,
        shape: Shape,
        scope: u32,
    ) -> io::Result<(SegmentName, File)> {
        let name = shape.name(u64::from(scope) << 32 | random_id()? >> 32);
        let index = private().read(true).write(true).create_new(true).open(self.file(name, Part::Open))?;
        let made = (|| {
            rustix::fs::flock(&index, FlockOperation::NonBlockingLockExclusive)?;
            let blocks = private().write(true).create_new(true).open(self.file(name, Part::Blocks))?;
            match rustix::fs::fallocate(&blocks, FallocateFlags::empty(), 0, shape.data_bytes()) {
                // A file system that cannot promise the space says so when it is used up.
                Err(Errno::OPNOTSUPP) => blocks.set_len(shape.data_bytes())?,
                other => other?,
            }
            match rustix::fs::fallocate(&index, FallocateFlags::empty(), 0, shape.bytes() - shape.data_bytes()) {
                Err(Errno::OPNOTSUPP) => index.set_len(shape.bytes() - shape.data_bytes())?,
                other => other?,
            }
            Ok(())
        })();
        match made {
            Ok(()) => Ok((name, index)),
            Err(error) => {
                let _ = self.remove(_lock, name);
                Err(error)
            }
        }
    }

    /// Takes over a segment that nobody fills any more: its index file with the lock on it.
    pub(crate) fn adopt(&self, name: SegmentName) -> Option<File> {
        let index = private().read(true).write(true).open(self.file(name, Part::Open)).ok()?;
        rustix::fs::flock(&index, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(index)
    }

    /// Finishes a segment: others may read it from now on.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn seal(&self, name: SegmentName) -> io::Result<()> {
        std::fs::rename(self.file(name, Part::Open), self.file(name, Part::Index))
    }

    /// Removes a segment.
    ///
    /// # Errors
    /// The folder does not let us.
    pub(crate) fn remove(&self, _lock: &DirectoryLock<'_>, name: SegmentName) -> io::Result<()> {
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        // The index goes first: without one nobody takes what is left for a segment.
        for part in [Part::Index, Part::Open] {
            gone(std::fs::remove_file(self.file(name, part)))?;
        }
        let blocks = self.file(name, Part::Blocks);
        gone(OpenOptions::new().write(true).open(&blocks).and_then(|file| file.set_len(0)))?;
        gone(std::fs::remove_file(&blocks))?;
        Ok(())
    }

    /// Whether a segment is there. One that is being removed is not, though its blocks may still be.
    pub(crate) fn holds(&self, name: SegmentName) -> bool {
        [Part::Index, Part::Open].into_iter().any(|part| self.file(name, part).exists())
    }

    /// Says that a finished segment is in use.
    pub(crate) fn touch(&self, name: SegmentName) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        // Where it cannot be said the segment looks older than it is.
        let _ = rustix::fs::utimensat(CWD, self.file(name, Part::Index), &times, AtFlags::empty());
    }

    /// Opens the blocks of a segment, past the page cache where the file system can.
    ///
    /// # Errors
    /// The segment is gone, or cannot be opened.
    pub(crate) fn open_blocks(&self, name: SegmentName, write: bool) -> io::Result<File> {
        let open = |flags: OFlags| {
            let flags = (flags | OFlags::NOFOLLOW).bits().cast_signed();
            OpenOptions::new().read(true).write(write).custom_flags(flags).open(self.file(name, Part::Blocks))
        };
        match open(OFlags::DIRECT) {
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => open(OFlags::empty()),
            other => other,
        }
    }

    /// Opens the index of a segment for reading.
    ///
    /// # Errors
    /// The segment is gone, or cannot be opened.
    pub(crate) fn open_index(&self, name: SegmentName, sealed: bool) -> io::Result<File> {
        File::open(self.file(name, if sealed { Part::Index } else { Part::Open }))
    }

    /// What was last written by [`Directory::write_pins`]; nothing where nothing was.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read_pins(&self) -> io::Result<String> {
        match std::fs::read(self.path.join(PINS)) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// Puts `text` in place of the pins, whole or not at all.
    ///
    /// # Errors
    /// The folder does not let us.
    pub(crate) fn write_pins(&self, _lock: &DirectoryLock<'_>, text: &str) -> io::Result<()> {
        let fresh = self.path.join("pins.new");
        let mut file = private().write(true).create(true).truncate(true).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        std::fs::rename(fresh, self.path.join(PINS))
    }

    fn file(&self, name: SegmentName, part: Part) -> PathBuf {
        self.path.join(name.file(part))
    }

    fn read_seed(&self) -> io::Result<[u8; 16]> {
        let mut seed = [0; 16];
        File::open(self.path.join(SEED))?.read_exact(&mut seed)?;
        Ok(seed)
    }

    fn make_seed(&self) -> io::Result<[u8; 16]> {
        let _lock = self.lock()?;
        // Somebody else may have been first.
        if let Ok(seed) = self.read_seed() {
            return Ok(seed);
        }
        let seed = random()?;
        private().write(true).create(true).truncate(true).open(self.path.join(SEED))?.write_all(&seed)?;
        Ok(seed)
    }
}

impl Drop for DirectoryLock<'_> {
    fn drop(&mut self) {
        let _ = rustix::fs::flock(self.file, FlockOperation::Unlock);
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn random_id() -> io::Result<u64> {
    Ok(random()?.into_iter().fold(0, |id, byte| id << 4 ^ u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rfuse_block::BlockSize;

    fn shape() -> Shape {
        Shape::of(BlockSize::MIN, 64 << 20).unwrap()
    }

    #[test]
    fn folders_are_0700_and_files_0600_whatever_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("a/b");
        let directory = Directory::open(&cache).unwrap();
        let (name, _file) = directory.create(&directory.lock().unwrap(), shape(), 7).unwrap();
        directory.seal(name).unwrap();
        for folder in [cache.clone(), cache.join(FOLDER)] {
            assert_eq!(std::fs::metadata(folder).unwrap().mode() & 0o777, 0o700);
        }
        let files: Vec<_> = std::fs::read_dir(cache.join(FOLDER)).unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(files.len(), 4, "lock, seed, blocks, index: {files:?}");
        assert!(files.iter().all(|file| file.metadata().unwrap().mode() & 0o777 == 0o600));
    }

    #[test]
    fn who_shares_a_folder_shares_its_seed_and_not_what_is_being_filled() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (Directory::open(dir.path()).unwrap(), Directory::open(dir.path()).unwrap());
        assert_eq!(one.seed(), two.seed());
        assert_ne!(one.seed(), [0; 16]);
        let (name, file) = one.create(&one.lock().unwrap(), shape(), 7).unwrap();
        assert!(two.adopt(name).is_none());
        drop(file);
        assert!(two.adopt(name).is_some(), "its writer is gone");
        let listed = two.list().unwrap();
        assert_eq!((listed.len(), listed[0].bytes, listed[0].sealed), (1, shape().bytes(), false));
    }

    #[test]
    fn a_removed_segment_is_empty_for_who_still_has_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let (name, _file) = directory.create(&directory.lock().unwrap(), shape(), 7).unwrap();
        let open = directory.open_blocks(name, false).unwrap();
        directory.remove(&directory.lock().unwrap(), name).unwrap();
        assert_eq!(open.metadata().unwrap().len(), 0);
        assert!(!directory.holds(name));
        assert!(directory.list().unwrap().is_empty());
    }

    #[test]
    fn what_is_in_use_is_listed_last() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let made: Vec<SegmentName> = (0..3)
            .map(|_| {
                let (name, _) = directory.create(&directory.lock().unwrap(), shape(), 7).unwrap();
                directory.seal(name).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
                name
            })
            .collect();
        directory.touch(made[0]);
        let names: Vec<SegmentName> = directory.list().unwrap().iter().map(|listed| listed.name).collect();
        assert_eq!(names, [made[1], made[2], made[0]]);
    }
}
