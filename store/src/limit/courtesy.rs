//! How many places fetch-ahead may take beside readers of small things, by what those have to wait.
//!
//! Whoever fetches ahead of a stream can fill every queue between here and the store's disk, and a random read of
//! 4 KiB waits in all of them. How long these queues are nobody tells us; but how long a small read takes while
//! next to nothing is fetched ahead is known, and how long it takes now. Where the second is well above the first,
//! fetch-ahead gets fewer places, and more again where it is not. A store that is slow for other reasons is slow in both
//! figures, and costs the streams nothing. The first small read after a while finds the queues full and waits; so
//! that the second does not, few places are allowed when the first one comes, not when it is answered.
//!
//! Decided here, done elsewhere; time is an argument.

use std::time::Duration;

/// Places that fetch-ahead always has: little enough that what is read beside it counts as read alone.
const LEAST: usize = 4;

/// Places it has when a small read comes and nothing is known of what they cost it.
const CAUTIOUS: usize = 8;

/// Reads of at most so many bytes say how long one waits: of larger ones most of the time is their own transfer.
pub(super) const SMALL: u64 = 64 << 10;

/// Beside fetch-ahead against alone, in eighths: above the second there are fewer places, below the first more.
const BOUNDS: (u32, u32) = (10, 12);

/// So long after the last small read nobody has to be considered.
const QUIET: Duration = Duration::from_millis(50);

/// What is known is found out again after so long.
const STALE: Duration = Duration::from_secs(10);

/// Reads alone before their time is believed.
const ENOUGH: u32 = 8;

/// A time that follows the latest ones slowly, so that one slow answer changes little.
#[derive(Clone, Copy, Default, Debug)]
struct Usual {
    micros: u32,
    seen: u32,
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Courtesy {
    most: usize,
    allowed: usize,
    /// Places with which readers had to wait, when that was last seen.
    hurt: usize,
    last_hurt: Duration,
    /// Small reads under way.
    small: usize,
    alone: Usual,
    beside: Usual,
    /// When a read alone was last answered, when any small read came or was answered, and when places may change next.
    last_alone: Duration,
    last: Duration,
    next: Duration,
}

impl Usual {
    fn add(&mut self, took: Duration) {
        let took = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).min(u32::MAX >> 4);
        self.micros = match self.seen {
            0 => took,
            // A store's slowest answers, ten times the usual one, are not what others cause.
            _ => (self.micros * 7 + took.min(self.micros.saturating_mul(4).min(u32::MAX >> 4))) / 8,
        };
        self.seen = self.seen.saturating_add(1);
    }
}

impl Courtesy {
    /// For fetch-ahead that may take `most` places where nobody waits.
    pub(super) fn new(most: usize) -> Self {
        let (alone, beside) = (Usual::default(), Usual::default());
        let (small, last_hurt, last_alone, last, next) = Default::default();
        Self { most, allowed: most, hurt: most, last_hurt, small, alone, beside, last_alone, last, next }
    }

    /// Places that fetch-ahead may take at `now`.
    pub(super) fn allowed(&self, now: Duration) -> usize {
        if self.is_quiet(now) { self.most } else { self.allowed }
    }

    /// Whether it may have fewer than all: asking costs nothing while no small read is known of.
    pub(super) fn is_strict(&self) -> bool {
        self.allowed < self.most
    }

    /// A small read comes.
    pub(super) fn comes(&mut self, now: Duration) {
        if self.is_quiet(now) {
            if now.saturating_sub(self.last_hurt) > STALE {
                self.hurt = self.most;
            }
            self.allowed = if self.hurt == self.most { CAUTIOUS } else { self.hurt * 3 / 4 }.max(LEAST).min(self.most);
            self.beside = Usual::default();
        }
        self.small += 1;
        self.last = now;
    }

    /// A small read is over, answered or not.
    pub(super) fn goes(&mut self) {
        self.small -= 1;
    }

