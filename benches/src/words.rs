//! Words on the command line and in control requests: times, sizes and shares.

use std::time::Duration;

/// `10ms`, `1.5s`, `250us`; a bare number is not a time.
///
/// # Errors
/// The word, and how it should look.
pub fn duration(word: &str) -> Result<Duration, String> {
    let (number, unit) = split(word);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ if word == "0" => 1.0,
        _ => return Err(format!("`{word}` is not a time: write 250us, 10ms or 1.5s")),
    };
    let value: f64 = number.parse().map_err(|_| format!("`{word}` is not a time: write 250us, 10ms or 1.5s"))?;
    Duration::try_from_secs_f64(value * seconds).map_err(|_| format!("`{word}` is not a time one can wait"))
}

/// `4096`, `4KiB`, `100K`, `64MiB`, `1GiB`, `32T`: powers of 1024.
///
/// # Errors
/// The word, and how it should look.
pub fn size(word: &str) -> Result<u64, String> {
    let (number, unit) = split(word);
    let shift = match unit {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        "T" | "TiB" => 40,
        _ => return Err(format!("`{word}` is not a size: write 4096, 4KiB, 64MiB or 32TiB")),
    };
    let value: u64 = number.parse().map_err(|_| format!("`{word}` is not a size: write 4096, 4KiB, 64MiB or 32TiB"))?;
    value.checked_shl(shift).filter(|bytes| bytes >> shift == value).ok_or_else(|| format!("`{word}` is too large"))
}

/// `5%` or `0.05`, between nothing and everything.
///
/// # Errors
/// The word, and how it should look.
pub fn share(word: &str) -> Result<f64, String> {
    let value = match word.strip_suffix('%') {
        Some(percent) => percent.parse().map(|value: f64| value / 100.0),
        None => word.parse(),
    };
    value.ok().filter(|value| (0.0..=1.0).contains(value)).ok_or_else(|| format!("`{word}` is not a share: write 5%"))
}

fn split(word: &str) -> (&str, &str) {
    let end = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
    word.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_numbers_or_are_refused() {
        assert_eq!(duration("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert!(duration("10").is_err());
        assert_eq!(size("32T"), Ok(32 << 40));
        assert_eq!(size("100KiB"), Ok(102_400));
        assert!(size("4kb").is_err());
        assert!(size("99999999T").is_err());
        assert_eq!(share("5%"), Ok(0.05));
        assert!(share("101%").is_err());
    }
}
