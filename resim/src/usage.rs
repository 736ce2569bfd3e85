//! How a device's time went: waiting for data, copying, computing.

use std::time::Duration;

use crate::device::{Busy, Interval, Timing};
use crate::meter::Bins;

/// The time of one device.
pub(crate) struct Usage {
    waited: Duration,
    busy: Busy,
    copying: Busy,
    computing: Busy,
    pub(crate) wait_timeline: Bins,
    pub(crate) busy_timeline: Bins,
}

impl Usage {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            waited: Duration::ZERO,
            busy: Busy::default(),
            copying: Busy::default(),
            computing: Busy::default(),
            wait_timeline: Bins::new(),
            busy_timeline: Bins::new(),
        }
    }

    /// From `begun` on, it waited for data.
    pub(crate) fn waited(&mut self, begun: Duration, took: Duration) {
        self.waited += took;
        self.wait_timeline.add_span(begun.as_secs_f64(), took.as_secs_f64());
    }

    /// It copied and computed; this is known at `now`.
    pub(crate) fn worked(&mut self, timing: Timing, now: Duration) {
        self.busy.add(Interval { start: timing.copy.start, end: timing.compute.end });
        self.copying.add(timing.copy);
        self.computing.add(timing.compute);
        let took = timing.compute.end - timing.copy.start;
        self.busy_timeline.add_span((now.as_secs_f64() - took).max(0.0), took);
    }

    /// Seconds it waited.
    pub(crate) fn wait_seconds(&self) -> f64 {
        self.waited.as_secs_f64()
    }

    /// Seconds it copied or computed.
    pub(crate) fn busy_seconds(&self) -> f64 {
        self.busy.seconds()
    }

    /// Share of the copying that lay under computing; absent when nothing was copied.
    pub(crate) fn overlap(&self) -> Option<f64> {
        let both = self.copying.seconds() + self.computing.seconds() - self.busy.seconds();
        (self.copying.seconds() > 0.0).then(|| (both / self.copying.seconds()).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copying_under_computing_is_overlap() {
        let mut usage = Usage::new();
        let timing = |copy: (f64, f64), compute: (f64, f64)| Timing {
            copy: Interval { start: copy.0, end: copy.1 },
            compute: Interval { start: compute.0, end: compute.1 },
        };
        assert_eq!(usage.overlap(), None);
        usage.worked(timing((0.0, 1.0), (1.0, 3.0)), Duration::from_secs(3));
        assert_eq!(usage.overlap(), Some(0.0));
        usage.worked(timing((2.0, 3.0), (3.0, 5.0)), Duration::from_secs(5));
        assert_eq!(usage.overlap(), Some(0.5));
        assert_eq!(usage.busy_seconds(), 5.0);
    }
}
