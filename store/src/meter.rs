//! What was asked of the store and what came of it.
//!
//! It stands next to the implementation, so it counts requests as they go out: each try of a retry, each
//! hedge. Counters are relaxed atomics; a request costs about a dozen of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::around::{Answer, Call, store_around};
use crate::histogram::{Histogram, HistogramSnapshot};
use crate::{Fetched, Get, Landing, Operation, Store, StoreError, StoreErrorKind};

/// A store whose requests are counted.
#[derive(Debug)]
pub struct Metered {
    inner: Arc<dyn Store>,
    meter: Arc<Meter>,
}

impl Metered {
    /// Counts what goes to `inner` in `meter`.
    pub fn new(inner: Arc<dyn Store>, meter: Arc<Meter>) -> Self {
        Self { inner, meter }
    }

    async fn get_through(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
        let request = self.meter.begin(Operation::Get);
        let before = landing.filled();
        let answer = self.inner.get(get, landing).await;
        request.received(landing.filled() - before);
        request.end(&answer);
        answer
    }

    async fn through<T: Answer, F: Future<Output = Result<T, StoreError>>>(
        &self,
        call: Call<'_>,
        send: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        let request = self.meter.begin(call.operation);
        let answer = send().await;
        if answer.is_ok() {
            request.sent(call.sends);
        }
        request.end(&answer);
        answer
    }
}

store_around!(Metered);

/// The counters.
#[derive(Debug, Default)]
pub struct Meter {
    operations: [Counters; Operation::ALL.len()],
    retries: AtomicU64,
}

#[derive(Debug, Default)]
struct Counters {
    in_flight: AtomicU64,
    succeeded: AtomicU64,
    failed: [AtomicU64; StoreErrorKind::ALL.len()],
    cancelled: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    latency: Histogram,
}

impl Meter {
    /// A request for `operation` goes out; dropped without [`Request::end`], it counts as cancelled.
    pub(crate) fn begin(&self, operation: Operation) -> Request<'_> {
        let counters = &self.operations[operation as usize];
        counters.in_flight.fetch_add(1, Ordering::Relaxed);
        Request { counters, since: Instant::now(), is_ended: false }
    }

    /// A call that failed is about to be sent again.
    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything counted so far.
    pub fn snapshot(&self) -> MeterSnapshot {
        let of = |operation: Operation| self.operations[operation as usize].snapshot(operation);
        MeterSnapshot { operations: Operation::ALL.map(of).into(), retries: self.retries.load(Ordering::Relaxed) }
    }
}

impl Counters {
    fn snapshot(&self, operation: Operation) -> OperationSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let failed =
            StoreErrorKind::ALL.iter().zip(&self.failed).map(|(kind, count)| (kind.name().to_owned(), read(count)));
        OperationSnapshot {
            operation: operation.name().to_owned(),
            in_flight: read(&self.in_flight),
            succeeded: read(&self.succeeded),
            failed: failed.filter(|&(_, count)| count > 0).collect(),
            cancelled: read(&self.cancelled),
            bytes_received: read(&self.bytes_received),
            bytes_sent: read(&self.bytes_sent),
            latency: self.latency.snapshot(),
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    counters: &'a Counters,
    since: Instant,
    is_ended: bool,
}

impl Request<'_> {
    fn received(&self, bytes: u64) {
        self.counters.bytes_received.fetch_add(bytes, Ordering::Relaxed);
    }

    fn sent(&self, bytes: u64) {
        self.counters.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The request was answered.
    pub(crate) fn end<T>(mut self, answer: &Result<T, StoreError>) {
        self.is_ended = true;
        self.counters.latency.add(self.since.elapsed());
        match answer {
            Ok(_) => &self.counters.succeeded,
            Err(error) => &self.counters.failed[error.kind as usize],
        }
        .fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.is_ended {
            self.counters.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What a [`Meter`] had counted at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MeterSnapshot {
    /// One for each [`Operation`], in the order of [`Operation::ALL`].
    pub operations: Vec<OperationSnapshot>,
    /// Requests sent because an earlier try of the same call had failed.
    pub retries: u64,
}

impl MeterSnapshot {
    /// What was counted of `operation`.
    pub fn of(&self, operation: Operation) -> OperationSnapshot {
        self.operations.get(operation as usize).cloned().unwrap_or_default()
    }

    /// Requests of every kind that have been answered or given up.
    pub fn requests(&self) -> u64 {
        self.operations.iter().map(OperationSnapshot::requests).sum()
    }
}

/// What was counted of one operation.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OperationSnapshot {
    /// [`Operation::name`].
    pub operation: String,
    /// Requests not answered yet.
    pub in_flight: u64,
    /// Requests that succeeded.
    pub succeeded: u64,
    /// Requests that failed, by [`StoreErrorKind::name`]; kinds that have not occurred are left out.
    pub failed: BTreeMap<String, u64>,
    /// Requests given up by us before they were answered.
    pub cancelled: u64,
    /// Bytes of objects that arrived.
    pub bytes_received: u64,
    /// Bytes of objects that were taken by the store.
    pub bytes_sent: u64,
    /// How long the answered ones took.
    pub latency: HistogramSnapshot,
}

impl OperationSnapshot {
    /// Requests answered or given up.
    pub fn requests(&self) -> u64 {
        self.succeeded + self.failed.values().sum::<u64>() + self.cancelled
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rfuse_block::{ByteRange, ObjectKey};

    use super::*;
    use crate::{MemoryStore, Urgency};

    #[test]
    fn every_request_is_counted_by_what_came_of_it() {
        let memory = MemoryStore::new();
        memory.put_now("a", "0123456789");
        let meter = Arc::new(Meter::default());
        let store = Metered::new(Arc::new(memory), Arc::clone(&meter));
        let (mut bytes, found, missing) = ([0; 4], ObjectKey::from("a"), ObjectKey::from("b"));
        for key in [&found, &missing] {
            let get = Get { key, version: None, range: ByteRange::new(2, 6), urgency: Urgency::Demand };
            let _ = store.get(get, &mut Landing::one(&mut bytes)).now_or_never().unwrap();
        }
        let seen = meter.snapshot().of(Operation::Get);
        assert_eq!((seen.succeeded, seen.bytes_received, seen.in_flight), (1, 4, 0));
        assert_eq!(seen.failed, BTreeMap::from([("not_found".to_owned(), 1)]));
        assert_eq!(seen.latency.count(), 2);
        assert_eq!(meter.snapshot().requests(), 2);
    }

    #[test]
    fn a_request_given_up_is_cancelled_and_no_longer_in_flight() {
        let meter = Meter::default();
        let request = meter.begin(Operation::List);
        assert_eq!(meter.snapshot().of(Operation::List).in_flight, 1);
        drop(request);
        let seen = meter.snapshot().of(Operation::List);
        assert_eq!((seen.in_flight, seen.cancelled, seen.latency.count()), (0, 1, 0));
    }

    #[test]
    fn a_snapshot_survives_json() {
        let meter = Meter::default();
        meter.begin(Operation::Put).end(&Ok(()));
        let snapshot = meter.snapshot();
        let text = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<MeterSnapshot>(&text).unwrap(), snapshot);
    }
}
