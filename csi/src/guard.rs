//! One call a volume at a time. Who comes second waits a little, because pods of one volume come and go together
//! and calls are short; who would wait longer is told to come back.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::fault::Fault;

/// Most calls take some milliseconds; one that mounts takes as long as its store.
const PATIENCE: Duration = Duration::from_secs(10);

/// The volumes with a call under way. Bound: one entry a call under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guards(Arc<(Mutex<HashSet<String>>, Condvar)>);

/// The right to act on a volume until it is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    volume: String,
    guards: Guards,
}

impl Guards {
    /// The right to act on `volume`; waits on this thread.
    ///
    /// # Errors
    /// `ABORTED` when somebody else has it for too long.
    pub(crate) fn enter(&self, volume: &str) -> Result<Guard, Fault> {
        self.enter_within(volume, PATIENCE)
    }

    fn enter_within(&self, volume: &str, patience: Duration) -> Result<Guard, Fault> {
        let (busy, left) = &*self.0;
        let busy = busy.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = left.wait_timeout_while(busy, patience, |busy| busy.contains(volume));
        let (mut busy, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !busy.insert(volume.to_owned()) {
            return Err(Fault::aborted(format!("another call for volume {volume} is under way; try again")));
        }
        Ok(Guard { volume: volume.to_owned(), guards: self.clone() })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (busy, left) = &*self.guards.0;
        busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.volume);
        left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_call_for_a_volume_is_aborted_and_one_for_another_is_not() {
        let guards = Guards::default();
        let first = guards.enter("a").unwrap();
        assert_eq!(guards.enter_within("a", Duration::ZERO).unwrap_err().code(), tonic::Code::Aborted);
        drop(guards.enter("b").unwrap());
        drop(first);
        guards.enter("a").unwrap();
    }

    #[test]
    fn who_waits_is_let_in_when_the_first_leaves() {
        let guards = Guards::default();
        let first = guards.enter("a").unwrap();
        let waiting = std::thread::spawn(move || guards.enter_within("a", Duration::from_secs(60)).is_ok());
        drop(first);
        assert!(waiting.join().unwrap());
    }
}
