//! How long something is believed.
//!
//! Time is a count of milliseconds since the mount began: small enough to keep beside every name, and a test
//! can set it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A point in time: milliseconds since the mount began, counted from 1. [`Moment::NEVER`] is before all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Moment(u64);

impl Moment {
    /// Before any other moment: what was learnt then is expired.
    pub const NEVER: Self = Self(0);

    /// Time from `earlier` to this moment; none if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// How much longer something learnt at this moment is believed at `now`, of `ttl` in all; none when it is
    /// expired.
    pub fn fresh(self, now: Self, ttl: Duration) -> Option<Duration> {
        if self == Self::NEVER { None } else { ttl.checked_sub(now.since(self)).filter(|rest| !rest.is_zero()) }
    }
}

/// A moment that threads share.
#[derive(Default, Debug)]
pub(crate) struct AtomicMoment(AtomicU64);

impl AtomicMoment {
    /// The moment. Relaxed: it orders nothing but itself.
    pub(crate) fn get(&self) -> Moment {
        Moment(self.0.load(Ordering::Relaxed))
    }

    /// Sets it to `now`.
    pub(crate) fn set(&self, now: Moment) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

/// What says what time it is.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's, which never runs backwards.
    System(Instant),
    /// One that stands still until it is moved on; for tests.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock, beginning now.
    pub fn system() -> Self {
        Self::System(Instant::now())
    }

    /// A clock for tests.
    pub fn manual() -> Self {
        Self::Manual(Arc::default())
    }

    /// What time it is.
    pub fn now(&self) -> Moment {
        match self {
            Self::System(begin) => Moment(1 + u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX - 1)),
            Self::Manual(milliseconds) => Moment(1 + milliseconds.load(Ordering::SeqCst)),
        }
    }

    /// Time since it began.
    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            Self::System(begin) => begin.elapsed(),
            Self::Manual(milliseconds) => Duration::from_millis(milliseconds.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock on; a system clock moves by itself.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(milliseconds) = self {
            milliseconds.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_expires_after_its_time_and_never_learnt_is_expired() {
        let clock = Clock::manual();
        let learnt = clock.now();
        assert_eq!(learnt.fresh(clock.now(), Duration::from_secs(5)), Some(Duration::from_secs(5)));
        clock.advance(Duration::from_secs(4));
        assert_eq!(learnt.fresh(clock.now(), Duration::from_secs(5)), Some(Duration::from_secs(1)));
        clock.advance(Duration::from_secs(1));
        assert_eq!(learnt.fresh(clock.now(), Duration::from_secs(5)), None);
        assert_eq!(Moment::NEVER.fresh(Moment::NEVER, Duration::MAX), None);
    }
}
