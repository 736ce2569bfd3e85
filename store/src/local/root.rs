//! The directory itself: the one place where a name becomes a descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use rfuse_block::{ObjectKey, Version};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::memo::Memo;
use crate::{Operation, StoreError, StoreErrorKind};

/// Tries of a resolution that raced a rename above it.
const RACES_MAX: u32 = 16;

/// The directory whose files are the objects.
#[derive(Debug)]
pub(super) struct Root {
    directory: OwnedFd,
    /// Taken by whoever compares a version and then replaces or removes the file.
    pub(super) replacing: Mutex<()>,
    /// Large directories that a listing is in the middle of.
    pub(super) memo: Mutex<Memo>,
}

impl Root {
    /// Opens the directory and makes sure that names can be resolved beneath it.
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(directory, flags, Mode::empty()).map_err(|errno| {
            let (kind, why) = match errno {
                Errno::NOENT => (StoreErrorKind::NoContainer, "does not exist".to_owned()),
                Errno::NOTDIR => (StoreErrorKind::NoContainer, "is not a directory".to_owned()),
                errno => (kind_of(errno), format!("cannot be opened: {errno}")),
            };
            StoreError::new(kind, Operation::Head, format!("the directory {directory:?} {why}"))
        })?;
        let root = Self { directory: opened, replacing: Mutex::default(), memo: Mutex::default() };
        root.resolve(b"", OFlags::PATH, ResolveFlags::empty()).map_err(|errno| failed(Operation::Head, errno))?;
        Ok(root)
    }

    /// Opens what `path` (empty for the top) names, never leaving the directory.
    pub(super) fn resolve(&self, path: &[u8], flags: OFlags, how: ResolveFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        // A fifo would wait for a writer without NONBLOCK, a terminal would become ours without NOCTTY.
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = if flags.contains(OFlags::PATH) { flags - OFlags::NONBLOCK - OFlags::NOCTTY } else { flags };
        let how = how | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut left = RACES_MAX;
        loop {
            match rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), how) {
                // Without CACHED, AGAIN says that a `..` in a link raced a rename.
                Err(Errno::AGAIN) if !how.contains(ResolveFlags::CACHED) && left > 0 => left -= 1,
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Opens the directory `path` for reading its names or for making some.
    pub(super) fn directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY, ResolveFlags::empty())
    }

    /// What `path` names, links followed.
    pub(super) fn stat(&self, path: &[u8]) -> Result<Stat, Errno> {
        rustix::fs::fstat(self.resolve(path, OFlags::PATH, ResolveFlags::empty())?)
    }

    /// The file `path`, open for reading, and what it is now.
    ///
    /// # Errors
    /// `NOENT` for anything but a regular file.
    pub(super) fn file(&self, path: &[u8], how: ResolveFlags) -> Result<(OwnedFd, Stat), Errno> {
        let file = self.resolve(path, OFlags::RDONLY, how)?;
        let stat = rustix::fs::fstat(&file)?;
        if is_file(&stat) { Ok((file, stat)) } else { Err(Errno::NOENT) }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Whether this is a regular file.
pub(super) fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Whether this is a directory.
pub(super) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// The version of what `stat` describes: inode, size and modification time. The device is left out, because
/// its number may change with a reboot; so is the change time, because a `chmod` leaves the bytes alone.
pub(super) fn version(stat: &Stat) -> Version {
    let (inode, size) = (stat.st_ino, if is_directory(stat) { 0 } else { stat.st_size });
    Version::new(format!("\"{inode:x}-{size:x}-{:x}.{:x}\"", stat.st_mtime, stat.st_mtime_nsec))
}

/// When it was last written.
pub(super) fn modified(stat: &Stat) -> SystemTime {
    let nanos = Duration::from_nanos(u64::from(stat.st_mtime_nsec as u32));
    match u64::try_from(stat.st_mtime) {
        Ok(seconds) => SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + nanos,
        Err(_) => SystemTime::UNIX_EPOCH - Duration::from_secs(stat.st_mtime.unsigned_abs()) + nanos,
    }
}

/// What a caller would do about `errno`.
fn kind_of(errno: Errno) -> StoreErrorKind {
    match errno {
        // XDEV and LOOP: the way leads out of the directory, or nowhere.
        Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NXIO | Errno::NODEV => {
            StoreErrorKind::NotFound
        }
        Errno::ACCESS | Errno::PERM | Errno::ROFS => StoreErrorKind::Denied,
        Errno::NAMETOOLONG | Errno::ISDIR | Errno::INVAL | Errno::ILSEQ => StoreErrorKind::BadName,
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => StoreErrorKind::Full,
        Errno::NOSYS | Errno::OPNOTSUPP => StoreErrorKind::Unsupported,
        // Out of descriptors or memory, a failing disk, a server that is gone: these may pass.
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::IO | Errno::STALE | Errno::AGAIN => {
            StoreErrorKind::Unavailable
        }
        _ => StoreErrorKind::Other,
    }
}

/// The error for `errno`, met while doing `operation`.
pub(super) fn failed(operation: Operation, errno: Errno) -> StoreError {
    let kind = kind_of(errno);
    let text = match (kind, errno) {
        (_, Errno::NOSYS) => "this kernel has no openat2: Linux 5.6 or newer is needed".to_owned(),
        (StoreErrorKind::NotFound, _) => "there is no such file".to_owned(),
        (StoreErrorKind::Denied, Errno::ROFS) => "the file system is mounted read-only".to_owned(),
        (StoreErrorKind::Denied, _) => "the permissions of the file or of a directory above forbid it".to_owned(),
        (StoreErrorKind::Full, _) => "the file system is full or a quota is reached".to_owned(),
        (_, errno) => errno.to_string(),
    };
    StoreError::new(kind, operation, text)
}

/// [`failed`], about `key`.
pub(super) fn failed_at(operation: Operation, key: &ObjectKey) -> impl Fn(Errno) -> StoreError + '_ {
    move |errno| failed(operation, errno).about(key)
}
