//! A half-open run of bytes inside an object.

use std::fmt;

/// The bytes `start..end` of an object; never inverted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteRange {
    start: u64,
    end: u64,
}

impl ByteRange {
    /// The bytes from `start` up to and without `end`.
    ///
    /// # Panics
    /// If `end < start`: ranges from outside are built with [`ByteRange::at`].
    pub fn new(start: u64, end: u64) -> Self {
        assert!(start <= end, "a byte range runs forwards: {start}..{end}");
        Self { start, end }
    }

    /// `length` bytes from `offset` on; the end saturates at `u64::MAX`.
    pub fn at(offset: u64, length: u64) -> Self {
        Self { start: offset, end: offset.saturating_add(length) }
    }

    /// Offset of the first byte.
    pub fn start(self) -> u64 {
        self.start
    }

    /// Offset after the last byte.
    pub fn end(self) -> u64 {
        self.end
    }

    /// Bytes in the range.
    pub fn length(self) -> u64 {
        self.end - self.start
    }

    /// Whether the range holds no byte.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The part of the range below `size`: what a read of an object of `size` bytes can deliver.
    pub fn clamp_to(self, size: u64) -> Self {
        Self { start: self.start.min(size), end: self.end.min(size) }
    }

    /// What is left after the first `length` bytes have arrived.
    pub fn skip(self, length: u64) -> Self {
        Self { start: self.start.saturating_add(length).min(self.end), end: self.end }
    }

    /// The bytes both ranges hold; empty (at the later start) when they do not touch.
    pub fn intersect(self, other: Self) -> Self {
        let start = self.start.max(other.start);
        Self { start, end: self.end.min(other.end).max(start) }
    }

    /// Whether every byte of `other` lies in this range.
    pub fn contains(self, other: Self) -> bool {
        other.is_empty() || (self.start <= other.start && other.end <= self.end)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl fmt::Debug for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_clamped_range_never_passes_the_size(offset: u64, length: u64, size: u64) {
            let clamped = ByteRange::at(offset, length).clamp_to(size);
            prop_assert!(clamped.end() <= size);
            prop_assert!(clamped.length() <= length);
        }

        #[test]
        fn skipping_what_arrived_leaves_the_missing_tail(offset in 0..u64::MAX / 2, length in 0..1u64 << 40, got: u64) {
            let range = ByteRange::at(offset, length);
            let rest = range.skip(got);
            prop_assert_eq!(rest.end(), range.end());
            prop_assert_eq!(rest.length(), length.saturating_sub(got));
        }

        #[test]
        fn an_intersection_lies_in_both(a: u64, m: u32, b: u64, n: u32) {
            let (x, y) = (ByteRange::at(a, m.into()), ByteRange::at(b, n.into()));
            let both = x.intersect(y);
            prop_assert!(x.contains(both) && y.contains(both));
            prop_assert_eq!(both.length(), y.intersect(x).length());
        }
    }
}
