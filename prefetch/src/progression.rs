//! Offsets at a constant distance among the latest ones.
//!
//! Three offsets in progression are a suspicion, which random reads raise all the time; it is confirmed by
//! each further one that comes where it was expected. Only reads that memory could not answer are looked at:
//! the rest needs no help.

use rfuse_block::ByteRange;

/// Offsets remembered: a progression among so many others is still seen.
const OFFSETS: usize = 8;

/// Suspicions held at once.
const SUSPICIONS: usize = 8;

/// A further distance is not a pattern worth following: nothing a program does by counting is so sparse.
const STEP_MAX: u64 = 1 << 30;

/// A suspected progression.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progression {
    /// The latest read of it.
    pub(crate) last: ByteRange,
    /// From one to the next; negative when they come backwards.
    pub(crate) step: i64,
    /// How many there were.
    pub(crate) reads: u32,
}

impl Progression {
    fn next(self) -> Option<u64> {
        self.last.start().checked_add_signed(self.step)
    }
}

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Progressions {
    /// Latest last.
    offsets: Vec<u64>,
    /// Latest last.
    suspicions: Vec<Progression>,
}

impl Progressions {
    /// Takes in a read; the longest progression it belongs to, if any.
    pub(crate) fn note(&mut self, read: ByteRange) -> Option<Progression> {
        let found = self.confirmed(read).or_else(|| self.suspected(read));
        if self.offsets.len() == OFFSETS {
            self.offsets.remove(0);
        }
        self.offsets.push(read.start());
        found
    }

    /// Forgets the progression that has come to `read`: it is a stream now.
    pub(crate) fn take(&mut self, read: ByteRange) {
        self.suspicions.retain(|suspicion| suspicion.last != read);
    }

    fn confirmed(&mut self, read: ByteRange) -> Option<Progression> {
        let is_next = |it: &Progression| it.next() == Some(read.start()) && it.last.length() == read.length();
        let at = self.suspicions.iter().rposition(is_next)?;
        let mut progression = self.suspicions.remove(at);
        progression.reads += 1;
        progression.last = read;
        self.suspicions.push(progression);
        Some(progression)
    }

    fn suspected(&mut self, read: ByteRange) -> Option<Progression> {
        // Reads that touch each other are a run.
        let (before, after) = (read.start().checked_sub(read.length()), read.end());
        if before.is_some_and(|before| self.offsets.contains(&before)) || self.offsets.contains(&after) {
            return None;
        }
        let step = self.offsets.iter().rev().find_map(|&before| {
            let step = i64::try_from(i128::from(read.start()) - i128::from(before)).ok()?;
            let first = before.checked_add_signed(step.checked_neg()?)?;
            let plausible = step != 0 && step.unsigned_abs() <= STEP_MAX && step.unsigned_abs() >= read.length();
            (plausible && self.offsets.contains(&first)).then_some(step)
        })?;
        if self.suspicions.len() == SUSPICIONS {
            self.suspicions.remove(0);
        }
        let progression = Progression { last: read, step, reads: 3 };
        self.suspicions.push(progression);
        Some(progression)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads_of(offsets: impl IntoIterator<Item = u64>) -> Option<Progression> {
        let mut progressions = Progressions::default();
        offsets.into_iter().map(|offset| progressions.note(ByteRange::at(offset, 10))).last().unwrap()
    }

    #[test]
    fn a_constant_distance_is_seen_in_both_directions_and_among_others() {
        assert_eq!(reads_of([0, 100, 200, 300]).map(|it| (it.step, it.reads)), Some((100, 4)));
        assert_eq!(reads_of([900, 800, 700, 600, 500]).map(|it| (it.step, it.reads)), Some((-100, 5)));
        let two = [0, 5000, 100, 5070, 200, 5140, 300, 5210];
        assert_eq!(reads_of(two).map(|it| (it.step, it.reads)), Some((70, 4)));
    }

    #[test]
    fn a_plain_run_is_none() {
        assert_eq!(reads_of([0, 10, 20, 30, 40]), None);
        assert_eq!(reads_of([40, 30, 20, 10, 0]), None);
    }
}
