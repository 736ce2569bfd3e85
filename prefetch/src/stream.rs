//! One stream: where it has come to, how far it has been fetched, and what comes next.

use rfuse_block::ByteRange;
use rfuse_config::PrefetchConfig;

use crate::plan::{Read, StreamId};
use crate::window::Window;

/// How a stream moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pattern {
    /// From lower offsets to higher ones, with no gap.
    Forward,
    /// The same, downwards.
    Backward,
    /// Pieces of `length` bytes, `step` bytes from one to the next.
    Strided { step: i64, length: u64 },
}

/// How far from where it is expected a read may begin and still belong: the kernel sends pieces of one large
/// read at once, and several threads take them.
const SLACK: u64 = 1 << 20;

/// Pieces of a strided stream that may be skipped.
const STEPS_SKIPPED: u64 = 8;

/// Requests that one read sets off at most.
const PLANNED_MAX: usize = 64;

/// Larger requests of the kernel's cost so little a byte that pushing would only copy once more.
const PUSHED_READ_MAX: u64 = 32 << 10;

/// What filling the page cache ahead begins with.
const PUSH_LEAST: u64 = 256 << 10;

/// The kernel's page. Larger ones exist and only push a little less.
const PAGE: u64 = 4096;

/// A stream that is followed. Offsets run as the stream does: for one that moves backwards, `next` is the
/// lowest offset read and `frontier` lies below it.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pattern: Pattern,
    /// Size of the object.
    size: u64,
    start: u64,
    next: u64,
    frontier: u64,
    window: Window,
    /// How far the page cache has been filled.
    pushed: u64,
    push_width: u64,
    push_max: u64,
    /// Bytes planned, and those of them that were read.
    pub(crate) planned: u64,
    pub(crate) used: u64,
    /// The tracker's count of reads when one last belonged to it.
    pub(crate) seen: u64,
}

impl Stream {
    /// A stream that has come from `start` to `next` in an object of `size` bytes.
    pub(crate) fn new(
        id: StreamId,
        pattern: Pattern,
        (start, next): (u64, u64),
        size: u64,
        config: &PrefetchConfig,
    ) -> Self {
        Self {
            id,
            pattern,
            size,
            start,
            next,
            frontier: next,
            window: Window::new(config.window),
            pushed: 0,
            push_width: PUSH_LEAST.min(config.push),
            push_max: config.push,
            planned: 0,
            used: 0,
            seen: 0,
        }
    }

    /// Whether `read` belongs to it.
    pub(crate) fn takes(&self, read: ByteRange) -> bool {
        match self.pattern {
            Pattern::Forward => {
                let far = self.frontier.max(self.pushed).max(self.next + 2 * read.length());
                let near = self.next.saturating_sub(SLACK).max(self.start);
                near <= read.start() && read.start() <= far
            }
            Pattern::Backward => {
                let far = self.frontier.min(self.next.saturating_sub(2 * read.length()));
                let near = (self.next + SLACK).min(self.start);
                far <= read.end() && read.end() <= near
            }
            Pattern::Strided { step, length } => {
                let way = i128::from(read.start()) - i128::from(self.next);
                let (steps, rest) = (way / i128::from(step), way % i128::from(step));
                rest == 0 && read.length() == length && (0..=i128::from(STEPS_SKIPPED)).contains(&steps)
            }
        }
    }

    /// Bytes it has come, gaps not counted.
    pub(crate) fn run(&self) -> u64 {
        let span = self.next.abs_diff(self.start);
        match self.pattern {
            Pattern::Forward | Pattern::Backward => span,
            Pattern::Strided { step, length } => span / step.unsigned_abs() * length,
        }
    }

    /// Takes in a read that belongs to it.
    pub(crate) fn note(&mut self, read: &Read) {
        let range = read.range;
        let before = self.waiting();
        self.next = match self.pattern {
            Pattern::Forward => self.next.max(range.end()),
            Pattern::Backward => self.next.min(range.start()),
            Pattern::Strided { step, .. } => range.start().saturating_add_signed(step),
        };
        // What is passed counts as read: the kernel does not tell of each page, and threads overtake each other.
        self.used += before - self.waiting().min(before);
        self.window.bound(read.share);
        if let Some(now) = read.waited {
            self.window.waited(self.run(), now);
        }
        self.window.holds(2 * range.length());
    }

