//! What the server has counted since it started or was last reset.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Fault;

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Bytes of an object.
    Get,
    /// What is known of an object or a bucket.
    Head,
    /// A page of names.
    List,
    /// A whole object written.
    Put,
    /// A part of an upload sent.
    Part,
    /// A part of an upload, or an object, made of bytes that the server has.
    Copy,
    /// An upload begun, completed or given up.
    Upload,
    /// An object deleted.
    Delete,
    /// Anything else, refused.
    Other,
}

impl Operation {
    /// How many there are.
    const COUNT: usize = 9;
}

/// The counts at one moment, as `/__stats` gives them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// GETs of objects.
    pub gets: u64,
    /// HEADs.
    pub heads: u64,
    /// Pages of names.
    pub lists: u64,
    /// Whole objects written.
    pub puts: u64,
    /// Parts of uploads sent.
    pub parts: u64,
    /// Parts and objects copied by the server.
    pub copies: u64,
    /// Uploads begun, completed and given up.
    pub uploads: u64,
    /// Objects deleted.
    pub deletes: u64,
    /// Requests of any other kind.
    pub others: u64,
    /// Body bytes received.
    pub bytes_received: u64,
    /// Body bytes sent in answer to GETs of objects.
    pub bytes: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Requests being answered at this moment.
    pub in_flight: u64,
    /// The most at once.
    pub in_flight_max: u64,
    /// Faulty answers: 503, 500, reset, truncated, wrong range.
    pub faults: [u64; 5],
    /// Mean time from the end of a request to the start of its answer in microseconds: the latency that was
    /// really injected.
    pub latency_us: f64,
    /// The most GETs that began in one 4 KiB block; counted only with `per-block`.
    pub gets_per_block_max: u64,
}

impl Stats {
    /// Requests of all kinds.
    pub fn requests(&self) -> u64 {
        self.gets + self.heads + self.lists + self.writes() + self.others
    }

    /// Requests that write, or are part of a write.
    pub fn writes(&self) -> u64 {
        self.puts + self.parts + self.copies + self.uploads + self.deletes
    }
}

/// The running counts.
#[derive(Debug, Default)]
pub(super) struct Counters {
    operations: [AtomicU64; Operation::COUNT],
    bytes_received: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) connections: AtomicU64,
    in_flight: AtomicU64,
    in_flight_max: AtomicU64,
    faults: [AtomicU64; 5],
    waited_ns: AtomicU64,
    waits: AtomicU64,
    blocks: Mutex<HashMap<(u64, u64), u64>>,
}

impl Counters {
    pub(super) fn begin(&self, operation: Operation) {
        self.operations[operation as usize].fetch_add(1, Ordering::Relaxed);
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.in_flight_max.fetch_max(now, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn waited(&self, time: Duration) {
        self.waited_ns.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: u64) {
        self.bytes_received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn fault(&self, fault: Fault) {
        self.faults[fault as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a GET that begins at `offset` of the object with this seed.
    pub(super) fn block(&self, seed: u64, offset: u64) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        *blocks.entry((seed, offset / 4096)).or_default() += 1;
    }

    pub(super) fn snapshot(&self) -> Stats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let of = |operation: Operation| read(&self.operations[operation as usize]);
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        Stats {
            gets: of(Operation::Get),
            heads: of(Operation::Head),
            lists: of(Operation::List),
            puts: of(Operation::Put),
            parts: of(Operation::Part),
            copies: of(Operation::Copy),
            uploads: of(Operation::Upload),
            deletes: of(Operation::Delete),
            others: of(Operation::Other),
            bytes_received: read(&self.bytes_received),
            bytes: read(&self.bytes),
            connections: read(&self.connections),
            in_flight: read(&self.in_flight),
            in_flight_max: read(&self.in_flight_max),
            faults: [0, 1, 2, 3, 4].map(|at| read(&self.faults[at])),
            latency_us: read(&self.waited_ns) as f64 / read(&self.waits).max(1) as f64 / 1000.0,
            gets_per_block_max: blocks.values().copied().max().unwrap_or(0),
        }
    }

    /// Everything but what is in flight starts again at nothing.
    pub(super) fn reset(&self) {
        let singles = [&self.bytes, &self.bytes_received, &self.connections, &self.waited_ns, &self.waits];
        for count in singles.into_iter().chain(&self.operations).chain(&self.faults) {
            count.store(0, Ordering::Relaxed);
        }
        self.in_flight_max.store(self.in_flight.load(Ordering::Relaxed), Ordering::Relaxed);
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
