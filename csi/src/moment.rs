//! Moments as people and programs write them, out of seconds since 1970, in UTC.

use jiff::Timestamp;

/// `2026-11-25 19:25 UTC`.
pub(crate) fn timestamp(seconds: u64) -> String {
    moment(seconds).strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `2026-11-25T19:25:33Z`.
pub(crate) fn rfc3339(seconds: u64) -> String {
    moment(seconds).to_string()
}

/// Seconds since 1970, now.
pub(crate) fn now() -> u64 {
    Timestamp::now().as_second().try_into().unwrap_or(0)
}

/// What lies past the year 9999 is the last moment of it.
fn moment(seconds: u64) -> Timestamp {
    Timestamp::from_second(seconds.try_into().unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_people_and_programs_do() {
        assert_eq!(timestamp(0), "1970-01-01 00:00 UTC");
        assert_eq!(timestamp(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(timestamp(1_795_634_733), "2026-11-25 19:25 UTC");
        assert_eq!(rfc3339(1_795_634_733), "2026-11-25T19:25:33Z");
        assert!(timestamp(u64::MAX).starts_with("9999-12-3"));
    }
}
