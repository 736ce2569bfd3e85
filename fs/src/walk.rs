//! Recognises a recursive walk (`find`, `du`, `rsync`, `ls -R`) by the directories that are opened.
//!
//! A walk lists a directory, then the first directory in it, then the first in that or the next beside it.
//! From the second directory below an ancestor on, listing the ancestor flat (without a delimiter) brings a
//! thousand names a request where listing by directory brings one directory. So: the ancestor that is listed
//! flat is the deepest one with two directories opened below it, the first of which was its own first
//! directory, so that the flat listing starts where the walker is; or, for walkers in an order of their own,
//! one with eight opened below it, wherever they lie.
//!
//! Pure: takes facts and time, answers with a decision; no IO, no clock. Bound: the last 64 directories.

use std::collections::VecDeque;
use std::time::Duration;

use rfuse_block::ObjectKey;

use crate::expiry::Moment;

/// A walker opens the next directory within this time; a person seldom does.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Directories opened below an ancestor, the first of them its first directory, that make a walk.
const BELOW_IN_ORDER: u32 = 2;

/// Directories opened below an ancestor in any order that make a walk.
const BELOW_IN_ANY_ORDER: u32 = 8;

/// Directories remembered.
const RECENT_MAX: usize = 64;

/// What opening a directory means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    /// Nothing but that this directory is wanted.
    Alone,
    /// Somebody walks everything below this directory.
    Walk(ObjectKey),
}

/// The directories opened lately.
#[derive(Debug, Default)]
pub(crate) struct Walker {
    recent: VecDeque<Recent>,
}

#[derive(Debug)]
struct Recent {
    prefix: ObjectKey,
    /// When it or something below it was opened last.
    touched: Moment,
    below: u32,
    /// Whether the first one below was its own first directory.
    in_order: bool,
    /// Whether it has been listed flat already.
    walked: bool,
}

impl Walker {
    /// The directory of `prefix` is opened at `now`; `is_first` says whether it is the first directory in the
    /// one that holds it, `is_known` whether its names are known already: a walk over what is known needs
    /// nothing, and counts for when it comes to what is not.
    pub(crate) fn opened(&mut self, prefix: &ObjectKey, is_first: bool, is_known: bool, now: Moment) -> Decision {
        self.recent.retain(|recent| now.since(recent.touched) <= PAUSE_MAX);
        let parent = crate::name::split(prefix.as_bytes()).map(|(parent, _)| parent);
        let mut walked: Option<&mut Recent> = None;
        for recent in &mut self.recent {
            let key = recent.prefix.as_bytes();
            if key.len() >= prefix.as_bytes().len() || !prefix.as_bytes().starts_with(key) {
                continue;
            }
            if recent.below == 0 {
                recent.in_order = is_first && parent == Some(key);
            }
            recent.below += 1;
            recent.touched = now;
            let enough = if recent.in_order { BELOW_IN_ORDER } else { BELOW_IN_ANY_ORDER };
            let deeper = walked.as_ref().is_none_or(|other| other.prefix.as_bytes().len() < key.len());
            if recent.below >= enough && deeper && !recent.walked && !is_known {
                walked = Some(recent);
            }
        }
        let decision = walked.map_or(Decision::Alone, |recent| {
            recent.walked = true;
            Decision::Walk(recent.prefix.clone())
        });
        self.remember(prefix, now);
        decision
    }

    fn remember(&mut self, prefix: &ObjectKey, now: Moment) {
        if let Some(known) = self.recent.iter_mut().find(|recent| recent.prefix == *prefix) {
            known.touched = now;
            return;
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        let recent = Recent { prefix: prefix.clone(), touched: now, below: 0, in_order: false, walked: false };
        self.recent.push_back(recent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expiry::Clock;

    fn opened(walker: &mut Walker, prefix: &str, is_first: bool, clock: &Clock) -> Decision {
        walker.opened(&ObjectKey::from(prefix), is_first, false, clock.now())
    }

    #[test]
    fn the_second_directory_below_in_order_makes_a_walk() {
        let (mut walker, clock) = (Walker::default(), Clock::manual());
        assert_eq!(opened(&mut walker, "", false, &clock), Decision::Alone);
        assert_eq!(opened(&mut walker, "a/", true, &clock), Decision::Alone);
        assert_eq!(opened(&mut walker, "a/b/", true, &clock), Decision::Walk(ObjectKey::from("")));
        assert_eq!(opened(&mut walker, "a/b/c/", true, &clock), Decision::Walk(ObjectKey::from("a/")));
    }

    #[test]
    fn looking_around_by_hand_is_no_walk() {
        let (mut walker, clock) = (Walker::default(), Clock::manual());
        for prefix in ["", "a/", "a/b/", "a/b/c/"] {
            assert_eq!(opened(&mut walker, prefix, true, &clock), Decision::Alone);
            clock.advance(Duration::from_secs(3));
        }
    }

    #[test]
    fn a_walk_that_begins_elsewhere_is_listed_from_where_it_begins() {
        let (mut walker, clock) = (Walker::default(), Clock::manual());
        opened(&mut walker, "", false, &clock);
        assert_eq!(opened(&mut walker, "m/", false, &clock), Decision::Alone);
        assert_eq!(opened(&mut walker, "m/a/", true, &clock), Decision::Alone);
        assert_eq!(opened(&mut walker, "m/b/", false, &clock), Decision::Walk(ObjectKey::from("m/")));
    }

    #[test]
    fn a_walk_is_listed_flat_from_the_first_directory_that_is_not_known() {
        let (mut walker, clock) = (Walker::default(), Clock::manual());
        for (prefix, is_first) in [("", false), ("a/", true), ("b/", false), ("c/", false)] {
            assert_eq!(walker.opened(&ObjectKey::from(prefix), is_first, true, clock.now()), Decision::Alone);
        }
        assert_eq!(opened(&mut walker, "d/", false, &clock), Decision::Walk(ObjectKey::from("")));
    }

    #[test]
    fn a_walk_in_an_order_of_its_own_is_seen_later() {
        let (mut walker, clock) = (Walker::default(), Clock::manual());
        opened(&mut walker, "", false, &clock);
        for number in (3..10).rev() {
            assert_eq!(opened(&mut walker, &format!("{number}/"), false, &clock), Decision::Alone);
        }
        assert_eq!(opened(&mut walker, "2/", false, &clock), Decision::Walk(ObjectKey::from("")));
    }
}
