//! Open files and directories, found by number.
//!
//! A read looks its file up on every request, from many threads at once, while opens and closes are rare. So
//! the table is kept in several equal copies, one for each group of threads: a lookup touches only its own
//! copy, an open or close all of them. Sixteen threads on one descriptor never write to a shared cache line
//! here. Bound: one entry a copy for each handle the kernel holds open.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The number of an open file or directory; never used twice in the life of a mount.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Handle(pub u64);

/// Copies of the table: enough that the session threads of a large machine seldom share one.
pub(crate) const COPIES: usize = 16;

/// One copy, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Copy<T>(RwLock<HashMap<u64, Arc<T>>>);

/// What is open, by handle.
#[derive(Debug)]
pub(crate) struct HandleTable<T> {
    copies: Box<[Copy<T>]>,
    next: AtomicU64,
}

impl<T> HandleTable<T> {
    pub(crate) fn new() -> Self {
        let copies = (0..COPIES).map(|_| Copy(RwLock::new(HashMap::new()))).collect();
        // Anywhere: the kernel may still hold handles of a process that served this mount before, and none of
        // those may be taken for one of ours.
        let first = RandomState::new().build_hasher().finish() | 1;
        Self { copies, next: AtomicU64::new(first) }
    }

    /// Gives `opened` a number.
    pub(crate) fn insert(&self, opened: &Arc<T>) -> Handle {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        for copy in &self.copies {
            write(copy).insert(number, Arc::clone(opened));
        }
        Handle(number)
    }

    /// Calls `look` with what `handle` is, without taking a share of it.
    pub(crate) fn with<R>(&self, handle: Handle, look: impl FnOnce(&Arc<T>) -> R) -> Option<R> {
        let copy = self.copies[copy_of_this_thread()].0.read().unwrap_or_else(PoisonError::into_inner);
        copy.get(&handle.0).map(look)
    }

    /// A share of what `handle` is.
    pub(crate) fn get(&self, handle: Handle) -> Option<Arc<T>> {
        self.with(handle, Arc::clone)
    }

    /// Forgets `handle`.
    pub(crate) fn remove(&self, handle: Handle) -> Option<Arc<T>> {
        self.copies.iter().map(|copy| write(copy).remove(&handle.0)).fold(None, Option::or)
    }

    /// What is open now.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.copies[0].0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Handles open now.
    pub(crate) fn count(&self) -> usize {
        self.copies[0].0.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn write<T>(copy: &Copy<T>) -> std::sync::RwLockWriteGuard<'_, HashMap<u64, Arc<T>>> {
    copy.0.write().unwrap_or_else(PoisonError::into_inner)
}

/// Threads take the copies in turn, in the order in which they first ask.
pub(crate) fn copy_of_this_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static COPY: usize = THREADS.fetch_add(1, Ordering::Relaxed) % COPIES;
    }
    COPY.with(|copy| *copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_sees_what_one_opened_and_closed() {
        let table = HandleTable::new();
        let handle = table.insert(&Arc::new(7));
        std::thread::scope(|scope| {
            for _ in 0..2 * COPIES {
                scope.spawn(|| assert_eq!(table.with(handle, |opened| **opened), Some(7)));
            }
        });
        assert_eq!(table.count(), 1);
        assert_eq!(table.remove(handle).as_deref(), Some(&7));
        std::thread::scope(|scope| {
            for _ in 0..2 * COPIES {
                scope.spawn(|| assert!(table.get(handle).is_none()));
            }
        });
    }

    #[test]
    fn a_number_is_never_used_twice() {
        let table = HandleTable::new();
        let first = table.insert(&Arc::new(()));
        table.remove(first);
        assert_ne!(table.insert(&Arc::new(())), first);
    }
}
