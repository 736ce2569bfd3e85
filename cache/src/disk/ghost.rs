//! The names of blocks that were fetched, so that one that is fetched again is known.
//!
//! Two generations of 16-bit fingerprints in sets of eight, four bytes a block of the disk in all. Names go into
//! the younger; when it has taken as many as the disk has blocks, the older is emptied and becomes the younger.
//! So a fetch is remembered for one to two times as many fetches as the disk has blocks. No lock: a name lost to
//! a race costs one more fetch, a wrong match, once in some thousands, one block written too early.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicUsize, Ordering::Relaxed};

use zerocopy::FromZeros;

/// Names in a set.
const WAYS: usize = 8;

/// What was fetched lately.
#[derive(Debug)]
pub(crate) struct DiskGhost {
    generations: [Box<[AtomicU16]>; 2],
    young: AtomicUsize,
    taken: AtomicU32,
    limit: u32,
}

impl DiskGhost {
    /// Remembers at least the last `limit` names, but for those that crowd one set.
    pub(crate) fn new(limit: u32) -> Self {
        let names = (limit as usize).div_ceil(WAYS).max(1) * WAYS;
        let generation = || <[AtomicU16]>::new_box_zeroed_with_elems(names).expect("the names of blocks fit in memory");
        Self {
            generations: [generation(), generation()],
            young: AtomicUsize::new(0),
            taken: AtomicU32::new(0),
            limit: limit.max(1),
        }
    }

    /// Bytes of bookkeeping.
    pub(crate) fn overhead(&self) -> usize {
        self.generations.iter().map(|names| size_of_val::<[AtomicU16]>(names)).sum()
    }

    /// Remembers the block of `fingerprint`; whether it was remembered already.
    pub(crate) fn touch(&self, fingerprint: u64) -> bool {
        let (set, name) = place_of(fingerprint, self.generations[0].len() / WAYS);
        let young = self.young.load(Relaxed) % 2;
        let holds = |which: usize| self.generations[which][set..set + WAYS].iter().any(|n| n.load(Relaxed) == name);
        if holds(young) {
            return true;
        }
        let ways = &self.generations[young][set..set + WAYS];
        let way = ways.iter().position(|n| n.load(Relaxed) == 0).unwrap_or(usize::from(name) % WAYS);
        ways[way].store(name, Relaxed);
        let seen = holds(1 - young);
        if self.taken.fetch_add(1, Relaxed) + 1 == self.limit {
            self.taken.store(0, Relaxed);
            self.generations[1 - young].iter().for_each(|n| n.store(0, Relaxed));
            self.young.store(1 - young, Relaxed);
        }
        seen
    }
}

/// Where the set of `fingerprint` begins, and its name there.
fn place_of(fingerprint: u64, sets: usize) -> (usize, u16) {
    let mixed = fingerprint.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = mixed ^ (mixed >> 32);
    let set = ((u128::from(mixed.wrapping_mul(0xD6E8_FEB8_6659_FD93)) * sets as u128) >> 64) as usize;
    ((set * WAYS), (mixed as u16).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(i: u64) -> u64 {
        (i + 1).wrapping_mul(0xA24B_AED4_963E_E407)
    }

    #[test]
    fn what_is_fetched_again_is_known_and_what_is_new_is_not() {
        let ghost = DiskGhost::new(10_000);
        let wrong = (0..10_000).filter(|&i| ghost.touch(name(i))).count();
        assert!(wrong < 20, "{wrong} new ones were taken for known");
        let known = (0..10_000).filter(|&i| ghost.touch(name(i))).count();
        assert!(known > 8500, "{known} of 10000 were known");
    }

    #[test]
    fn what_was_fetched_long_ago_is_forgotten() {
        let ghost = DiskGhost::new(1000);
        assert!((0..10_000).filter(|&i| ghost.touch(name(i))).count() < 30);
        let known = (0..7000).filter(|&i| ghost.touch(name(i))).count();
        assert!(known < 30, "{known}");
    }
}
