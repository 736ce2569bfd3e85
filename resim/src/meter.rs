//! What a run measures while it reads: bytes, latencies, throughput over time, where it read.
//!
//! One lock a read, held for microseconds; all series are bounded, whatever the length of the run.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Bins of the throughput series at most; then two become one.
const BINS_MOST: usize = 600;
/// The width of the first bins.
const BIN_SECONDS: f64 = 0.05;
/// Reads kept for the access map at most; then every second one goes.
const ACCESSES_MOST: usize = 3000;
/// Latencies above this are counted as this.
const LATENCY_MOST_US: u64 = 3_600_000_000;

/// One read for the access map: seconds since the start, number of the file, offset and length.
pub(crate) type Access = (f64, usize, u64, u64);

/// Counts reads.
pub(crate) struct Meter {
    begun: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    latencies: Histogram<u64>,
    bytes: u64,
    bins: Bins,
    accesses: Vec<Access>,
    keep_every: u64,
    reads: u64,
}

/// Bytes over time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Bins {
    /// Width of a bin in seconds.
    pub(crate) seconds: f64,
    /// Bytes in each.
    pub(crate) bytes: Vec<u64>,
}

/// What was measured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Reads {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
    /// Upper end of a latency class in microseconds, and how many reads fell into it.
    pub(crate) classes: Vec<(u64, u64)>,
    pub(crate) timeline: Bins,
    pub(crate) accesses: Vec<Access>,
}

impl Bins {
    /// No bins yet.
    pub(crate) fn new() -> Self {
        Self { seconds: BIN_SECONDS, bytes: Vec::new() }
    }

    /// Spreads a span over the bins it lies in, in microseconds.
    pub(crate) fn add_span(&mut self, from: f64, seconds: f64) {
        let end = from + seconds;
        self.add(end, 0);
        let mut at = from.max(0.0);
        while at < end {
            let index = (at / self.seconds).floor();
            let next = ((index + 1.0) * self.seconds).min(end);
            // Rounding may leave nothing between two bins: then the step is one bin.
            let next = if next > at { next } else { at + self.seconds };
            self.add(at, ((next.min(end) - at) * 1e6).round() as u64);
            at = next;
        }
    }

    fn add(&mut self, at: f64, bytes: u64) {
        let mut index = (at / self.seconds) as usize;
        while index >= BINS_MOST {
            self.bytes = self.bytes.chunks(2).map(|pair| pair.iter().sum()).collect();
            self.seconds *= 2.0;
            index = (at / self.seconds) as usize;
        }
        if self.bytes.len() <= index {
            self.bytes.resize(index + 1, 0);
        }
        self.bytes[index] += bytes;
    }
}

impl Meter {
    /// Starts the clock.
    ///
    /// # Panics
    /// Never: the bounds of the histogram are constants.
    pub(crate) fn start() -> Self {
        let latencies = Histogram::new_with_bounds(1, LATENCY_MOST_US, 2).unwrap_or_else(|_| unreachable!());
        let bins = Bins::new();
        let inner = Inner { latencies, bytes: 0, bins, accesses: Vec::new(), keep_every: 1, reads: 0 };
        Self { begun: Instant::now(), inner: Mutex::new(inner) }
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Runs a read and counts it.
    pub(crate) fn time<T>(&self, file: usize, offset: u64, length: u64, read: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = read();
        self.add(begun, begun.elapsed(), file, offset, length);
        result
    }

    /// Counts a read that began at `begun` and took `took`.
    pub(crate) fn add(&self, begun: Instant, took: Duration, file: usize, offset: u64, length: u64) {
        let at = begun.saturating_duration_since(self.begun).as_secs_f64();
        let micros = (took.as_micros() as u64).clamp(1, LATENCY_MOST_US);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.latencies.saturating_record(micros);
        inner.bytes += length;
        inner.bins.add(at + took.as_secs_f64(), length);
        if inner.reads.is_multiple_of(inner.keep_every) {
            if inner.accesses.len() == ACCESSES_MOST {
                let mut index = 0;
                inner.accesses.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                inner.keep_every *= 2;
            }
            inner.accesses.push((at, file, offset, length));
        }
        inner.reads += 1;
    }

    /// What was measured until now.
    pub(crate) fn reads(&self) -> Reads {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |share| inner.latencies.value_at_quantile(share);
        let classes = inner.latencies.iter_log(1, 2.0);
        Reads {
            count: inner.reads,
            bytes: inner.bytes,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            max_us: inner.latencies.max(),
            classes: classes.map(|class| (class.value_iterated_to(), class.count_since_last_iteration())).collect(),
            timeline: inner.bins.clone(),
            accesses: inner.accesses.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_neither_lost_nor_doubled_when_bins_are_merged() {
        let mut bins = Bins::new();
        for second in 0..5000 {
            bins.add(f64::from(second), 3);
        }
        assert!(bins.bytes.len() <= BINS_MOST);
        assert_eq!(bins.bytes.iter().sum::<u64>(), 15_000);
    }

    #[test]
    fn a_span_is_spread_over_its_bins() {
        let mut bins = Bins::new();
        bins.add_span(0.02, 0.1);
        assert_eq!(bins.bytes, [30_000, 50_000, 20_000]);
        bins.add_span(3.0, 0.0);
        assert_eq!(bins.bytes.iter().sum::<u64>(), 100_000);
    }

    #[test]
    fn the_access_map_stays_bounded_and_spread() {
        let meter = Meter::start();
        for index in 0..20_000 {
            meter.time(0, index, 1, || ());
        }
        let reads = meter.reads();
        assert_eq!((reads.count, reads.bytes), (20_000, 20_000));
        assert!(reads.accesses.len() <= ACCESSES_MOST && reads.accesses.len() > ACCESSES_MOST / 3);
        assert!(reads.accesses.last().unwrap().2 > 19_900);
        assert_eq!(reads.classes.iter().map(|(_, count)| count).sum::<u64>(), 20_000);
    }
}