    /// Bytes planned that the reader has not come to.
    pub(crate) fn waiting(&self) -> u64 {
        match self.pattern {
            Pattern::Forward => self.frontier.saturating_sub(self.next),
            Pattern::Backward => self.next.saturating_sub(self.frontier),
            Pattern::Strided { step, length } => {
                let is_behind = if step > 0 { self.frontier < self.next } else { self.frontier > self.next };
                let steps = self.frontier.abs_diff(self.next) / step.unsigned_abs();
                if is_behind { 0 } else { steps * length }
            }
        }
    }

    /// What is missing up to the width of the window, nearest first.
    pub(crate) fn fetch(&mut self) -> Vec<ByteRange> {
        let mut planned = Vec::new();
        while planned.len() < PLANNED_MAX
            && let Some(range) = self.following()
        {
            self.planned += range.length();
            planned.push(range);
        }
        planned
    }

    fn following(&mut self) -> Option<ByteRange> {
        let run = self.run();
        let (width, piece) = (self.window.width(run), self.window.piece(run));
        match self.pattern {
            Pattern::Forward => {
                let from = self.frontier.max(self.next);
                let end = cut(from, piece).min(self.size);
                if from >= end || end > (self.next + width).min(self.size) {
                    return None;
                }
                self.frontier = end;
                Some(ByteRange::new(from, end))
            }
            Pattern::Backward => {
                let from = self.frontier.min(self.next);
                let end = from.saturating_sub(1) / piece * piece;
                let end = if from - end < piece / 2 { end.saturating_sub(piece) } else { end };
                if from == 0 || end < self.next.saturating_sub(width) {
                    return None;
                }
                self.frontier = end;
                Some(ByteRange::new(end, from))
            }
            Pattern::Strided { step, length } => {
                let is_behind = if step > 0 { self.frontier < self.next } else { self.frontier > self.next };
                let from = if is_behind { self.next } else { self.frontier };
                let steps = from.abs_diff(self.next) / step.unsigned_abs();
                let is_inside = from.checked_add(length).is_some_and(|end| end <= self.size);
                if !is_inside || (steps + 1) * length > width {
                    return None;
                }
                // Where the next one would begin before the object or behind every offset, nothing follows.
                self.frontier = from.checked_add_signed(step)?;
                Some(ByteRange::at(from, length))
            }
        }
    }

    /// `range` was not fetched, for lack of room: it will be planned again, and less with it.
    pub(crate) fn refused(&mut self, range: ByteRange) {
        self.window.refused();
        let before = self.waiting();
        self.frontier = match self.pattern {
            Pattern::Forward => self.frontier.min(range.start()),
            Pattern::Backward => self.frontier.max(range.end()),
            Pattern::Strided { step, .. } if step > 0 => self.frontier.min(range.start()),
            Pattern::Strided { .. } => self.frontier.max(range.start()),
        };
        self.planned -= before - self.waiting();
    }

    /// What to put into the page cache after `read`.
    ///
    /// The kernel does not tell of reads that its pages answer. So half of the width is pushed at a time, and
    /// the first page of each half is left out: asking for it tells where the reader is.
    pub(crate) fn push(&mut self, read: &Read) -> Option<ByteRange> {
        if self.pattern != Pattern::Forward || !read.paged || read.range.length() > PUSHED_READ_MAX {
            return None;
        }
        self.pushed = self.pushed.max(self.next.next_multiple_of(PAGE));
        let half = self.push_width / 2 / PAGE * PAGE;
        if self.pushed - self.next > half || half <= PAGE {
            return None;
        }
        let pushed = ByteRange::new(self.pushed + PAGE, self.pushed + half).clamp_to(self.size);
        self.pushed += half;
        let trusted = (2 * self.run()).next_power_of_two();
        self.push_width = (2 * self.push_width).min(trusted).max(PUSH_LEAST).min(self.push_max);
        self.window.holds(2 * self.push_width);
        (!pushed.is_empty()).then_some(pushed)
    }
}

/// Where the piece that begins at `from` ends: at a multiple of `piece`, so that a short first one does not
/// shift all others.
fn cut(from: u64, piece: u64) -> u64 {
    let end = (from / piece + 1) * piece;
    if end - from < piece / 2 { end + piece } else { end }
}
