//! Mounting: directly as root, through `fusermount3` as anyone else.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::MountFlags;
use thiserror::Error;

use super::mount_table::{self, MountEntry};
use super::{Device, fusermount};

/// How a mount looks from outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountOptions {
    /// What stands first in a line of `mount` and `df`: the URL, without secrets.
    pub source: String,
    /// Users other than the one who mounts may enter.
    pub allow_other: bool,
    /// The kernel checks the mode bits.
    pub default_permissions: bool,
    /// Nothing can be written.
    pub read_only: bool,
    /// Nothing can be executed.
    pub no_exec: bool,
    /// The mount point may hold files already; they are hidden.
    pub non_empty: bool,
    /// Bytes of one READ at most; 0 leaves it to the pages a request may have.
    pub read_max: u32,
    /// Who mounts.
    pub way: Way,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            source: "rfuse".into(),
            allow_other: false,
            default_permissions: true,
            read_only: true,
            no_exec: false,
            non_empty: false,
            read_max: 0,
            way: Way::Auto,
        }
    }
}

/// Who mounts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// `mount(2)` as root, `fusermount3` as anyone else.
    Auto,
    /// `mount(2)`.
    Direct,
    /// The set-uid helper `fusermount3`.
    Fusermount,
}

/// Why nothing was mounted.
#[derive(Debug, Error)]
pub enum MountError {
    /// /dev/fuse does not exist.
    #[error("there is no /dev/fuse here")]
    NoDevice,
    /// /dev/fuse may not be opened.
    #[error("/dev/fuse may not be opened by this user or container")]
    DeviceDenied,
    /// Mounting is forbidden.
    #[error("mounting is not permitted here")]
    NotPermitted,
    /// The mount point is missing.
    #[error("{0:?} does not exist")]
    NoMountPoint(PathBuf),
    /// The mount point is not a directory.
    #[error("{0:?} is not a directory")]
    NotADirectory(PathBuf),
    /// The mount point holds files.
    #[error("{0:?} is not empty")]
    NotEmpty(PathBuf),
    /// Something is mounted there, alive or left behind by a process that died.
    #[error("{target:?} already has {origin:?} mounted on it")]
    AlreadyMounted {
        /// Where.
        target: PathBuf,
        /// What.
        origin: OsString,
        /// Its type.
        kind: OsString,
    },
    /// The helper is not installed.
    #[error("fusermount3, by which people who are not root mount, is not installed")]
    NoFusermount,
    /// The helper said no, in its own words.
    #[error("fusermount3: {0}")]
    Fusermount(String),
    /// Anything else.
    #[error("cannot {action}: {source}")]
    Other {
        /// What was tried.
        action: &'static str,
        /// What came of it.
        #[source]
        source: io::Error,
    },
}

/// A mount that was just made. Dropping it leaves the mount alone.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Where, absolute and free of symbolic links.
    pub target: PathBuf,
    /// Its line in the mount table; none when it is mounted elsewhere (an adopted descriptor).
    pub entry: Option<MountEntry>,
}

/// Mounts on `target` and returns the device to serve.
///
/// Until INIT is answered (see [`Session`](crate::session::Session)), whoever touches `target` waits.
///
/// # Errors
/// See [`MountError`].
pub fn mount(target: &Path, options: &MountOptions) -> Result<(Device, Mount), MountError> {
    let target = check_target(target, options)?;
    let device = match options.way {
        Way::Direct => direct(&target, options)?,
        Way::Auto if rustix::process::geteuid().is_root() => direct(&target, options)?,
        Way::Auto | Way::Fusermount => fusermount::mount(&target, options)?,
    };
    let entry = mount_table::on(&target).unwrap_or_default().filter(MountEntry::is_fuse);
    Ok((device, Mount { target, entry }))
}

/// The real path of a mount point that can be used.
fn check_target(target: &Path, options: &MountOptions) -> Result<PathBuf, MountError> {
    let absolute = std::path::absolute(target).map_err(other("find the current directory"))?;
    // Before anything looks at the path itself: a dead mount may hang whoever does.
    check_free(&absolute)?;
    let real = std::fs::canonicalize(&absolute).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => MountError::NoMountPoint(target.into()),
        io::ErrorKind::NotADirectory => MountError::NotADirectory(target.into()),
        _ => other("look at the mount point")(error),
    })?;
    check_free(&real)?;
    if !real.is_dir() {
        return Err(MountError::NotADirectory(target.into()));
    }
    let empty = |real: &Path| std::fs::read_dir(real).map(|mut entries| entries.next().is_none());
    if !options.non_empty && !empty(&real).map_err(other("look into the mount point"))? {
        return Err(MountError::NotEmpty(target.into()));
    }
    Ok(real)
}

fn check_free(target: &Path) -> Result<(), MountError> {
    match mount_table::on(target).map_err(other("read the mount table"))? {
        Some(entry) if entry.is_fuse() => {
            Err(MountError::AlreadyMounted { target: entry.target, origin: entry.source, kind: entry.kind })
        }
        _ => Ok(()),
    }
}

fn direct(target: &Path, options: &MountOptions) -> Result<Device, MountError> {
    let device = Device::open().map_err(|errno| match errno {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => MountError::NoDevice,
        Errno::ACCESS | Errno::PERM => MountError::DeviceDenied,
        errno => other("open /dev/fuse")(errno.into()),
    })?;
    let data = CString::new(data(&device, options)).map_err(|error| other("mount")(error.into()))?;
    match rustix::mount::mount(options.source.as_str(), target, "fuse.rfuse", flags(options), &*data) {
        Ok(()) => Ok(device),
        Err(Errno::PERM | Errno::ACCESS) => Err(MountError::NotPermitted),
        Err(Errno::NODEV) => Err(MountError::NoDevice),
        Err(errno) => Err(other("mount")(errno.into())),
    }
}

fn flags(options: &MountOptions) -> MountFlags {
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    flags.set(MountFlags::RDONLY, options.read_only);
    flags.set(MountFlags::NOEXEC, options.no_exec);
    flags
}

fn data(device: &Device, options: &MountOptions) -> String {
    let fd = device.as_fd().as_raw_fd();
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mut data = format!("fd={fd},rootmode=40000,user_id={uid},group_id={gid}");
    for option in shared_options(options) {
        data.push(',');
        data.push_str(&option);
    }
    data
}

/// The options that `mount(2)` and `fusermount3` spell the same way.
pub(super) fn shared_options(options: &MountOptions) -> Vec<String> {
    let mut words = Vec::new();
    if options.allow_other {
        words.push("allow_other".into());
    }
    if options.default_permissions {
        words.push("default_permissions".into());
    }
    if options.read_max > 0 {
        words.push(format!("max_read={}", options.read_max));
    }
    words
}

pub(super) fn other(action: &'static str) -> impl Fn(io::Error) -> MountError {
    move |source| MountError::Other { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_mount_point_is_named() {
        let error = mount(Path::new("/nowhere/at/all"), &MountOptions::default()).unwrap_err();
        assert!(matches!(error, MountError::NoMountPoint(path) if path == Path::new("/nowhere/at/all")));
    }

    #[test]
    fn a_file_is_no_mount_point() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(mount(file.path(), &MountOptions::default()), Err(MountError::NotADirectory(_))));
        let below = file.path().join("below");
        assert!(matches!(mount(&below, &MountOptions::default()), Err(MountError::NotADirectory(_))));
    }

    #[test]
    fn files_are_not_hidden_by_accident() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis.txt"), "years").unwrap();
        assert!(matches!(mount(folder.path(), &MountOptions::default()), Err(MountError::NotEmpty(_))));
    }
}
