//! Where on disk a block lies: a table of chains through the places, cut into regions with a lock each.
//!
//! A place is one block's worth of one segment; all tables are as large at the start as they will ever be, and
//! touched only as they fill: fingerprint 8, checksum 8, link 4, chain head 4 and a use bit, 24.1 bytes a place.
//! The neighbours of a block, 64 to a group, have neighbouring heads under one lock. No lock is held across
//! anything that waits.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zerocopy::FromZeros;

use crate::disk::identity::{bit_of, fingerprint};
use crate::memory::index::{GROUP, Group};

/// What is known of a block on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) fingerprint: u64,
    pub(crate) checksum: u64,
}

/// The table.
#[derive(Debug)]
pub(crate) struct DiskIndex {
    /// Each region: the first place of each chain, plus one; zero is none.
    regions: Box<[Mutex<Vec<u32>>]>,
    fingerprints: Box<[AtomicU64]>,
    checksums: Box<[AtomicU64]>,
    next: Box<[AtomicU32]>,
    used: Box<[AtomicU64]>,
}

impl DiskIndex {
    /// A table for `places` places.
    pub(crate) fn new(places: u32) -> Self {
        let count = places as usize;
        let heads = count.max(GROUP as usize);
        let regions = (heads / (4 * GROUP as usize)).clamp(1, 1024);
        let heads = heads.div_ceil(regions).max(GROUP as usize);
        let words = |count| <[AtomicU64]>::new_box_zeroed_with_elems(count).expect("the index fits in memory");
        Self {
            regions: (0..regions).map(|_| Mutex::new(vec![0; heads])).collect(),
            fingerprints: words(count),
            checksums: words(count),
            next: <[AtomicU32]>::new_box_zeroed_with_elems(count).expect("the index fits in memory"),
            used: words(count.div_ceil(64)),
        }
    }

    /// Bytes of bookkeeping, when all of it is in use.
    pub(crate) fn overhead(&self) -> usize {
        let heads: usize = self.regions.iter().map(|region| size_of_val(region) + lock(region).capacity() * 4).sum();
        heads + self.fingerprints.len() * (8 + 8 + 4) + self.used.len() * 8
    }

    /// Calls `seen` with bit, place and checksum of each block of `set` that has a place, which it keeps while
    /// `seen` runs.
    pub(crate) fn find(&self, group: Group, set: u64, mut seen: impl FnMut(u32, u32, u64)) {
        let mut region = None;
        for bit in crate::memory::bits(set) {
            let mark = fingerprint(group, bit);
            let region = region.get_or_insert_with(|| self.region(mark));
            if let Some(place) = self.place_of(region, mark) {
                seen(bit, place, self.checksums[place as usize].load(Relaxed));
            }
        }
    }

    /// Whether the block of `fingerprint` has a place.
    pub(crate) fn holds(&self, fingerprint: u64) -> bool {
        self.place_of(&self.region(fingerprint), fingerprint).is_some()
    }

    /// Notes that `entry` lies in `place`, which is empty; not if it has a place already.
    pub(crate) fn insert(&self, entry: Entry, place: u32) -> bool {
        let mut region = self.region(entry.fingerprint);
        let at = place as usize;
        let is_empty = self.fingerprints[at].load(Relaxed) == 0;
        if entry.fingerprint == 0 || !is_empty || self.place_of(&region, entry.fingerprint).is_some() {
            return false;
        }
        self.set_used(place, false);
        self.fingerprints[at].store(entry.fingerprint, Relaxed);
        self.checksums[at].store(entry.checksum, Relaxed);
        let head = region.head(entry.fingerprint);
        self.next[at].store(region.heads[head], Relaxed);
        region.heads[head] = place + 1;
        true
    }

    /// What lies in `place`.
    pub(crate) fn entry(&self, place: u32) -> Option<Entry> {
        let entry = Entry {
            fingerprint: self.fingerprints[place as usize].load(Relaxed),
            checksum: self.checksums[place as usize].load(Relaxed),
        };
        (entry.fingerprint != 0).then_some(entry)
    }

    /// Forgets what lies in `place` if that is the block of `fingerprint`: whether it was.
    pub(crate) fn forget(&self, fingerprint: u64, place: u32) -> bool {
        if fingerprint == 0 {
            return false;
        }
        let mut region = self.region(fingerprint);
        let head = region.head(fingerprint);
        let mut before: Option<usize> = None;
        let mut link = region.heads[head];
        while let Some(found) = link.checked_sub(1) {
            let next = self.next[found as usize].load(Relaxed);
            if found == place && self.fingerprints[found as usize].load(Relaxed) == fingerprint {
                match before {
                    None => region.heads[head] = next,
                    Some(before) => self.next[before].store(next, Relaxed),
                }
                self.fingerprints[found as usize].store(0, Relaxed);
                return true;
            }
            before = Some(found as usize);
            link = next;
        }
        false
    }

    /// Forgets the block of `fingerprint`: the place it had.
    pub(crate) fn forget_block(&self, fingerprint: u64) -> Option<u32> {
        let place = self.place_of(&self.region(fingerprint), fingerprint)?;
        self.forget(fingerprint, place).then_some(place)
    }

    /// Notes that the block in `place` was used.
    pub(crate) fn use_place(&self, place: u32) {
        self.set_used(place, true);
    }

