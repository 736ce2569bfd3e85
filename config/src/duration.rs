//! Times as people write them: `500ms`, `30s`, `2d`.

use std::time::Duration;

use crate::number::decimal;

/// Units and their length in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// A text that is not a time, and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DurationError {
    /// Not a number followed by a unit.
    #[error("it is not a time such as 500ms, 30s, 5m, 12h or 2d")]
    NotATime,
    /// A unit that is not one of ours.
    #[error("\"{unit}\" is not a unit of time; write {suggestion}")]
    Unit {
        /// The unit as it was written.
        unit: String,
        /// The whole value, rightly spelled.
        suggestion: String,
    },
    /// Longer than 584 years, or finer than a nanosecond.
    #[error("it is too long or too fine a time")]
    OutOfRange,
}

/// The time that `text` names; a bare number is seconds.
///
/// # Errors
/// [`DurationError`] says what to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = match unit.trim_start() {
        "" => "s",
        unit => unit,
    };
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(wrong_unit(digits, unit));
    };
    use crate::number::NotDecimal;
    decimal(digits, *factor).map(Duration::from_nanos).map_err(|problem| match problem {
        NotDecimal::Syntax => DurationError::NotATime,
        NotDecimal::Fraction | NotDecimal::TooLarge => DurationError::OutOfRange,
    })
}

fn wrong_unit(digits: &str, unit: &str) -> DurationError {
    let lower = unit.to_ascii_lowercase();
    let meant = match lower.chars().next() {
        Some('m') if lower.starts_with("ms") || lower.starts_with("mil") => "ms",
        Some('m') => "m",
        Some('s') => "s",
        Some('h') => "h",
        Some('d') => "d",
        _ => return DurationError::NotATime,
    };
    if decimal(digits, 1).is_err() && !digits.contains('.') {
        return DurationError::NotATime;
    }
    DurationError::Unit { unit: unit.to_owned(), suggestion: format!("{digits}{meant}") }
}

/// The shortest spelling that [`parse_duration`] reads back as the same time, to the nanosecond.
pub fn format_duration(time: Duration) -> String {
    let nanos = time.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let whole = UNITS.iter().rev().find(|(_, factor)| nanos.is_multiple_of(*factor));
    let (unit, factor) = whole.copied().unwrap_or(("ns", 1));
    format!("{}{unit}", nanos / factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_documented_spelling_is_read() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("30", 30_000), ("1.5s", 1500), ("5m", 300_000), ("2d", 172_800_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_wrong_unit_is_answered_with_the_right_spelling() {
        assert_eq!(parse_duration("30 sec").unwrap_err().to_string(), "\"sec\" is not a unit of time; write 30s");
        assert_eq!(parse_duration("5min").unwrap_err().to_string(), "\"min\" is not a unit of time; write 5m");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "s", "-1s", "1s1", "soon", "99999999999999d", "0.0000000001s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(nanos in 0..u64::MAX) {
            let time = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(time)), Ok(time));
        }
    }
}
