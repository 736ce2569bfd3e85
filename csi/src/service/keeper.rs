//! The keeper of the mount service: a second holder of everything, which starts the worker again.
//!
//! It is the first process of its container, so its death is the container's. It parses nothing that comes from
//! outside: its one client is the worker, over a socket that is the worker's standard input.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rfuse_host::handover::{self, Serve};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};
use serde::{Deserialize, Serialize};

/// A volume as it is kept; the socket of its process and its FUSE descriptors come with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) serve: Box<Serve>,
    pub(super) pid: Option<u32>,
    pub(super) user: Option<u32>,
}

/// A volume with the socket of its process and its FUSE descriptors, in this order.
pub(super) type Holding = (Kept, Vec<OwnedFd>);

/// What the worker tells the keeper.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Note {
    /// Keep this; without descriptors, those it had.
    Keep(Kept),
    /// Keep it no longer.
    Forget(String),
}

/// What the keeper gives a new worker: so many volumes, each as a message of its own.
#[derive(Debug, Serialize, Deserialize)]
struct Inheritance(usize);

/// The worker's side.
#[derive(Debug)]
pub(super) struct KeeperLink(Mutex<UnixStream>);

impl KeeperLink {
    /// Takes what was kept.
    ///
    /// # Errors
    /// When the keeper does not speak.
    pub(super) fn open(stream: UnixStream) -> io::Result<(Self, Vec<Holding>)> {
        let (Inheritance(count), _) = handover::receive(&stream)?;
        let kept = (0..count).map(|_| handover::receive(&stream)).collect::<io::Result<_>>()?;
        Ok((Self(Mutex::new(stream)), kept))
    }

    pub(super) fn keep(&self, kept: &Kept, descriptors: &[BorrowedFd<'_>]) {
        self.tell(&Note::Keep(kept.clone()), descriptors);
    }

    pub(super) fn forget(&self, id: &str) {
        self.tell(&Note::Forget(id.to_owned()), &[]);
    }

    fn tell(&self, note: &Note, descriptors: &[BorrowedFd<'_>]) {
        let stream = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = handover::send(&stream, note, descriptors) {
            tracing::error!(%error, "the keeper is gone; volumes do not outlive this process now");
        }
    }
}

/// Volumes that are kept, and the process that talks, for whoever ends this process.
static KEPT: AtomicUsize = AtomicUsize::new(0);
static WORKER: AtomicU32 = AtomicU32::new(0);

/// To be called when this process was asked to end: waits until no volume is left and ends it with its worker. A
/// pod that is deleted thus serves its readers as long as Kubernetes lets it.
pub fn leave_when_idle() -> ! {
    while KEPT.load(Ordering::SeqCst) > 0 {
        std::thread::sleep(Duration::from_millis(100));
    }
    if let Some(worker) = Pid::from_raw(WORKER.load(Ordering::SeqCst).cast_signed()) {
        // It may have ended just now.
        let _ = kill_process(worker, Signal::KILL);
    }
    std::process::exit(0)
}

/// Starts `worker` again and again and keeps what each leaves behind. Never returns but by an error at the first
/// start.
///
/// # Errors
/// When the worker cannot be started.
pub fn run(mut worker: impl FnMut() -> Command) -> io::Result<()> {
    // So that processes of a dead worker become ours, and their ends are noticed.
    let _ = set_child_subreaper(Some(getpid()));
    let mut kept: BTreeMap<String, Holding> = BTreeMap::new();
    loop {
        let begun = Instant::now();
        let (ours, theirs) = UnixStream::pair()?;
        let child = worker().stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        WORKER.store(child.id(), Ordering::SeqCst);
        if hand_over(&ours, &kept).is_ok() {
            serve(&ours, &mut kept);
        }
        reap(child);
        tracing::error!(volumes = kept.len(), "the worker of the mount service ended; starting it again");
        if begun.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

fn hand_over(stream: &UnixStream, kept: &BTreeMap<String, Holding>) -> io::Result<()> {
    handover::send(stream, &Inheritance(kept.len()), &[])?;
    for (kept, descriptors) in kept.values() {
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        handover::send(stream, kept, &borrowed)?;
    }
    Ok(())
}

fn serve(stream: &UnixStream, kept: &mut BTreeMap<String, Holding>) {
    loop {
        match handover::receive(stream) {
            Ok((Note::Keep(volume), descriptors)) => {
                let before = kept.remove(&volume.id).map(|(_, descriptors)| descriptors);
                let descriptors = if descriptors.is_empty() { before.unwrap_or_default() } else { descriptors };
                kept.insert(volume.id.clone(), (volume, descriptors));
            }
            Ok((Note::Forget(id), _)) => drop(kept.remove(&id)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(_) => return,
        }
        KEPT.store(kept.len(), Ordering::SeqCst);
        // Processes of an earlier worker that have ended.
        while matches!(wait_any(), Ok(Some(()))) {}
    }
}

fn wait_any() -> io::Result<Option<()>> {
    Ok(wait(WaitOptions::NOHANG)?.map(|_| ()))
}

fn reap(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}
