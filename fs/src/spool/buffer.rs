//! Memory in which a part of a file is collected while it is written in order: from here it goes to the store and,
//! beside that, past the page cache to local disk.
//!
//! The idea: pages that were used before cost a copy, fresh ones of the page cache cost several. So buffers are
//! used again, aligned as direct writing wants it.
//!
//! Bound: `bytes` over all files of a mount, in use or kept for the next one; who finds none may wait for one.

use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lock;

/// What direct writing is aligned to, in memory and in the file.
pub(super) const ALIGNMENT: usize = 4096;
/// What the bound is counted in, so that it fits the semaphore's numbers.
const UNIT: u64 = 4096;

/// The buffers of a mount.
#[derive(Clone, Debug)]
pub(crate) struct Buffers {
    permits: Arc<Semaphore>,
    total: u64,
    idle: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// Buffers of `bytes` together.
    pub(crate) fn new(bytes: u64) -> Self {
        let total = (bytes / UNIT).min((Semaphore::MAX_PERMITS as u64).min(1 << 30));
        Self { permits: Arc::new(Semaphore::new(total as usize)), total, idle: Arc::default() }
    }

    /// One for `length` bytes, if there is room for it now.
    pub(crate) fn try_take(&self, length: u64) -> Option<Buffer> {
        let room = Arc::clone(&self.permits).try_acquire_many_owned(self.units(length)?).ok()?;
        self.make(length, room)
    }

    /// One for `length` bytes, as soon as there is room; none if there never is.
    pub(crate) async fn take(&self, length: u64) -> Option<Buffer> {
        let room = Arc::clone(&self.permits).acquire_many_owned(self.units(length)?).await.ok()?;
        self.make(length, room)
    }

    /// Frees what is kept for the next one.
    pub(crate) fn trim(&self) {
        lock(&self.idle).clear();
    }

    fn units(&self, length: u64) -> Option<u32> {
        let units = length.div_ceil(UNIT);
        u32::try_from(units).ok().filter(|_| (1..=self.total).contains(&units))
    }

    fn make(&self, length: u64, room: OwnedSemaphorePermit) -> Option<Buffer> {
        let capacity = usize::try_from(length).ok()?;
        let kept = {
            let mut idle = lock(&self.idle);
            let fit = idle.iter().position(|bytes| bytes.len() == capacity + ALIGNMENT);
            // Of another size: parts have grown, and theirs are not used again.
            if fit.is_none() {
                idle.clear();
            }
            fit.map(|at| idle.swap_remove(at))
        };
        let bytes = kept.unwrap_or_else(|| vec![0; capacity + ALIGNMENT]);
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Some(Buffer { bytes, start, capacity, filled: 0, idle: Arc::clone(&self.idle), _room: room })
    }
}

/// Bytes that are collected.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    capacity: usize,
    filled: usize,
    idle: Arc<Mutex<Vec<Vec<u8>>>>,
    _room: OwnedSemaphorePermit,
}

impl Buffer {
    /// Adds as much of `bytes` as there is room for; how much that was.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.capacity - self.filled);
        let at = self.start + self.filled;
        self.bytes[at..at + count].copy_from_slice(&bytes[..count]);
        self.filled += count;
        count
    }

    /// Bytes that still fit.
    pub(super) fn room(&self) -> usize {
        self.capacity - self.filled
    }

    /// What was put in.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        lock(&self.idle).push(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_than_the_bound_allows_and_they_are_used_again() {
        let buffers = Buffers::new(20_000);
        let (mut one, two) = (buffers.try_take(8192).unwrap(), buffers.try_take(8192).unwrap());
        assert!(buffers.try_take(8192).is_none() && buffers.try_take(1 << 20).is_none());
        assert_eq!((one.fill(&[1; 5000]), one.fill(&[2; 5000])), (5000, 3192));
        assert_eq!(one.bytes()[4999..5001], [1, 2]);
        assert_eq!(one.bytes().as_ptr().align_offset(ALIGNMENT), 0);
        let place = one.bytes().as_ptr();
        drop((two, one));
        let again = [buffers.try_take(8192).unwrap(), buffers.try_take(8192).unwrap()];
        assert!(again.iter().any(|buffer| buffer.bytes().as_ptr() == place && buffer.bytes().is_empty()));
    }
}
