//! A mounted file system, rfuse or the null file system, that is gone when we are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::process::{Process, last_lines};
use crate::usage;

/// Time at most until a mount is there, and until it is gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// A mount and the process that serves it.
#[derive(Debug)]
pub struct Mount {
    dir: PathBuf,
    process: Process,
    /// The kernel's number of the connection, by which it can be aborted.
    connection: u64,
}

impl Mount {
    /// Starts `command`, which is to mount on `dir` and stay in the foreground.
    ///
    /// # Errors
    /// Nothing is mounted there within 20 s; the error holds what the command said.
    pub fn start(command: &mut Command, dir: &Path, log: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut process = Process::start(command, log).with_context(|| format!("cannot start {command:?}"))?;
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(connection) = connection_of(dir) {
                return Ok(Self { dir: dir.to_owned(), process, connection });
            }
            if !process.runs() || Instant::now() > end {
                bail!("nothing was mounted by {command:?}: {}", last_lines(&process.output()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Processor time its process has used.
    ///
    /// # Errors
    /// The process has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        usage::cpu_of(self.process.id()).context("the mount process has ended")
    }

    /// Most memory its process has had, in bytes.
    ///
    /// # Errors
    /// The process has ended.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        usage::peak_memory_of(self.process.id()).context("the mount process has ended")
    }

    /// The id of the process that serves it.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Kills the process that serves it, as the kernel would for want of memory.
    ///
    /// # Errors
    /// It has ended already.
    pub fn kill(&self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).context("a process has a number")?;
        Ok(kill_process(pid, Signal::KILL)?)
    }

    /// What is needed to fail every request of this mount, from any thread.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle { connection: self.connection, dir: self.dir.clone() }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = unmount(&self.dir);
        if !unmounted {
            self.abort_handle().abort();
            detach(&self.dir);
        }
        let end = Instant::now() + Duration::from_secs(5);
        while self.process.runs() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Lets the kernel read ahead `kib` KiB on `mount`, in files opened from now on.
///
/// # Errors
/// Not root, or no such mount.
pub fn raise_read_ahead(mount: &Mount, kib: u32) -> anyhow::Result<()> {
    let file = format!("/sys/class/bdi/0:{}/read_ahead_kb", mount.connection);
    std::fs::write(&file, kib.to_string()).with_context(|| format!("cannot write {file}"))
}

/// Fails every request of a mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AbortHandle {
    connection: u64,
    dir: PathBuf,
}

impl AbortHandle {
    /// Does so; needs the rights of the mount's owner.
    pub fn abort(&self) {
        let file = format!("/sys/fs/fuse/connections/{}/abort", self.connection);
        // Where the control file system is not mounted, a forced unmount aborts too, though it fails while the
        // mount is busy.
        if std::fs::write(&file, "1").is_err() {
            let forced = rustix::mount::unmount(&self.dir, rustix::mount::UnmountFlags::FORCE);
            if let Err(error) = forced.or_else(|e| if e == rustix::io::Errno::BUSY { Ok(()) } else { Err(e) }) {
                tell(&format!("cannot abort the mount on {}: {error}", self.dir.display()));
            }
        }
    }
}

/// Said to the person at the terminal: a guard has nobody to return it to.
fn tell(words: &str) {
    eprintln!("rfuse-bench: {words}");
}

/// The minor device number of what is mounted exactly there; none: nothing is.
fn connection_of(dir: &Path) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    // The last line is what is on top.
    let mut fields = table.lines().rev().map(|line| line.split(' ').collect::<Vec<_>>());
    let mounted = fields.find(|fields| fields.get(4).is_some_and(|at| Path::new(at) == dir))?;
    mounted.get(2)?.split_once(':')?.1.parse().ok()
}

/// Tries for some seconds: readers that have just ended may still hold it.
fn unmount(dir: &Path) -> bool {
    let end = Instant::now() + Duration::from_secs(3);
    while connection_of(dir).is_some() {
        let done = rustix::mount::unmount(dir, rustix::mount::UnmountFlags::empty()).is_ok()
            || Command::new("fusermount3").args(["-q", "-u"]).arg(dir).status().is_ok_and(|status| status.success());
        if !done && Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

fn detach(dir: &Path) {
    if rustix::mount::unmount(dir, rustix::mount::UnmountFlags::DETACH).is_err() {
        // The last means; if it fails too, the line tells the person whose machine it is.
        let status = Command::new("fusermount3").args(["-u", "-z"]).arg(dir).status();
        if !status.is_ok_and(|status| status.success()) {
            tell(&format!("cannot unmount {}", dir.display()));
        }
    }
}
