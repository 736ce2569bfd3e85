//! Where the bytes of a changed file are: in the spool, in the stored object, or both.
//!
//! Pure: no IO. The stored object is called the base; every byte that is not in the spool is the base's byte
//! at the same offset.

use rfuse_block::ByteRange;
use smallvec::SmallVec;

use super::ranges::RangeSet;

/// Where a run of bytes is read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The spool, at the same offset; what its file does not have is zero.
    Spool,
    /// The stored object, at the same offset.
    Base,
    /// Only at the store, as parts that nobody can read before the object is made of them.
    Away,
}

/// What a changed file is made of.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Layout {
    size: u64,
    /// Bytes of the base that are still part of the file, from its beginning.
    base_end: u64,
    /// Bytes the spool has.
    local: RangeSet,
    /// Bytes that the base does not have.
    dirty: RangeSet,
    /// Those of them that the spool does not have any more.
    away: RangeSet,
}

impl Layout {
    /// A file that is its base of `size` bytes, unchanged.
    pub(crate) fn of_base(size: u64) -> Self {
        Self { size, base_end: size, ..Self::default() }
    }

    /// Bytes in the file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The bytes that the base does not have.
    pub(crate) fn dirty(&self) -> &RangeSet {
        &self.dirty
    }

    /// Bytes of `range` that the spool does not have.
    pub(crate) fn growth(&self, range: ByteRange) -> u64 {
        range.length() - self.local.within(range).map(ByteRange::length).sum::<u64>()
    }

    /// Bytes that the spool has, holes that a longer size made included.
    pub(crate) fn spooled(&self) -> u64 {
        self.local.within(ByteRange::new(0, self.size)).map(ByteRange::length).sum()
    }

    /// Notes that the spool was written at `range`; a gap after the end becomes zeros.
    pub(crate) fn write(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let start = range.start().min(self.size);
        let range = ByteRange::new(start, range.end());
        self.local.insert(range);
        self.dirty.insert(range);
        self.away.remove(range);
        self.size = self.size.max(range.end());
    }

    /// Makes the file `size` bytes long; the spool must lose what is behind it.
    pub(crate) fn resize(&mut self, size: u64) {
        if size > self.size {
            self.write(ByteRange::new(self.size, size));
        } else {
            self.size = size;
            self.base_end = self.base_end.min(size);
            self.local.cut(size);
            self.dirty.cut(size);
            self.away.cut(size);
        }
    }

    /// Notes that bytes of the base were put into the spool, where it had none yet.
    pub(crate) fn keep(&mut self, range: ByteRange) {
        self.local.insert(range.clamp_to(self.base_end));
    }

    /// Notes that the file as it is became the base.
    pub(crate) fn stored(&mut self) {
        self.base_end = self.size;
        self.dirty = RangeSet::default();
        self.away = RangeSet::default();
    }

    /// Notes that the spool gave up the bytes of `range`, which were sent.
    pub(crate) fn give_away(&mut self, range: ByteRange) {
        self.local.remove(range);
        self.dirty.insert(range);
        self.away.insert(range);
        self.size = self.size.max(range.end());
    }

    /// Whether the spool has every byte of `range`.
    pub(crate) fn is_local(&self, range: ByteRange) -> bool {
        self.local.contains(range)
    }

    /// Whether a byte of `range` is only at the store, where nobody can read it yet.
    pub(crate) fn is_away(&self, range: ByteRange) -> bool {
        self.away.touches(range)
    }

    /// Whether any byte is.
    pub(crate) fn has_away(&self) -> bool {
        !self.away.is_empty()
    }

    /// Whether the base has every byte of `range`.
    pub(crate) fn is_base(&self, range: ByteRange) -> bool {
        range.end() <= self.base_end && !self.dirty.touches(range)
    }