    /// A small read was answered after `took`; when it came, `ahead` requests of fetch-ahead were under way.
    pub(super) fn answered(&mut self, took: Duration, ahead: usize, now: Duration) {
        self.last = now;
        if ahead <= LEAST {
            if now.saturating_sub(self.last_alone) > STALE {
                self.alone = Usual::default();
            }
            self.alone.add(took);
            self.last_alone = now;
        } else if ahead <= self.allowed + self.allowed / 2 {
            // Where more are still under way than are allowed, that has been seen to already.
            self.beside.add(took);
        }
        if now < self.next {
            return;
        }
        let is_known = self.alone.seen >= ENOUGH && now.saturating_sub(self.last_alone) <= STALE;
        let (beside, alone) = (u64::from(self.beside.micros) * 8, u64::from(self.alone.micros));
        let (more, fewer) = (alone * u64::from(BOUNDS.0), alone * u64::from(BOUNDS.1));
        let before = self.allowed;
        if !is_known && (ahead > LEAST || self.allowed == LEAST) {
            // Nobody knows how it would be: that is found out.
            self.allowed = LEAST;
        } else if self.beside.seen == 0 || beside < more {
            let is_far = self.allowed * 3 / 2 < self.hurt;
            let step = if is_far { self.allowed / 2 } else { self.allowed / 8 };
            self.allowed += step.max(1);
        } else if beside > fewer {
            (self.hurt, self.last_hurt) = (self.allowed, now);
            // What readers wait for grows with what is under way: so many cost what may be.
            let may = (self.allowed as u64 * (more - alone * 8)) / (beside - alone * 8);
            self.allowed = (may as usize).clamp(self.allowed / 4, self.allowed * 3 / 4);
        }
        // There may be fewer than the least.
        self.allowed = self.allowed.max(LEAST).min(self.most);
        if self.allowed != before {
            // What was seen belongs to the places that were; those on their way are still of them.
            self.beside = Usual::default();
            self.next = now + took;
        }
    }

    fn is_quiet(&self, now: Duration) -> bool {
        self.small == 0 && now.saturating_sub(self.last) > QUIET
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small reads one after another beside streams that want 128 places of a store where each of them costs a reader
    /// `costs`. How long each took.
    fn reads(courtesy: &mut Courtesy, alone: Duration, costs: Duration) -> Vec<Duration> {
        let mut now = Duration::from_secs(1);
        let read = |read: u32| {
            let before = if read == 20 { 128 } else { 128.min(courtesy.allowed(now)) };
            courtesy.comes(now);
            let ahead = if read < 20 { 0 } else { before };
            let took = alone + costs * ahead as u32;
            now += took;
            courtesy.answered(took, ahead, now);
            courtesy.goes();
            took
        };
        (0..400).map(read).collect()
    }

    #[test]
    fn a_small_read_beside_streams_soon_takes_at_most_half_as_long_again() {
        let mut courtesy = Courtesy::new(200);
        let took = reads(&mut courtesy, Duration::from_millis(10), Duration::from_micros(400));
        assert!(took[20] > Duration::from_millis(50), "the first one finds the queues full: {:?}", took[20]);
        let slow = took[21..].iter().filter(|took| **took > Duration::from_millis(16)).count();
        assert!(slow <= 4, "{slow} of 379");
        assert!(courtesy.allowed >= 5, "streams keep what costs the reader little: {}", courtesy.allowed);
    }

    #[test]
    fn where_streams_cost_the_reader_nothing_they_get_their_places_back() {
        let mut courtesy = Courtesy::new(200);
        reads(&mut courtesy, Duration::from_millis(10), Duration::ZERO);
        assert!(courtesy.allowed >= 128, "{courtesy:?}");
    }

    #[test]
    fn streams_that_were_first_are_held_back_until_it_is_known_what_they_cost() {
        let mut courtesy = Courtesy::new(200);
        let mut now = Duration::from_secs(1);
        for read in 0..60 {
            let ahead = if read == 0 { 128 } else { courtesy.allowed(now) };
            courtesy.comes(now);
            let took = Duration::from_millis(10) + Duration::from_micros(200) * ahead as u32;
            now += took;
            courtesy.answered(took, ahead, now);
            courtesy.goes();
            assert!(read > 0 || courtesy.allowed(now) == LEAST);
        }
        assert!((6..40).contains(&courtesy.allowed(now)), "{courtesy:?}");
    }

    #[test]
    fn without_small_reads_streams_have_all_places() {
        let mut courtesy = Courtesy::new(200);
        let came = Duration::from_secs(1);
        courtesy.comes(came);
        assert_eq!(courtesy.allowed(came + Duration::from_secs(1)), CAUTIOUS, "one is still waited for");
        courtesy.goes();
        assert_eq!(courtesy.allowed(came + 2 * QUIET), 200);
    }

    #[test]
    fn a_line_with_fewer_places_than_the_least_has_them_all() {
        for most in 0..LEAST {
            let mut courtesy = Courtesy::new(most);
            reads(&mut courtesy, Duration::from_millis(10), Duration::from_millis(1));
            assert_eq!(courtesy.allowed, most);
        }
    }

    #[test]
    fn one_slow_answer_in_ten_changes_little() {
        let mut courtesy = Courtesy::new(200);
        let mut now = Duration::ZERO;
        for read in 0..400u32 {
            let ahead = if read < 40 { 0 } else { 64.min(courtesy.allowed(now)) };
            courtesy.comes(now);
            let took = Duration::from_millis(if read % 10 == 9 { 100 } else { 10 });
            now += took;
            courtesy.answered(took, ahead, now);
            courtesy.goes();
        }
        assert!(courtesy.allowed >= 40, "{courtesy:?}");
    }
}
