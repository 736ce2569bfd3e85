//! How far ahead of its reader a stream is fetched.
//!
//! The right distance is what the store delivers in the time it takes to answer, latency times bandwidth. A
//! reader who finds everything there has a window that is wide enough. One who has to wait may have one that is
//! too narrow, or the fastest store there is: so the window doubles, and goes on doubling only while that made
//! the stream faster. Otherwise everything would end up with the widest window, of which most bytes only wait in
//! line, and memory would be cold by the time they are read.

use std::time::Duration;

/// What a window starts with, as far as the stream is trusted: 10 ms of a store of 1.5 GiB/s.
const START: u64 = 16 << 20;

/// A stream is never fetched further ahead than so many times what it has come: what a wrong guess costs
/// stays in proportion to what was read.
const TRUST: u64 = 2;

/// Requests under way that a window is made of: at first, and at most.
const PIECES: (u64, u64) = (8, 64);

/// Sizes of one request. A request costs some 50 µs of processor time, a MiB some 400 µs; and where a connection
/// is slow it is their number that counts, so a wider window first means more of them.
const PIECE: (u64, u64) = (128 << 10, 1 << 20);

/// A doubling must make the stream faster by a tenth to be followed by another.
const GAIN: (u32, u32) = (11, 10);

/// After so many widths without a try the store may have changed.
const TRIES_AFTER: u64 = 64;

/// The distance ahead, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    bytes: u64,
    most: u64,
    share: u64,
    /// How far the stream must have come before another wait counts: those before were of the old width.
    grows_after: u64,
    /// Where the stream was, and when, at the last look at its speed.
    looked: Option<(u64, Duration)>,
    /// Bytes a second of the last width.
    rate: u64,
}

impl Window {
    /// A window that grows up to `most` bytes.
    pub(crate) fn new(most: u64) -> Self {
        Self { bytes: START.min(most), most, share: u64::MAX, grows_after: 0, looked: None, rate: 0 }
    }

    /// Its width for a stream that has come `run` bytes.
    pub(crate) fn width(self, run: u64) -> u64 {
        self.bytes.min(run.saturating_mul(TRUST)).max(PIECE.0.min(self.most)).min(self.share)
    }

    /// Bytes of one request.
    pub(crate) fn piece(self, run: u64) -> u64 {
        let width = self.width(run);
        // A power of two, so that pieces meet at the same offsets whoever reads.
        (width / PIECES.0).clamp(PIECE.0, PIECE.1).max(width / PIECES.1).next_power_of_two()
    }

    /// The reader had to wait at `now`, `run` bytes into the stream.
    pub(crate) fn waited(&mut self, run: u64, now: Duration) {
        if run < self.grows_after {
            return;
        }
        let width = self.width(run);
        let rate = match self.looked {
            Some((from, since)) => per_second(run - from, now.saturating_sub(since)),
            None => 0,
        };
        self.looked = Some((run, now));
        // Trust narrowed it so far: that says nothing of the width it will have.
        if width < self.bytes.min(self.share) {
            self.grows_after = run + width / 2;
            return;
        }
        self.grows_after = run + width;
        if rate == 0 {
            return;
        }
        if u128::from(rate) * u128::from(GAIN.1) > u128::from(self.rate) * u128::from(GAIN.0) {
            self.rate = rate;
            self.bytes = (self.bytes * 2).min(self.most);
            self.grows_after = run + self.width(run);
        } else {
            // Half of it was as fast.
            self.bytes = (self.bytes / 2).max(START.min(self.most));
            (self.rate, self.looked) = (0, None);
            self.grows_after = run.saturating_add(width.saturating_mul(TRIES_AFTER));
        }
    }

    /// It may have `share` bytes at the moment.
    pub(crate) fn bound(&mut self, share: u64) {
        self.share = share;
    }

    /// It is to be wide enough for `bytes`, as far as it may.
    pub(crate) fn holds(&mut self, bytes: u64) {
        self.bytes = self.bytes.max(bytes.min(self.most));
    }

    /// There was no room for as much.
    pub(crate) fn refused(&mut self) {
        self.bytes = (self.bytes / 2).max(PIECE.1.min(self.most));
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(bytes) * 1_000_000 / time.as_micros().max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Reads for so many windows from a store of a latency and a bandwidth, in MiB a second; the last width.
    fn settled(latency_ms: u64, bandwidth: u64) -> u64 {
        let mut window = Window::new(256 * MIB);
        let (mut run, mut now) = (64 * MIB, Duration::ZERO);
        for _ in 0..200 {
            // A window takes a latency, or as long as the bandwidth needs for it.
            let width = window.width(run);
            let micros = (latency_ms * 1000).max(width * 1_000_000 / (bandwidth * MIB));
            (run, now) = (run + width, now + Duration::from_micros(micros));
            window.waited(run, now);
        }
        window.width(run)
    }

    #[test]
    fn it_widens_to_latency_times_bandwidth_and_not_far_beyond() {
        // 1 GiB/s at 10 ms are 10 MiB, at 100 ms 100 MiB.
        assert!((16 * MIB..=32 * MIB).contains(&settled(10, 1024)), "{}", settled(10, 1024) / MIB);
        assert!((100 * MIB..=256 * MIB).contains(&settled(100, 1024)), "{}", settled(100, 1024) / MIB);
        assert!(settled(0, 1024) <= 32 * MIB, "{}", settled(0, 1024) / MIB);
    }

    #[test]
    fn one_stall_that_many_reads_feel_counts_once() {
        let mut window = Window::new(64 * MIB);
        let run = 64 * MIB;
        window.waited(run - START, Duration::ZERO);
        (1..9).for_each(|read| window.waited(run + read * 4096, Duration::from_millis(read)));
        assert_eq!(window.width(run), 2 * START);
    }

    #[test]
    fn it_is_never_wider_than_trust_its_share_or_its_bound() {
        let mut window = Window::new(32 * MIB);
        for step in 1..1000 {
            window.waited(step * 64 * MIB, Duration::from_micros(1000 * step - step * step / 2));
        }
        assert!(window.width(1 << 40) <= 32 * MIB);
        assert_eq!(window.width(MIB), 2 * MIB);
        window.bound(5 * MIB);
        assert_eq!(window.width(1 << 40), 5 * MIB);
        (0..20).for_each(|_| window.refused());
        assert_eq!(window.width(1 << 40), MIB);
    }

    #[test]
    fn a_slow_connection_gets_more_requests_and_not_larger_ones() {
        let mut window = Window::new(256 * MIB);
        assert_eq!(window.piece(1 << 40), MIB);
        window.holds(64 * MIB);
        assert_eq!(window.piece(1 << 40), MIB);
        window.holds(256 * MIB);
        assert_eq!(window.piece(1 << 40), 4 * MIB);
    }
}
