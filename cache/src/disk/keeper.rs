//! Keeping up with the folder: one thread that learns what is in it, at the start and whenever it changes.
//!
//! Blocks can be read and written while it learns; what it has not come to is a miss. It also tells the others
//! which segments this process uses, and sees to it that the hottest blocks come to disk.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::disk::fault::Fault;
use crate::disk::state::State;
use crate::disk::sweep::Sweep;

/// How often the folder is looked at; one `stat` when nothing has changed.
const LOOK: Duration = Duration::from_secs(1);
/// How often others are told what is in use.
const TOUCH: Duration = Duration::from_secs(10);

/// Whether everything that was in the folder at the start is known.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    done: Mutex<bool>,
    changed: Condvar,
}

impl Loaded {
    /// Waits until it is.
    pub(crate) fn wait(&self) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        while !*done {
            done = self.changed.wait(done).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn set(&self) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

/// Keeps up until the other end of `stop` is dropped.
pub(crate) fn keep(state: &Arc<State>, loaded: &Loaded, mut sweep: Sweep, stop: &Receiver<()>) {
    let begun = Instant::now();
    let mut seen = state.directory.changed().ok();
    if state.directory.is_writable()
        && let Err(error) = state.adopt_all()
    {
        state.faults.tell(Fault::Folder, state.directory.path(), &error);
    }
    look(state, &mut None);
    loaded.set();
    let segments = state.segments.all().len();
    let dir = state.directory.path().display();
    tracing::info!(%dir, segments, seconds = begun.elapsed().as_secs_f64(), "the cache folder is known");
    let mut touched = Instant::now();
    while stop.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        look(state, &mut seen);
        sweep.go_on(state);
        if touched.elapsed() >= TOUCH {
            state.touch();
            touched = Instant::now();
        }
    }
    state.touch();
}

/// Looks whether the folder has changed since `seen`.
fn look(state: &State, seen: &mut Option<SystemTime>) {
    let looked = state.directory.changed().and_then(|changed| {
        if *seen != Some(changed) {
            state.rescan()?;
            *seen = Some(changed);
        }
        Ok(())
    });
    match looked {
        Ok(()) => state.faults.over(Fault::Folder),
        Err(error) => {
            state.faults.tell(Fault::Folder, state.directory.path(), &error);
            state.lose_all();
        }
    }
}
