//! Mounting, binding and unmounting below the kubelet's folder.
//!
//! What is mounted is read from the mount table, which touches no mount; whoever looks at a path itself does so
//! on a thread of its own, with a bound, because a FUSE mount may not answer.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rfuse_host::mount_table::{self, MountEntry};
use rustix::fs::{Mode, OFlags, StatVfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::volume::Volume;

/// How long a path may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Looks under way at once at most; each is a thread that a mount without an answer may hold for its deadline.
const LOOKS_MAX: usize = 64;
static LOOKS: AtomicUsize = AtomicUsize::new(0);

/// Opens /dev/fuse as often as there are to be workers.
///
/// # Errors
/// When the device is missing or forbidden.
pub(crate) fn open_devices(count: usize) -> io::Result<Vec<OwnedFd>> {
    let open = || rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    (0..count.max(1))
        .map(|_| open().map_err(|errno| explain("open /dev/fuse", Path::new("/dev/fuse"), errno)))
        .collect()
}

/// Mounts `volume`, which `device` will serve, on `target`. Until it is served, whoever looks waits.
///
/// # Errors
/// What the kernel says.
pub(crate) fn mount_fuse(target: &Path, volume: &Volume, device: &OwnedFd) -> io::Result<()> {
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    flags.set(MountFlags::RDONLY, volume.read_only);
    flags.set(MountFlags::NOEXEC, !volume.allow_exec);
    let fd = device.as_raw_fd();
    let data = format!("fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions");
    let data = std::ffi::CString::new(data)?;
    rustix::mount::mount(volume.url.as_str(), target, "fuse.rfuse", flags, &*data)
        .map_err(|errno| explain("mount on", target, errno))
}

/// Binds what is mounted on `source` to `target`, read-only if asked: wholly or not at all.
///
/// # Errors
/// What the kernel says.
pub(crate) fn bind(source: &Path, target: &Path, read_only: bool, no_exec: bool) -> io::Result<()> {
    rustix::mount::mount_bind(source, target).map_err(|errno| explain("bind to", target, errno))?;
    if !read_only {
        return Ok(());
    }
    // The flags of a bind are set anew as a whole.
    let mut flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    flags.set(MountFlags::NOEXEC, no_exec);
    rustix::mount::mount_remount(target, flags, c"").map_err(|errno| {
        let _ = rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        explain("make read-only", target, errno)
    })
}

/// Takes away everything that is mounted on `target`, busy or dead.
///
/// # Errors
/// When the kernel refuses even to detach.
pub(crate) fn unmount_all(target: &Path) -> io::Result<()> {
    // Mounts stack; more than a few were never seen, and a bound ends a surprise.
    for _ in 0..64 {
        if mount_table::on(target)?.is_none() {
            return Ok(());
        }
        let plain = rustix::mount::unmount(target, UnmountFlags::NOFOLLOW);
        let outcome = match plain {
            Err(Errno::BUSY) => rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW),
            outcome => outcome,
        };
        match outcome {
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(errno) => return Err(explain("unmount", target, errno)),
        }
    }
    Err(io::Error::other(format!("{} stays mounted", target.display())))
}

/// What of rfuse is mounted on `target`.
///
/// # Errors
/// When there is no mount table.
pub(crate) fn mounted(target: &Path) -> io::Result<Option<MountEntry>> {
    Ok(mount_table::on(target)?.filter(MountEntry::is_rfuse))
}

/// The path with the links of its parent resolved: what the mount table will say.
///
/// # Errors
/// When the parent is missing.
pub(crate) fn real(path: &Path) -> io::Result<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(std::fs::canonicalize(parent)?.join(name)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no mount point", path.display()))),
    }
}

/// Makes the directory `path`; nobody but root enters it until something is mounted there.
///
/// # Errors
/// When it cannot be made, or something else is there. A link is never followed.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o750).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        outcome => return outcome,
    }
    // A mount there must not be asked; the table knows that it is a directory.
    if mount_table::on(path)?.is_some() || std::fs::symlink_metadata(path)?.is_dir() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there and is no directory", path.display())))
}

/// Removes the directory `path` if it is there and empty; a link or file in its place too.
///
/// # Errors
/// When it is something else.
pub(crate) fn remove_directory(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => std::fs::remove_file(path),
        outcome => outcome,
    }
}

/// What `statfs` says of `path`.
///
/// # Errors
/// `TimedOut` when it does not answer in [`PATIENCE`], or what it says.
pub(crate) fn figures(path: &Path) -> io::Result<StatVfs> {
    let path = path.to_owned();
    within(PATIENCE, move || {
        let root = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(rustix::fs::fstatvfs(File::from(root))?)
    })
}

/// What a look comes to, if it does so in time. The thread goes on until its mount answers or dies.
fn within<T: Send + 'static>(limit: Duration, look: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let slow = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs()));
    if LOOKS.fetch_add(1, Ordering::SeqCst) >= LOOKS_MAX {
        LOOKS.fetch_sub(1, Ordering::SeqCst);
        return Err(slow());
    }
    let (send, receive) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let outcome = look();
        LOOKS.fetch_sub(1, Ordering::SeqCst);
        let _ = send.send(outcome);
    });
    receive.recv_timeout(limit).unwrap_or_else(|_| Err(slow()))
}

fn explain(doing: &str, path: &Path, errno: Errno) -> io::Error {
    let help = match errno {
        Errno::PERM | Errno::ACCESS => "; the plugin must be privileged",
        Errno::NODEV | Errno::NXIO => "; is the kernel module fuse loaded?",
        _ => "",
    };
    io::Error::new(io::Error::from(errno).kind(), format!("cannot {doing} {}: {errno}{help}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_planted_at_the_target_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (elsewhere, link) = (folder.path().join("elsewhere"), folder.path().join("target"));
        std::fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        assert!(make_directory(&link).is_err());
        assert_eq!(real(&link).unwrap(), std::fs::canonicalize(folder.path()).unwrap().join("target"));
        remove_directory(&link).unwrap();
        assert!(elsewhere.is_dir() && !link.exists());
    }

    #[test]
    fn a_directory_is_made_once_and_removed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mount");
        make_directory(&path).unwrap();
        make_directory(&path).unwrap();
        remove_directory(&path).unwrap();
        remove_directory(&path).unwrap();
        assert!(make_directory(&folder.path().join("a/b")).is_err());
    }

    #[test]
    fn a_look_without_an_answer_ends() {
        let (_keep, never) = mpsc::channel::<()>();
        let error = within(Duration::from_millis(20), move || Ok(never.recv().is_ok())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