    /// Whether the block in `place` was used since the segment was last looked at.
    pub(crate) fn is_used(&self, place: u32) -> bool {
        self.used[place as usize / 64].load(Relaxed) >> (place % 64) & 1 == 1
    }

    /// How many blocks in `places` were used since the last look.
    pub(crate) fn count_used(&self, places: Range<u32>) -> u32 {
        places.filter(|&place| self.is_used(place) && self.entry(place).is_some()).count() as u32
    }

    /// Begins a new look at `places`.
    pub(crate) fn clear_used(&self, places: Range<u32>) {
        places.for_each(|place| self.set_used(place, false));
    }

    fn set_used(&self, place: u32, used: bool) {
        let (word, bit) = (&self.used[place as usize / 64], 1 << (place % 64));
        if (word.load(Relaxed) & bit != 0) != used {
            if used {
                word.fetch_or(bit, Relaxed)
            } else {
                word.fetch_and(!bit, Relaxed)
            };
        }
    }

    fn place_of(&self, region: &Region<'_>, fingerprint: u64) -> Option<u32> {
        let mut link = region.heads[region.head(fingerprint)];
        while let Some(place) = link.checked_sub(1) {
            if self.fingerprints[place as usize].load(Relaxed) == fingerprint {
                return Some(place);
            }
            link = self.next[place as usize].load(Relaxed);
        }
        None
    }

    /// The region of a group, by the fingerprint of any of its blocks.
    fn region(&self, fingerprint: u64) -> Region<'_> {
        Region { heads: lock(&self.regions[scale(fingerprint >> 32, self.regions.len())]) }
    }
}

fn lock(region: &Mutex<Vec<u32>>) -> MutexGuard<'_, Vec<u32>> {
    region.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `part` of 2^32, scaled to below `size`.
fn scale(part: u64, size: usize) -> usize {
    ((part * size as u64) >> 32) as usize
}

struct Region<'a> {
    heads: MutexGuard<'a, Vec<u32>>,
}

impl Region<'_> {
    fn head(&self, fingerprint: u64) -> usize {
        // The 26 bits above the bit of the block; the region was chosen by the upper half.
        let start = scale((fingerprint & 0xFFFF_FFC0) | 0x20, self.heads.len());
        let head = start + bit_of(fingerprint) as usize;
        if head < self.heads.len() { head } else { head - self.heads.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectTag;
    use proptest::prelude::*;
    use rfuse_block::BlockIndex;
    use std::collections::HashMap;

    fn group_of(tag: u64, block: u64) -> (Group, u32) {
        Group::of(ObjectTag(tag, 7), BlockIndex(block))
    }

    proptest! {
        #[test]
        fn the_index_answers_as_a_map_would(
            places in 1u32..300,
            steps in proptest::collection::vec((0u8..6, 0u64..3, 0u64..200), 1..500),
        ) {
            let index = DiskIndex::new(places);
            let mut model: HashMap<u64, (u32, u64, bool)> = HashMap::new();
            let mut empty: Vec<u32> = (0..places).collect();
            for (number, (what, tag, block)) in steps.into_iter().enumerate() {
                let (group, bit) = group_of(tag, block);
                let mark = fingerprint(group, bit);
                let mut found = None;
                index.find(group, 1 << bit, |at, place, checksum| found = Some((at, place, checksum)));
                prop_assert_eq!(found, model.get(&mark).map(|&(place, checksum, _)| (bit, place, checksum)));
                match what {
                    0 | 1 => {
                        if let Some(&place) = empty.last() {
                            let entry = Entry { fingerprint: mark, checksum: number as u64 };
                            let inserted = index.insert(entry, place);
                            prop_assert_eq!(inserted, !model.contains_key(&mark));
                            if inserted {
                                model.insert(mark, (place, number as u64, false));
                                empty.pop();
                            }
                        }
                    }
                    2 => {
                        let place = index.forget_block(mark);
                        prop_assert_eq!(place, model.remove(&mark).map(|(place, ..)| place));
                        empty.extend(place);
                    }
                    3 => {
                        // A place that holds another block is left alone.
                        let wrong = model.get(&mark).map_or(0, |(place, ..)| (place + 1) % places);
                        if model.get(&mark).is_none_or(|(place, ..)| *place != wrong) {
                            prop_assert!(!index.forget(mark, wrong));
                        }
                    }
                    4 => {
                        if let Some((place, _, used)) = model.get_mut(&mark) {
                            index.use_place(*place);
                            *used = true;
                        }
                    }
                    _ => {
                        let used = model.values().filter(|(.., used)| *used).count();
                        prop_assert_eq!(index.count_used(0..places) as usize, used);
                    }
                }
            }
            for (mark, (place, checksum, _)) in model {
                prop_assert_eq!(index.entry(place), Some(Entry { fingerprint: mark, checksum }));
                prop_assert!(index.holds(mark));
            }
        }
    }

    #[test]
    fn the_bookkeeping_is_at_most_32_bytes_a_block_with_the_ghost() {
        for places in [16_384_u32, 262_144, 2_000_000] {
            let index = DiskIndex::new(places);
            let all = index.overhead() + crate::disk::ghost::DiskGhost::new(places).overhead();
            let each = all as f64 / f64::from(places);
            assert!(each <= 29.0, "{each} bytes a block");
        }
    }
}
