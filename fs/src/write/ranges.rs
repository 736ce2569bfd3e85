//! A set of bytes as ranges that neither touch nor overlap.
//!
//! Bound: one entry for each run of bytes that was written apart from others; sixteen bytes and the tree's own.

use std::collections::BTreeMap;

use rfuse_block::ByteRange;

/// Offsets, by run: start to end.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct RangeSet(BTreeMap<u64, u64>);

impl RangeSet {
    /// Adds the bytes of `range`.
    pub(crate) fn insert(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start(), range.end());
        // The runs that overlap or touch; none of them begins after the new end.
        while let Some((&at, &until)) = self.0.range(..=end).next_back() {
            if until < start {
                break;
            }
            self.0.remove(&at);
            (start, end) = (start.min(at), end.max(until));
        }
        self.0.insert(start, end);
    }

    /// Takes the bytes of `range` out.
    pub(crate) fn remove(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        while let Some((&at, &until)) = self.0.range(..range.end()).next_back() {
            if until <= range.start() {
                break;
            }
            self.0.remove(&at);
            if at < range.start() {
                self.0.insert(at, range.start());
            }
            if until > range.end() {
                self.0.insert(range.end(), until);
            }
        }
    }

    /// Takes out everything from `size` on.
    pub(crate) fn cut(&mut self, size: u64) {
        self.remove(ByteRange::new(size, u64::MAX));
    }

    /// The runs, in order.
    #[cfg(test)]
    fn iter(&self) -> impl Iterator<Item = ByteRange> {
        self.0.iter().map(|(&start, &end)| ByteRange::new(start, end))
    }

    /// What of the set lies in `range`, in order.
    pub(crate) fn within(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> {
        let first = self.0.range(..=range.start()).next_back().map_or(range.start(), |(&start, _)| start);
        let runs = self.0.range(first..range.end().max(first));
        let cut = runs.map(move |(&start, &end)| ByteRange::new(start, end).intersect(range));
        cut.filter(|run| !run.is_empty())
    }

    /// Whether it holds every byte of `range`.
    pub(crate) fn contains(&self, range: ByteRange) -> bool {
        range.is_empty() || self.within(range).next() == Some(range)
    }

    /// Whether it holds any byte of `range`.
    pub(crate) fn touches(&self, range: ByteRange) -> bool {
        self.within(range).next().is_some()
    }

    /// Whether it holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64, u64),
        Remove(u64, u64),
        Cut(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u64..60, 0u64..20).prop_map(|(at, length)| Step::Insert(at, length)),
            (0u64..60, 0u64..20).prop_map(|(at, length)| Step::Remove(at, length)),
            (0u64..60).prop_map(Step::Cut),
        ]
    }

    proptest! {
        #[test]
        fn it_is_the_set_of_its_bytes(
            steps in proptest::collection::vec(step(), 0..40), at in 0u64..60, length in 0u64..20,
        ) {
            let (mut set, mut model) = (RangeSet::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Insert(at, length) => {
                        set.insert(ByteRange::at(at, length));
                        model.extend(at..at + length);
                    }
                    Step::Remove(at, length) => {
                        set.remove(ByteRange::at(at, length));
                        model.retain(|byte| !(at..at + length).contains(byte));
                    }
                    Step::Cut(size) => {
                        set.cut(size);
                        model.retain(|byte| *byte < size);
                    }
                }
            }
            let bytes: BTreeSet<u64> = set.iter().flat_map(|run| run.start()..run.end()).collect();
            prop_assert_eq!(&bytes, &model);
            let runs: Vec<ByteRange> = set.iter().collect();
            prop_assert!(runs.windows(2).all(|two| two[0].end() < two[1].start()), "{:?}", runs);
            let range = ByteRange::at(at, length);
            let within: Vec<u64> = set.within(range).flat_map(|run| run.start()..run.end()).collect();
            let expected: Vec<u64> = model.range(at..at + length).copied().collect();
            prop_assert_eq!(set.contains(range), expected.len() as u64 == length);
            prop_assert_eq!(set.touches(range), !expected.is_empty());
            prop_assert_eq!(within, expected);
        }
    }
}
