//! How long things took: a histogram of fixed size that any thread may add to.
//!
//! Four buckets an octave, so a quantile is at most a quarter too high; from 1 µs to a little over two
//! minutes, everything longer in the last bucket.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets an octave.
const STEPS: u64 = 4;

/// Octaves from 1 µs on: 2^27 µs are 134 s.
const OCTAVES: usize = 27;

const BUCKETS: usize = OCTAVES * STEPS as usize;

/// A histogram of durations.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    /// The sum of all durations in microseconds.
    micros: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), micros: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Adds one duration.
    pub fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(micros)].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What has been added so far.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets = counts.enumerate().filter(|&(_, count)| count > 0);
        HistogramSnapshot {
            buckets: buckets.map(|(at, count)| (bound_of(at), count)).collect(),
            micros: self.micros.load(Ordering::Relaxed),
        }
    }
}

/// Which bucket a duration falls into.
fn bucket_of(micros: u64) -> usize {
    let micros = micros.max(1);
    let octave = u64::from(micros.ilog2());
    // The two bits after the leading one tell the quarter.
    let quarter = if octave >= 2 { (micros >> (octave - 2)) & 3 } else { (micros << (2 - octave)) & 3 };
    usize::try_from(octave * STEPS + quarter).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The least number of microseconds above every duration in bucket `at`.
fn bound_of(at: usize) -> u64 {
    let (octave, quarter) = (at as u64 / STEPS, at as u64 % STEPS);
    ((STEPS + quarter + 1) << octave).div_ceil(STEPS)
}

/// A histogram as it was at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HistogramSnapshot {
    /// Upper bound in microseconds and count of each bucket that is not empty, ascending.
    pub buckets: Vec<(u64, u64)>,
    /// The sum of all durations in microseconds.
    pub micros: u64,
}

impl HistogramSnapshot {
    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|&(_, count)| count).sum()
    }

    /// The duration that the share `quantile` (0.0 to 1.0) of all stays below, up to a quarter too high; none
    /// when there are none.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let wanted = (self.count() as f64 * quantile.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.buckets.iter().find(|&&(_, count)| {
            seen += count;
            seen >= wanted
        });
        found.map(|&(bound, _)| Duration::from_micros(bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_duration_lies_below_its_bound_by_a_quarter_at_most(micros in 4u64..1 << 26) {
            let bound = bound_of(bucket_of(micros));
            prop_assert!(micros < bound && bound as f64 <= micros as f64 * 1.25 + 1.0, "{micros} {bound}");
        }

        #[test]
        fn quantiles_are_those_of_the_sorted_list(mut all in proptest::collection::vec(4u64..1 << 26, 1..200), q in 0.0..1.0f64) {
            let histogram = Histogram::default();
            all.iter().for_each(|&micros| histogram.add(Duration::from_micros(micros)));
            all.sort_unstable();
            let exact = all[((all.len() as f64 * q).ceil().max(1.0) as usize) - 1];
            let found = histogram.snapshot().quantile(q).unwrap().as_micros() as f64;
            prop_assert!(found > exact as f64 && found <= exact as f64 * 1.25 + 1.0);
        }
    }

    #[test]
    fn what_is_too_short_or_too_long_is_counted_all_the_same() {
        let histogram = Histogram::default();
        histogram.add(Duration::ZERO);
        histogram.add(Duration::from_secs(86_400));
        assert_eq!(histogram.snapshot().count(), 2);
        assert_eq!(Histogram::default().snapshot().quantile(0.5), None);
    }
}
