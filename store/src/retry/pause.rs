//! How long to wait between tries.

use std::time::Duration;

/// The longest pause before the second try. Most faults are a single one, so the first pause is short: a
/// reader loses 5 ms on average.
const FIRST: Duration = Duration::from_millis(10);

/// Each pause may be this many times as long as the one before, so that eight tries still span seconds.
const GROWTH: u32 = 3;

/// No pause is longer, unless the store asks for it.
const LONGEST: Duration = Duration::from_secs(8);

/// The longest pause after `sent` tries (at least 1) failed; the pause itself is drawn evenly from zero to it.
pub(super) fn longest_pause(sent: u32) -> Duration {
    FIRST.saturating_mul(GROWTH.saturating_pow(sent.saturating_sub(1))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound() {
        let pauses: Vec<_> = (1..=9).map(|sent| longest_pause(sent).as_millis()).collect();
        assert_eq!(pauses, [10, 30, 90, 270, 810, 2430, 7290, 8000, 8000]);
        assert_eq!(longest_pause(u32::MAX), LONGEST);
    }
}