    /// The file's bytes in `range`, by where they are, in order and without gaps up to the end of the file.
    pub(crate) fn pieces(&self, range: ByteRange) -> SmallVec<[(ByteRange, Source); 4]> {
        let range = range.clamp_to(self.size);
        let mut pieces = SmallVec::new();
        let mut at = range.start();
        for run in self.local.within(range) {
            self.elsewhere(ByteRange::new(at, run.start()), &mut pieces);
            pieces.push((run, Source::Spool));
            at = run.end();
        }
        self.elsewhere(ByteRange::new(at, range.end().max(at)), &mut pieces);
        pieces
    }

    /// The bytes of `gap`, which the spool does not have.
    fn elsewhere(&self, gap: ByteRange, pieces: &mut SmallVec<[(ByteRange, Source); 4]>) {
        let mut at = gap.start();
        for run in self.away.within(gap) {
            if at < run.start() {
                pieces.push((ByteRange::new(at, run.start()), Source::Base));
            }
            pieces.push((run, Source::Away));
            at = run.end();
        }
        if at < gap.end() {
            pieces.push((ByteRange::new(at, gap.end()), Source::Base));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, u64),
        Resize(u64),
        Away(u64, u64),
        Stored,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u64..80, 0u64..20).prop_map(|(at, length)| Step::Write(at, length)),
            2 => (0u64..100).prop_map(Step::Resize),
            1 => (0u64..80, 0u64..20).prop_map(|(at, length)| Step::Away(at, length)),
            1 => Just(Step::Stored),
        ]
    }

    proptest! {
        #[test]
        fn every_byte_is_read_from_where_it_is(size in 0u64..60, steps in proptest::collection::vec(step(), 0..30)) {
            // A byte is the number of the step that wrote it; the base is stored anew at each `Stored`.
            let (mut layout, mut file) = (Layout::of_base(size), vec![100u8; size as usize]);
            let (mut base, mut spool, mut parts) = (file.clone(), Vec::new(), vec![0; 200]);
            for (number, step) in (1u8..).zip(steps) {
                match step {
                    Step::Write(at, length) => {
                        let (start, end) = (at as usize, (at + length) as usize);
                        if length > 0 {
                            file.resize(file.len().max(end), 0);
                            file[start..end].fill(number);
                            spool.resize(spool.len().max(end), 0);
                            spool[start..end].fill(number);
                        }
                        layout.write(ByteRange::at(at, length));
                    }
                    Step::Resize(size) => {
                        file.resize(size as usize, 0);
                        spool.truncate(size as usize);
                        layout.resize(size);
                    }
                    Step::Away(at, length) => {
                        let range = ByteRange::at(at, length);
                        if length > 0 && layout.is_local(range) && layout.dirty().contains(range) {
                            layout.give_away(range);
                            // Zeros that a longer size made are not in it.
                            spool.resize(spool.len().max((at + length) as usize), 0);
                            spool[at as usize..(at + length) as usize].fill(255);
                            parts[at as usize..(at + length) as usize]
                                .copy_from_slice(&file[at as usize..(at + length) as usize]);
                        }
                    }
                    Step::Stored => {
                        base.clone_from(&file);
                        layout.stored();
                    }
                }
                prop_assert_eq!(layout.size(), file.len() as u64);
            }
            let mut read = Vec::new();
            for (run, source) in layout.pieces(ByteRange::new(0, u64::MAX)) {
                prop_assert_eq!(run.start(), read.len() as u64);
                let from = match source {
                    Source::Spool => &spool,
                    Source::Away => {
                        prop_assert!(layout.is_away(run) && !layout.is_base(run));
                        &parts
                    }
                    Source::Base => {
                        prop_assert!(run.end() <= layout.base_end);
                        prop_assert!(layout.is_base(run));
                        &base
                    }
                };
                read.extend((run.start()..run.end()).map(|at| from.get(at as usize).copied().unwrap_or(0)));
            }
            prop_assert_eq!(&read, &file);
            for (at, byte) in file.iter().enumerate() {
                let range = ByteRange::at(at as u64, 1);
                prop_assert!(!layout.is_base(range) || base[at] == *byte);
            }
        }
    }
}
