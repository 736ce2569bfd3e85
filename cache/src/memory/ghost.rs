//! The names of blocks that left a short while ago, eight bytes each.
//!
//! Only a 32-bit fingerprint is kept, in sets of four, with the time it came in counted in departures: an
//! entry older than the limit means nothing, and in a full set the oldest gives way. A wrong match, once in a
//! billion look-ups, costs one block a better place than it earned.

/// Entries in a set.
const WAYS: usize = 4;

/// The blocks that left last.
#[derive(Debug)]
pub(crate) struct Ghost {
    /// Fingerprint above, time below; zero is empty.
    entries: Vec<u64>,
    limit: u32,
    now: u32,
}

impl Ghost {
    /// Room for the last `limit` departures.
    pub(crate) fn new(limit: u32) -> Self {
        let sets = (limit as usize).div_ceil(WAYS).max(1);
        Self { entries: vec![0; sets * WAYS], limit, now: 0 }
    }

    /// Bytes of bookkeeping.
    pub(crate) fn overhead(&self) -> usize {
        self.entries.capacity() * size_of::<u64>()
    }

    /// A block left.
    pub(crate) fn insert(&mut self, hash: u64) {
        self.now = self.now.wrapping_add(1);
        let now = self.now;
        let set = self.set(hash);
        let oldest =
            set.iter_mut().max_by_key(|entry| if **entry == 0 { u32::MAX } else { now.wrapping_sub(**entry as u32) });
        if let Some(entry) = oldest {
            *entry = fingerprint(hash) | u64::from(now);
        }
    }

    /// Whether a block left lately; it is forgotten by asking.
    pub(crate) fn take(&mut self, hash: u64) -> bool {
        let (now, limit) = (self.now, self.limit);
        let found = self.set(hash).iter_mut().find(|entry| **entry != 0 && **entry >> 32 << 32 == fingerprint(hash));
        found.is_some_and(|entry| now.wrapping_sub(std::mem::take(entry) as u32) < limit)
    }

    fn set(&mut self, hash: u64) -> &mut [u64] {
        let sets = (self.entries.len() / WAYS) as u64;
        let set = (((hash & 0xFFFF_FFFF) * sets) >> 32) as usize;
        &mut self.entries[set * WAYS..][..WAYS]
    }
}

/// The upper half of `hash`, in place.
fn fingerprint(hash: u64) -> u64 {
    hash >> 32 << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_left_lately_is_known_once() {
        let mut ghost = Ghost::new(100);
        ghost.insert(0xABCD_0000_1111);
        assert!(ghost.take(0xABCD_0000_1111));
        assert!(!ghost.take(0xABCD_0000_1111));
    }

    #[test]
    fn who_left_long_ago_is_forgotten() {
        let mut ghost = Ghost::new(64);
        let hash = |i: u64| (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for i in 0..1000 {
            ghost.insert(hash(i));
        }
        assert!((0..900).all(|i| !ghost.take(hash(i))));
        assert!((980..1000).filter(|&i| ghost.take(hash(i))).count() >= 15);
    }
}
