//! Whether the segment that was not used for the longest has to go.
//!
//! A segment is looked at when room is needed. If a good part of it was used since the last look it stays for two
//! looks, and one that is new for one; each costs the blocks that want in half a segment of refusals. So a reader
//! whose rounds are up to twice the disk keeps what fits: by the time everything has been looked at twice, every
//! block has had its turn. And a set nobody reads any more has made way once one to one and a half disks of others
//! have been fetched twice. Decided here, done by the writer.

/// What becomes of the segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It goes; its used blocks may move on.
    Leave,
    /// It stays, and this is how many blocks are refused before the next look.
    Stay {
        /// Blocks not to be written.
        refuse: u32,
    },
}

/// How often a new segment may stay without having been used.
pub(crate) const NEW: u8 = 1;
/// How often one that was used may, from then on.
const USED: u8 = 2;

/// Looks at a segment of `slots` places, `used` of which were used since the last look; `credit` is what is left
/// of its favour, and is taken away.
pub(crate) fn look(used: u32, slots: u32, credit: &mut u8) -> Verdict {
    if used * 4 >= slots {
        *credit = USED;
    }
    match credit.checked_sub(1) {
        None => Verdict::Leave,
        Some(rest) => {
            *credit = rest;
            Verdict::Stay { refuse: (slots / 2).max(1) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_segment_stays_once_one_that_was_used_twice_and_one_in_use_for_ever() {
        let stays = |used, credit: &mut u8| matches!(look(used, 100, credit), Verdict::Stay { refuse: 50 });
        let mut credit = NEW;
        assert_eq!([stays(0, &mut credit), stays(24, &mut credit)], [true, false]);
        assert!((0..10).all(|_| stays(25, &mut credit)));
        assert_eq!([stays(0, &mut credit), stays(0, &mut credit)], [true, false]);
    }
}
