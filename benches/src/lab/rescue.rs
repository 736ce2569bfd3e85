//! What happens when somebody ends a run early (SIGINT, SIGTERM): guards do not run then, so mounts, processes
//! and the scratch folder are cleared away here.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// Exit status of a run that was ended by a signal.
const INTERRUPTED: i32 = 130;

/// The processes that are ended too.
#[derive(Clone, Debug, Default)]
pub(super) struct Rescued(Arc<Mutex<Vec<u32>>>);

impl Rescued {
    /// One more.
    pub(super) fn add(&self, process: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(process);
    }
}

/// Starts a thread that waits for a signal as long as this process lives.
pub(super) fn prepare(dir: &Path, server: u32) -> std::io::Result<Rescued> {
    let (dir, rescued) = (dir.to_owned(), Rescued::default());
    rescued.add(server);
    let ended = rescued.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("rescue".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        clear(&dir, &ended);
        std::process::exit(INTERRUPTED);
    })?;
    Ok(rescued)
}

/// Each step is worth trying whatever became of the one before: there is nobody left to tell.
fn clear(dir: &Path, servers: &Rescued) {
    for mount in mounts_below(dir) {
        // Forced first, so that no reader waits; a process whose mount is gone ends by itself.
        let _ = unmount(&mount, UnmountFlags::FORCE);
        let _ = unmount(&mount, UnmountFlags::DETACH);
    }
    for server in servers.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        if let Some(server) = i32::try_from(*server).ok().and_then(Pid::from_raw) {
            let _ = kill_process(server, Signal::TERM);
        }
    }
    let _ = std::fs::remove_dir_all(dir);
}

fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let targets = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    targets.filter(|target| target.starts_with(dir)).collect()
}
