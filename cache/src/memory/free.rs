//! Which slots of the pool are free: a bitmap with summaries, a little over one bit a slot.
//!
//! Slots are taken in address order from where the last ones were taken, so the blocks of one fetch lie side
//! by side whenever the free slots do: one buffer to land in and one slice to write from, not 256 of them.

use smallvec::SmallVec;

/// `count` slots side by side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// Runs of slots, in the order of the blocks they hold.
pub(crate) type Runs = SmallVec<[Run; 2]>;

/// Appends `run`, joined with the last one where they touch.
pub(crate) fn push_run(runs: &mut Runs, run: Run) {
    match runs.last_mut() {
        Some(last) if last.first + last.count == run.first => last.count += run.count,
        _ => runs.push(run),
    }
}

/// The set of free slots.
#[derive(Debug)]
pub(crate) struct FreeSlots {
    /// `levels[0]` has a bit a slot, each level above a bit a word of the one below.
    levels: SmallVec<[Vec<u64>; 6]>,
    count: usize,
    cursor: u32,
}

impl FreeSlots {
    /// All of `slots` slots free.
    pub(crate) fn full(slots: u32) -> Self {
        let mut levels = SmallVec::new();
        let mut bits = slots as usize;
        loop {
            let mut words = vec![u64::MAX; bits.div_ceil(64)];
            if let (Some(last), 1..) = (words.last_mut(), bits % 64) {
                *last = (1 << (bits % 64)) - 1;
            }
            bits = words.len();
            levels.push(words);
            if bits <= 1 {
                return Self { levels, count: slots as usize, cursor: 0 };
            }
        }
    }

    /// How many are free.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of bookkeeping.
    pub(crate) fn overhead(&self) -> usize {
        self.levels.iter().map(|words| words.capacity() * 8).sum()
    }

    /// Makes `slot` free, which it is not yet.
    pub(crate) fn insert(&mut self, slot: u32) {
        let mut bit = slot as usize;
        for words in &mut self.levels {
            let before = words[bit / 64];
            words[bit / 64] |= 1 << (bit % 64);
            if before != 0 {
                break;
            }
            bit /= 64;
        }
        self.count += 1;
    }

    /// Takes `count` slots, if so many are free.
    pub(crate) fn take(&mut self, count: usize) -> Option<Runs> {
        if count > self.count {
            return None;
        }
        let mut runs = Runs::new();
        let mut missing = count;
        while missing > 0 {
            let first = self.next_from(0, self.cursor as usize).or_else(|| self.next_from(0, 0))?;
            let run = self.take_in_word(first, missing);
            missing -= run.count as usize;
            self.cursor = run.first + run.count;
            push_run(&mut runs, run);
        }
        self.count -= count;
        Some(runs)
    }

    /// Takes the free neighbours from `first` on, at most `limit`, without leaving their word.
    fn take_in_word(&mut self, first: usize, limit: usize) -> Run {
        let (word, bit) = (first / 64, first % 64);
        let count = ((self.levels[0][word] >> bit).trailing_ones() as usize).min(limit);
        self.levels[0][word] &= !((u64::MAX >> (64 - count)) << bit);
        self.clear_summaries(word);
        Run { first: first as u32, count: count as u32 }
    }

    fn clear_summaries(&mut self, mut word: usize) {
        for level in 1..self.levels.len() {
            if self.levels[level - 1][word] != 0 {
                break;
            }
            self.levels[level][word / 64] &= !(1 << (word % 64));
            word /= 64;
        }
    }

    /// The first set bit of `level` at or after `from`.
    fn next_from(&self, level: usize, from: usize) -> Option<usize> {
        let words = self.levels.get(level)?;
        let word = *words.get(from / 64)? & (u64::MAX << (from % 64));
        if word != 0 {
            return Some(from / 64 * 64 + word.trailing_zeros() as usize);
        }
        let next = self.next_from(level + 1, from / 64 + 1)?;
        Some(next * 64 + words[next].trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn fresh_slots_come_as_one_run() {
        let mut free = FreeSlots::full(10_000);
        assert_eq!(free.take(3000).unwrap().as_slice(), [Run { first: 0, count: 3000 }]);
        assert_eq!(free.take(7000).unwrap().as_slice(), [Run { first: 3000, count: 7000 }]);
        assert_eq!(free.take(1), None);
    }

    proptest! {
        #[test]
        fn a_slot_is_taken_once_until_it_is_given_back(
            slots in 1u32..9000, steps in proptest::collection::vec((any::<bool>(), 1usize..300), 1..80),
        ) {
            let mut free = FreeSlots::full(slots);
            let mut taken = BTreeSet::new();
            for (give, amount) in steps {
                if give {
                    let back: Vec<u32> = taken.iter().copied().step_by(1 + amount % 5).take(amount).collect();
                    for slot in back {
                        taken.remove(&slot);
                        free.insert(slot);
                    }
                } else if let Some(runs) = free.take(amount) {
                    for slot in runs.iter().flat_map(|run| run.first..run.first + run.count) {
                        prop_assert!(slot < slots && taken.insert(slot));
                    }
                } else {
                    prop_assert!(taken.len() + amount > slots as usize);
                }
                prop_assert_eq!(free.count() + taken.len(), slots as usize);
            }
        }
    }
}
