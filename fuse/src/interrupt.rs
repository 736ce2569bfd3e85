//! Requests that wait, by number, so that a signal to their caller ends them.
//!
//! The kernel sends INTERRUPT to any worker as soon as the request has been read by some worker, so it can
//! arrive before the request is entered here. Such numbers are kept for a moment and found when the request is
//! entered. (The protocol's other way, answering EAGAIN to have it sent again, works only on the descriptor
//! that holds the request, and which one that is cannot be told.)

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{AbortHandle, AbortRegistration};

/// Locks, so that workers seldom meet.
const SHARDS: usize = 16;
/// Requests of one shard that can be interrupted at once; one beyond still ends at its deadline.
const WAITING_MAX: usize = 4096;
/// Early interrupts kept by one shard; the oldest makes room. The time between reading a request and entering
/// it is microseconds.
const EARLY_MAX: usize = 64;

/// The table.
#[derive(Debug, Default)]
pub(crate) struct InterruptTable {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    waiting: HashMap<u64, AbortHandle>,
    /// A ring of numbers; 0, which the kernel never uses, is an empty place.
    early: Vec<u64>,
    oldest: usize,
}

/// An entry; dropping it takes it out.
#[derive(Debug)]
pub(crate) struct Waiting {
    table: Arc<InterruptTable>,
    unique: u64,
}

impl InterruptTable {
    /// Enters request `unique`; what is registered with the second part ends when the interrupt comes.
    pub(crate) fn enter(self: &Arc<Self>, unique: u64) -> (Waiting, AbortRegistration) {
        let (handle, registration) = AbortHandle::new_pair();
        let mut shard = self.shard(unique);
        if let Some(place) = shard.early.iter().position(|&early| early == unique) {
            shard.early[place] = 0;
            handle.abort();
        } else if shard.waiting.len() < WAITING_MAX {
            shard.waiting.insert(unique, handle);
        }
        drop(shard);
        (Waiting { table: Arc::clone(self), unique }, registration)
    }

    /// Ends request `unique`, now or when it is entered.
    pub(crate) fn interrupt(&self, unique: u64) {
        let mut shard = self.shard(unique);
        if let Some(handle) = shard.waiting.remove(&unique) {
            drop(shard);
            handle.abort();
        } else if shard.early.len() < EARLY_MAX {
            shard.early.push(unique);
        } else {
            let oldest = shard.oldest;
            shard.early[oldest] = unique;
            shard.oldest = (oldest + 1) % EARLY_MAX;
        }
    }

    fn shard(&self, unique: u64) -> MutexGuard<'_, Shard> {
        // Numbers are even.
        let index = usize::try_from((unique >> 1) % SHARDS as u64).unwrap_or_default();
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.table.shard(self.unique).waiting.remove(&self.unique);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_ends_the_request_that_waits() {
        let table = Arc::new(InterruptTable::default());
        let (_waiting, registration) = table.enter(8);
        table.interrupt(10);
        assert!(!registration.handle().is_aborted());
        table.interrupt(8);
        assert!(registration.handle().is_aborted());
    }

    #[test]
    fn an_interrupt_that_comes_first_is_found() {
        let table = Arc::new(InterruptTable::default());
        table.interrupt(8);
        assert!(table.enter(8).1.handle().is_aborted());
        assert!(!table.enter(8).1.handle().is_aborted(), "it counts once");
    }

    #[test]
    fn a_request_that_ended_leaves_nothing() {
        let table = Arc::new(InterruptTable::default());
        drop(table.enter(8));
        assert!(table.shard(8).waiting.is_empty());
    }

    #[test]
    fn interrupts_of_requests_long_answered_are_bounded() {
        let table = InterruptTable::default();
        for number in 0..100_000_u64 {
            table.interrupt(number << 1);
        }
        let kept: usize = table.shards.iter().map(|shard| shard.lock().unwrap().early.len()).sum();
        assert_eq!(kept, SHARDS * EARLY_MAX);
    }

    #[test]
    fn requests_beyond_the_bound_run_without_an_entry() {
        let table = Arc::new(InterruptTable::default());
        let step = 2 * SHARDS as u64;
        let entries: Vec<_> = (1..=WAITING_MAX as u64 + 1).map(|number| table.enter(number * step)).collect();
        assert_eq!(table.shard(step).waiting.len(), WAITING_MAX);
        drop(entries);
        assert!(table.shard(step).waiting.is_empty());
    }
}
