//! One call a volume at a time; who comes second is told to come back.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::fault::Fault;

/// The volumes with a call under way. Bound: one entry a call under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guards(Arc<Mutex<HashSet<String>>>);

/// The right to act on a volume until it is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    volume: String,
    guards: Guards,
}

impl Guards {
    /// The right to act on `volume`.
    ///
    /// # Errors
    /// `ABORTED` while somebody else has it.
    pub(crate) fn enter(&self, volume: &str) -> Result<Guard, Fault> {
        let mut busy = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !busy.insert(volume.to_owned()) {
            return Err(Fault::aborted(format!("another call for volume {volume} is under way; try again")));
        }
        Ok(Guard { volume: volume.to_owned(), guards: self.clone() })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.guards.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.volume);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_call_for_a_volume_is_aborted_and_the_next_is_not() {
        let guards = Guards::default();
        let first = guards.enter("a").unwrap();
        assert_eq!(guards.enter("a").unwrap_err().code(), tonic::Code::Aborted);
        drop(guards.enter("b").unwrap());
        drop(first);
        guards.enter("a").unwrap();
    }
}
