//! Those who wait for memory, first come, first served.
//!
//! Only the first in line tries, whenever something may have become free; the others wait for his place. While
//! anybody is in line nobody else may take a slot, so a long read is not starved by short ones.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, Semaphore};

/// The line.
#[derive(Debug)]
pub(crate) struct Line {
    waiting: AtomicUsize,
    turn: Semaphore,
    changed: Notify,
}

impl Line {
    /// Nobody waits.
    pub(crate) fn new() -> Self {
        Self { waiting: AtomicUsize::new(0), turn: Semaphore::new(1), changed: Notify::new() }
    }

    /// Whether somebody waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Something may have become free: to be called after it has.
    pub(crate) fn changed(&self) {
        if self.is_waiting() {
            self.changed.notify_one();
        }
    }

    /// Waits in line until `attempt` succeeds.
    pub(crate) async fn wait_for<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        // Counted before the first attempt: what becomes free after that attempt failed is told.
        let _counted = Counted::new(&self.waiting);
        // Never closed; were it, the line would only be unfair.
        let _turn = self.turn.acquire().await;
        loop {
            if let Some(value) = attempt() {
                return value;
            }
            self.changed.notified().await;
        }
    }
}

/// Counts one who waits, until he has got it or gives up.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::cell::Cell;

    #[test]
    fn the_first_in_line_is_served_first_and_who_leaves_is_not_waited_for() {
        let line = Line::new();
        let free = Cell::new(0);
        let take = |count: i32| {
            let free = &free;
            move || (free.get() >= count).then(|| free.set(free.get() - count))
        };
        let mut first = Box::pin(line.wait_for(take(3)));
        let mut second = Box::pin(line.wait_for(take(1)));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        free.set(2);
        line.changed();
        assert!(second.as_mut().now_or_never().is_none() && first.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().is_some());
        assert!(!line.is_waiting());
    }
}
