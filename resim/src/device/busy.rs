//! How long a device worked: the union of intervals that overlap.

/// A span of the device's clock, in seconds.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Interval {
    /// When it began.
    pub(crate) start: f64,
    /// When it ended, not before it began.
    pub(crate) end: f64,
}

/// Adds up intervals that arrive roughly in order: each may overlap those of the other lane.
///
/// Intervals are merged as they come; the list is bounded because what lies before the oldest open lane is summed
/// and forgotten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy {
    settled: f64,
    open: Vec<Interval>,
}

impl Busy {
    /// Merged intervals that are kept apart at most; more lanes than this never run.
    const OPEN_MOST: usize = 64;

    /// Adds an interval.
    pub(crate) fn add(&mut self, interval: Interval) {
        let mut merged = interval;
        self.open.retain(|other| {
            let apart = other.end < merged.start || merged.end < other.start;
            if !apart {
                merged = Interval { start: merged.start.min(other.start), end: merged.end.max(other.end) };
            }
            apart
        });
        self.open.push(merged);
        if self.open.len() > Self::OPEN_MOST {
            self.open.sort_by(|a, b| a.start.total_cmp(&b.start));
            let oldest = self.open.remove(0);
            self.settled += oldest.end - oldest.start;
        }
    }

    /// Seconds in which at least one interval lay.
    pub(crate) fn seconds(&self) -> f64 {
        self.settled + self.open.iter().map(|interval| interval.end - interval.start).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(intervals: &[(f64, f64)]) -> f64 {
        let mut busy = Busy::default();
        for &(start, end) in intervals {
            busy.add(Interval { start, end });
        }
        busy.seconds()
    }

    #[test]
    fn time_in_which_two_lanes_work_counts_once() {
        assert_eq!(busy(&[(0.0, 2.0), (1.0, 3.0)]), 3.0);
        assert_eq!(busy(&[(0.0, 4.0), (1.0, 2.0)]), 4.0);
    }

    #[test]
    fn gaps_do_not_count_and_a_late_bridge_closes_them() {
        assert_eq!(busy(&[(0.0, 1.0), (2.0, 3.0)]), 2.0);
        assert_eq!(busy(&[(0.0, 1.0), (2.0, 3.0), (0.5, 2.5)]), 3.0);
    }

    #[test]
    fn a_long_run_stays_bounded_and_exact() {
        let mut busy = Busy::default();
        for index in 0..10_000 {
            busy.add(Interval { start: f64::from(index), end: f64::from(index) + 0.5 });
        }
        assert!(busy.open.len() <= Busy::OPEN_MOST);
        assert_eq!(busy.seconds(), 5_000.0);
    }
}
