//! Words of the command line become numbers.

use rfuse_config::{ByteSize, parse_duration};

/// A size such as `4KiB`, at least one byte.
pub(super) fn size(text: &str) -> Result<u64, String> {
    match ByteSize::parse(text) {
        Ok(ByteSize(0)) => Err("it must not be zero".to_owned()),
        Ok(ByteSize(bytes)) => Ok(bytes),
        Err(error) => Err(error.to_string()),
    }
}

/// A time such as `30s`, in nanoseconds.
pub(super) fn nanoseconds(text: &str) -> Result<u64, String> {
    let time = parse_duration(text).map_err(|error| error.to_string())?;
    u64::try_from(time.as_nanos()).map_err(|_| "it is too long".to_owned())
}

/// `960x540`: two numbers, neither of them zero.
pub(super) fn pair(text: &str) -> Result<(u32, u32), String> {
    let (a, b) = text.split_once('x').ok_or("write two numbers with an x between them, such as 960x540")?;
    match (a.parse(), b.parse()) {
        (Ok(a), Ok(b)) if a > 0 && b > 0 && a <= 65_535 && b <= 65_535 => Ok((a, b)),
        _ => Err("write two numbers from 1 to 65535, such as 960x540".to_owned()),
    }
}

/// `3/20`: the number of a job, from zero on, and the number of jobs.
pub(super) fn part(text: &str) -> Result<(usize, usize), String> {
    let hint = "write the number of this job from zero on and the number of jobs, such as 0/20";
    let (part, parts) = text.split_once('/').ok_or(hint)?;
    match (part.parse(), parts.parse()) {
        (Ok(part), Ok(parts)) if part < parts => Ok((part, parts)),
        _ => Err(hint.to_owned()),
    }
}

/// How many threads this machine runs at once.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_they_say() {
        assert_eq!(size("4KiB"), Ok(4096));
        assert_eq!(nanoseconds("1.5s"), Ok(1_500_000_000));
        assert_eq!(pair("64x1024"), Ok((64, 1024)));
        assert_eq!(part("19/20"), Ok((19, 20)));
        assert!(size("0").is_err() && size("4kb").is_err());
        assert!(pair("64").is_err() && pair("0x5").is_err());
        assert!(part("20/20").is_err() && part("a/b").is_err() && part("0/0").is_err());
    }
}
