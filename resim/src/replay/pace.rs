//! When a message is due: each log plays as fast as it was recorded, from when its first message came.

use std::time::{Duration, Instant};

/// A frame that comes later than this after it was due is late.
const SLACK: Duration = Duration::from_millis(20);

/// Paces the messages of one log after the other.
pub(super) struct Pace {
    realtime: bool,
    /// The log that plays, its first message's log time, and when that was played.
    playing: Option<(usize, u64, Instant)>,
    /// Messages that came too late.
    pub(super) late: u64,
}

impl Pace {
    pub(super) fn new(realtime: bool) -> Self {
        Self { realtime, playing: None, late: 0 }
    }

    /// How long to wait with a message of `log` at `time`.
    pub(super) fn wait(&mut self, log: usize, time: u64, now: Instant) -> Option<Duration> {
        if !self.realtime {
            return None;
        }
        let (_, first, begun) = match self.playing {
            Some(playing) if playing.0 == log => playing,
            _ => *self.playing.insert((log, time, now)),
        };
        let due = begun + Duration::from_nanos(time.saturating_sub(first));
        if now > due + SLACK {
            self.late += 1;
        }
        due.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_wait_until_they_are_due_and_late_ones_are_counted() {
        let start = Instant::now();
        let second = 1_000_000_000;
        let mut pace = Pace::new(true);
        assert_eq!(pace.wait(0, 5 * second, start), None);
        assert_eq!(pace.wait(0, 6 * second, start), Some(Duration::from_secs(1)));
        assert_eq!(pace.wait(0, 6 * second, start + Duration::from_secs(2)), None);
        assert_eq!(pace.late, 1);
        assert_eq!(pace.wait(1, 0, start + Duration::from_secs(9)), None);
        assert_eq!(pace.late, 1, "another log starts its own clock");
    }

    #[test]
    fn at_full_speed_nothing_waits() {
        let mut pace = Pace::new(false);
        assert_eq!(pace.wait(0, 0, Instant::now()), None);
        assert_eq!(pace.wait(0, u64::MAX, Instant::now()), None);
    }
}
