//! Sizes as people write them: `4KiB`, `1.5GiB`, `4K`, `4096`.
//!
//! Every unit is a power of 1024. `kb` and its kin are refused, because half of the people who write them mean
//! 1000. Arithmetic is exact: a size that is no whole number of bytes is refused too.

use std::fmt;

use crate::number::{NotDecimal, decimal};

/// Units and their factors, the one we print first.
const UNITS: [(&str, &str, u64); 5] =
    [("PiB", "P", 1 << 50), ("TiB", "T", 1 << 40), ("GiB", "G", 1 << 30), ("MiB", "M", 1 << 20), ("KiB", "K", 1 << 10)];

/// A number of bytes that prints in the largest unit it is a whole number of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ByteSize(pub u64);

/// A text that is not a size, and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SizeError {
    /// Not a number followed by a unit.
    #[error("it is not a size such as 4KiB, 16MiB, 1.5GiB or 4096")]
    NotASize,
    /// A unit that is not one of ours.
    #[error("\"{unit}\" is not a unit of size; write {suggestion}")]
    Unit {
        /// The unit as it was written.
        unit: String,
        /// The whole value, rightly spelled.
        suggestion: String,
    },
    /// A fraction of a byte.
    #[error("it is not a whole number of bytes")]
    Fraction,
    /// More than 2^64 - 1 bytes.
    #[error("it is too large")]
    TooLarge,
}

impl ByteSize {
    /// The size that `text` names; a bare number is bytes.
    ///
    /// # Errors
    /// [`SizeError`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, SizeError> {
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let unit = unit.trim_start();
        let factor = factor_of(unit).ok_or_else(|| wrong_unit(digits, unit))?;
        decimal(digits, u128::from(factor)).map(Self).map_err(|problem| match problem {
            NotDecimal::Syntax => SizeError::NotASize,
            NotDecimal::Fraction => SizeError::Fraction,
            NotDecimal::TooLarge => SizeError::TooLarge,
        })
    }
}

fn factor_of(unit: &str) -> Option<u64> {
    match unit {
        "" | "B" => Some(1),
        _ => UNITS.iter().find(|(long, short, _)| unit == *long || unit == *short).map(|(_, _, factor)| *factor),
    }
}

fn wrong_unit(digits: &str, unit: &str) -> SizeError {
    let first = unit.chars().next().map(|c| c.to_ascii_uppercase());
    let meant = UNITS.iter().find(|(_, short, _)| short.chars().next() == first);
    match meant {
        Some((long, _, _)) if decimal(digits, 1 << 50).is_ok() => {
            SizeError::Unit { unit: unit.to_owned(), suggestion: format!("{digits}{long}") }
        }
        _ => SizeError::NotASize,
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|(_, _, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match whole {
            Some((long, _, factor)) => write!(f, "{}{long}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_documented_spelling_is_read() {
        for (text, bytes) in [
            ("4KiB", 4096),
            ("4K", 4096),
            ("4096", 4096),
            ("4096B", 4096),
            ("16MiB", 16 << 20),
            ("1.5GiB", 3 << 29),
            ("0.00390625MiB", 4096),
            ("0", 0),
        ] {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn a_wrong_unit_is_answered_with_the_right_spelling() {
        let error = ByteSize::parse("4kb").unwrap_err();
        assert_eq!(error.to_string(), "\"kb\" is not a unit of size; write 4KiB");
        let error = ByteSize::parse("1.5 gb").unwrap_err();
        assert_eq!(error.to_string(), "\"gb\" is not a unit of size; write 1.5GiB");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "KiB", "-1", "4KiB4", "1.0001", "1..5K", ".", "99999999999P", "4 apples", "NaN", "1e3"] {
            assert!(ByteSize::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(bytes: u64) {
            prop_assert_eq!(ByteSize::parse(&ByteSize(bytes).to_string()), Ok(ByteSize(bytes)));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = ByteSize::parse(&text);
        }
    }
}
