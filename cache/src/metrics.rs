//! What the cache counts, all of it since the mount began unless it says now.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::Serialize;

/// One number for each counter at one moment; the field names are those of the stats and the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct CacheStats {
    /// Blocks a read found in memory.
    pub hits: u64,
    /// Blocks a read had to bring itself, from disk or from the store.
    pub misses: u64,
    /// Blocks a read got from a fetch that was under way for another.
    pub followed: u64,
    /// Bytes given to readers.
    pub delivered_bytes: u64,
    /// Bytes asked of the store and received, for readers or ahead of them.
    pub fetched_bytes: u64,
    /// Ranged GETs sent to the store room, its own retries not counted.
    pub fetches: u64,
    /// Of these, those that failed or were given up.
    pub failed_fetches: u64,
    /// Blocks fetched ahead of a reader.
    pub ahead: u64,
    /// Fetches ahead refused for want of budget or memory.
    pub refused_ahead: u64,
    /// Bytes on their way that nobody waits for yet.
    pub ahead_bytes: u64,
    /// Bytes of these at most.
    pub ahead_limit_bytes: u64,
    /// Blocks that left to make room for others.
    pub evictions: u64,
    /// Reads that waited for memory.
    pub memory_waits: u64,
    /// Bytes of blocks in memory now, those being fetched or read included.
    pub resident_bytes: u64,
    /// Bytes of blocks there is room for.
    pub capacity_bytes: u64,
    /// Bytes of bookkeeping.
    pub overhead_bytes: u64,
    /// The disk tier; all nought where there is none.
    pub disk: DiskStats,
}

/// The same for the disk tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct DiskStats {
    /// Blocks that were not in memory and came from disk.
    pub hits: u64,
    /// Blocks that were not in memory and did not come from disk.
    pub misses: u64,
    /// Bytes of blocks that came from disk.
    pub read_bytes: u64,
    /// Bytes of blocks written, those that moved on when their segment left included.
    pub written_bytes: u64,
    /// Blocks that left to make room for others.
    pub evictions: u64,
    /// Blocks not written because what is there is in use.
    pub refused: u64,
    /// Blocks not written because the writer had too much to do, or could not write.
    pub dropped: u64,
    /// Reads and writes of the folder that failed.
    pub errors: u64,
    /// Blocks and index files that were not what was written; none of them reached a reader.
    pub corrupt: u64,
    /// Bytes pinned, by all who share the folder.
    pub pinned_bytes: u64,
    /// Bytes of the segments this process reads.
    pub resident_bytes: u64,
    /// Bytes of the folder at most.
    pub capacity_bytes: u64,
    /// Bytes of memory the index takes when the folder is full.
    pub overhead_bytes: u64,
}

/// Sets of counters: threads count in different ones, so that a hit never waits for another's cache line.
const STRIPES: usize = 16;

/// The counters of some threads, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) followed: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) fetched: AtomicU64,
    pub(crate) fetches: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) ahead: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// All counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    stripes: [Counters; STRIPES],
}

impl Metrics {
    /// The counters of this thread.
    pub(crate) fn mine(&self) -> &Counters {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static MINE: Cell<usize> = const { Cell::new(usize::MAX) });
        let stripe = MINE.with(|mine| {
            if mine.get() == usize::MAX {
                mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES);
            }
            mine.get()
        });
        &self.stripes[stripe]
    }

    /// The sums, as far as they are counted here.
    pub(crate) fn sum(&self) -> CacheStats {
        let total =
            |of: fn(&Counters) -> &AtomicU64| self.stripes.iter().map(|one| of(one).load(Ordering::Relaxed)).sum();
        CacheStats {
            hits: total(|c| &c.hits),
            misses: total(|c| &c.misses),
            followed: total(|c| &c.followed),
            delivered_bytes: total(|c| &c.delivered),
            fetched_bytes: total(|c| &c.fetched),
            fetches: total(|c| &c.fetches),
            failed_fetches: total(|c| &c.failed),
            ahead: total(|c| &c.ahead),
            refused_ahead: total(|c| &c.refused),
            ..CacheStats::default()
        }
    }
}

/// Adds `amount` to `counter`.
pub(crate) fn count(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
