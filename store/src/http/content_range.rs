//! The `Content-Range` header (RFC 9110, section 14.4): which bytes an answer holds.

use rfuse_block::ByteRange;

/// The bytes an answer holds, and the size of the whole object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ContentRange {
    pub(super) range: ByteRange,
    pub(super) object_size: u64,
}

impl ContentRange {
    /// Parses `bytes FIRST-LAST/SIZE`; anything else, an unknown size included, is none.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.strip_prefix("bytes ")?;
        let (bounds, size) = text.split_once('/')?;
        let (first, last) = bounds.split_once('-')?;
        let (first, last, object_size) = (number(first)?, number(last)?, number(size)?);
        (first <= last && last < object_size).then(|| Self { range: ByteRange::new(first, last + 1), object_size })
    }
}

/// The size that a `Content-Range` states, however odd its bounds are: emulators answer a range past the end with
/// a 206 for `bytes 10-9/10`.
pub(super) fn stated_size(text: &[u8]) -> Option<u64> {
    number(std::str::from_utf8(text).ok()?.rsplit_once('/')?.1)
}

/// Digits only: `u64::from_str` would take a sign as well.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_a_store_writes_is_read_back(first in 0..u64::MAX / 4, length in 1..u64::MAX / 4, beyond in 0..u64::MAX / 4) {
            let size = first + length + beyond;
            let text = format!("bytes {first}-{}/{size}", first + length - 1);
            let expected = ContentRange { range: ByteRange::at(first, length), object_size: size };
            prop_assert_eq!(ContentRange::parse(text.as_bytes()), Some(expected));
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(text: Vec<u8>) {
            let _ = ContentRange::parse(&text);
        }
    }

    #[test]
    fn odd_forms_are_refused() {
        for odd in
            ["bytes 0-9/*", "bytes */10", "bytes 9-0/10", "bytes 0-10/10", "bytes +0-9/10", "0-9/10", "bytes -9/10"]
        {
            assert_eq!(ContentRange::parse(odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(stated_size(b"bytes 10-9/10"), Some(10));
    }
}
