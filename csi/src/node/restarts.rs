//! How often the process of a volume had been started again when a pod was last told.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Entries kept; beyond it all are dropped, and some pods hear of a restart too little.
const KEPT_MAX: usize = 4096;

/// By the path in the pod.
#[derive(Debug, Default)]
pub(crate) struct Restarts(Mutex<HashMap<PathBuf, u32>>);

impl Restarts {
    /// Takes in that the process of what is bound to `target` has been started again `count` times in all; how
    /// often since the last look. A path that is looked at for the first time has seen none.
    pub(crate) fn since(&self, target: &Path, count: u32) -> u32 {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let before = kept.insert(target.to_owned(), count);
        before.map_or(0, |before| count.saturating_sub(before))
    }

    /// Forgets a path that is gone.
    pub(crate) fn forget(&self, target: &Path) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_hears_of_what_happened_since_it_heard_last() {
        let (restarts, path) = (Restarts::default(), Path::new("/a"));
        assert_eq!([5, 5, 7, 7].map(|count| restarts.since(path, count)), [0, 0, 2, 0]);
        // Another mount service counts from nothing.
        assert_eq!([0, 1].map(|count| restarts.since(path, count)), [0, 1]);
        restarts.forget(path);
        assert_eq!(restarts.since(path, 9), 0);
    }
}
