//! How far ahead of its reader a stream is fetched.
//!
//! The right distance is what the store delivers in the time it takes to answer: latency times bandwidth, and
//! neither is known. But a reader who finds everything there has a window that is wide enough, and one who has
//! to wait has not; so the window doubles at each wait until the waits end. It is narrowed when the budget
//! refuses, so that many streams share what there is.

/// The least that is fetched ahead, and what a window starts with.
const LEAST: u64 = 256 << 10;

/// A stream is never fetched further ahead than so many times what it has come: what a wrong guess costs
/// stays in proportion to what was read.
const TRUST: u64 = 4;

/// Requests that a window is made of. Fewer would leave a store that is slow a connection unused.
const PIECES: u64 = 8;

/// Sizes of one request, at least and at most. A request costs some 50 µs of processor time, 4 MiB some 2 ms.
const PIECE: (u64, u64) = (128 << 10, 4 << 20);

/// The distance ahead, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    bytes: u64,
    most: u64,
    share: u64,
    /// How far the stream has to come before another wait counts: those before were of the old width.
    grows_after: u64,
}

impl Window {
    /// A window that grows up to `most` bytes.
    pub(crate) fn new(most: u64) -> Self {
        Self { bytes: LEAST.min(most), most, share: u64::MAX, grows_after: 0 }
    }

    /// Its width for a stream that has come `run` bytes.
    pub(crate) fn width(self, run: u64) -> u64 {
        self.bytes.min(run.saturating_mul(TRUST)).max(PIECE.0.min(self.most)).min(self.share)
    }

    /// Bytes of one request.
    pub(crate) fn piece(self, run: u64) -> u64 {
        // A power of two, so that pieces meet at the same offsets whoever reads.
        (self.width(run) / PIECES).clamp(PIECE.0, PIECE.1).next_power_of_two()
    }

    /// The reader had to wait, `run` bytes into the stream.
    pub(crate) fn waited(&mut self, run: u64) {
        if run >= self.grows_after {
            self.bytes = (self.bytes * 2).min(self.most);
            self.grows_after = run + self.width(run) / 2;
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
        self.bytes = (self.bytes / 2).max(LEAST.min(self.most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stall_that_many_reads_feel_counts_once() {
        let mut window = Window::new(64 << 20);
        let run = 8 << 20;
        (0..8).for_each(|read| window.waited(run + read * 4096));
        assert_eq!(window.width(run), 2 * LEAST);
    }

    #[test]
    fn it_is_never_wider_than_trust_or_its_bound() {
        let mut window = Window::new(32 << 20);
        for step in 1..1000 {
            window.waited(step << 20);
        }
        assert_eq!(window.width(1 << 30), 32 << 20);
        assert_eq!(window.width(1 << 20), 4 << 20);
        assert_eq!(window.piece(1 << 30), 4 << 20);
        (0..20).for_each(|_| window.refused());
        assert_eq!(window.width(1 << 30), LEAST);
    }
}
