//! Counts of operations, kept apart for groups of threads so that counting a read costs no shared cache line.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Operations;
use crate::handle::{COPIES, copy_of_this_thread};

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Lookup,
    Getattr,
    Open,
    Read,
    ReadReady,
    Opendir,
    Readdir,
}

const COUNTS: usize = 7;

/// One group's counts, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Group([AtomicU64; COUNTS]);

/// The counts of a mount.
#[derive(Debug)]
pub(crate) struct Counters(Box<[Group]>);

impl Counters {
    pub(crate) fn new() -> Self {
        Self((0..COPIES).map(|_| Group::default()).collect())
    }

    /// One more.
    pub(crate) fn add(&self, count: Count) {
        self.0[copy_of_this_thread()].0[count as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// All groups together.
    pub(crate) fn sum(&self) -> Operations {
        let sum = |count: Count| self.0.iter().map(|group| group.0[count as usize].load(Ordering::Relaxed)).sum();
        Operations {
            lookup: sum(Count::Lookup),
            getattr: sum(Count::Getattr),
            open: sum(Count::Open),
            read: sum(Count::Read),
            read_ready: sum(Count::ReadReady),
            opendir: sum(Count::Opendir),
            readdir: sum(Count::Readdir),
        }
    }
}
