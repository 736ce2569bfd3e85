//! Unmounting, and ending a connection that does not answer.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use thiserror::Error;

use super::fusermount;
use super::mount_table::{self, MountEntry};

/// How hard to try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unmount {
    /// Only when nobody uses it.
    Plain,
    /// Out of sight at once; gone when the last user closes.
    Lazy,
    /// Every waiting and later request fails, then as `Lazy`. For mounts that do not answer.
    Force,
}

/// Why it is still mounted.
#[derive(Debug, Error)]
pub enum UnmountError {
    /// Nothing of FUSE is mounted there.
    #[error("no FUSE file system is mounted there")]
    NotMounted,
    /// Somebody uses it.
    #[error("it is in use")]
    Busy,
    /// Only who mounted it, or root, may unmount it.
    #[error("only who mounted it, or root, may unmount it")]
    NotPermitted,
    /// The helper is not installed.
    #[error("fusermount3, by which people who are not root unmount, is not installed")]
    NoFusermount,
    /// The helper said no, in its own words.
    #[error("fusermount3: {0}")]
    Fusermount(String),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] io::Error),
}

/// Unmounts the FUSE file system on `target`. Never looks at the files below it, so it does not hang where
/// they do.
///
/// # Errors
/// See [`UnmountError`].
pub fn unmount(target: &Path, how: Unmount) -> Result<(), UnmountError> {
    let entry = find(target)?;
    if how == Unmount::Force {
        abort(&entry)?;
        if mount_table::on(&entry.target)?.is_none_or(|now| now.minor != entry.minor) {
            return Ok(());
        }
    }
    let lazy = how != Unmount::Plain;
    // NOFOLLOW: the path is real already, and a link put there since must not be followed.
    let flags = if lazy { UnmountFlags::DETACH | UnmountFlags::NOFOLLOW } else { UnmountFlags::NOFOLLOW };
    match rustix::mount::unmount(&entry.target, flags) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(UnmountError::Busy),
        Err(Errno::INVAL) => Err(UnmountError::NotMounted),
        Err(Errno::PERM) if rustix::process::geteuid().is_root() => Err(UnmountError::NotPermitted),
        Err(Errno::PERM) => fusermount::unmount(&entry.target, lazy),
        Err(errno) => Err(io::Error::from(errno).into()),
    }
}

/// Ends the connection behind `entry`: every waiting and later request fails at once. It stays mounted, unless
/// nobody uses it.
///
/// # Errors
/// Not permitted; or nothing is mounted there any more.
pub fn abort(entry: &MountEntry) -> Result<(), UnmountError> {
    // The minor device number names the connection, and the mount table knows it without touching the mount.
    // The control file system is not mounted everywhere; where it is, it serves people who are not root too.
    let path = format!("/sys/fs/fuse/connections/{}/abort", entry.minor);
    if std::fs::write(path, "1").is_ok() {
        return Ok(());
    }
    // To the kernel, forced unmounting is aborting; then it goes on as any unmounting and may find it busy.
    match rustix::mount::unmount(&entry.target, UnmountFlags::FORCE | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(Errno::PERM) => Err(UnmountError::NotPermitted),
        Err(Errno::INVAL) => Err(UnmountError::NotMounted),
        Err(errno) => Err(io::Error::from(errno).into()),
    }
}

/// The FUSE mount that `target` means, resolving links only as far as a mount cannot hang it.
fn find(target: &Path) -> Result<MountEntry, UnmountError> {
    let absolute = std::path::absolute(target)?;
    let on = |path: &Path| Ok::<_, UnmountError>(mount_table::on(path)?.filter(MountEntry::is_fuse));
    if let Some(entry) = on(&absolute)? {
        return Ok(entry);
    }
    on(&resolve(&absolute)?)?.ok_or(UnmountError::NotMounted)
}

/// `path` with the links in its parent resolved, and its own if it is one.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(path.into());
    };
    let real = std::fs::canonicalize(parent)?.join(name);
    match std::fs::read_link(&real) {
        Ok(link) => std::path::absolute(real.parent().unwrap_or(parent).join(link)),
        Err(_) => Ok(real),
    }
}
