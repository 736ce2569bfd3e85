//! How a key is written in a path, in a query and in a listing.
//!
//! Protocol: the `UriEncode` of Signature Version 4. The same text is signed and sent, byte for byte, and
//! nothing is normalised: `a//b`, `dir/` and `a/../b` name themselves.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use rfuse_block::ObjectKey;

use crate::{Operation, StoreError, StoreErrorKind};

/// Longest key that S3 holds, in bytes.
const LONGEST: usize = 1024;

/// Everything but letters, digits and `-._~`.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same, but for the slash.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// The key as S3 takes it. S3's own keys are UTF-8, and no other is written; what a relative of it lists is read
/// whatever its bytes are.
///
/// # Errors
/// `BadName` when it is empty, longer than 1,024 bytes, or not UTF-8 and to be written.
pub(super) fn bytes_of(operation: Operation, key: &ObjectKey) -> Result<&[u8], StoreError> {
    let bad = |message: &str| StoreError::new(StoreErrorKind::BadName, operation, message).about(key);
    let is_read = matches!(operation, Operation::Get | Operation::Head);
    if key.as_bytes().is_empty() {
        return Err(bad("a key cannot be empty"));
    }
    if !is_read && std::str::from_utf8(key.as_bytes()).is_err() {
        return Err(bad("S3 keys are UTF-8"));
    }
    prefix_of(operation, key)
}

/// The beginning of a key as S3 takes it; may be empty.
///
/// # Errors
/// `BadName` when it is longer than 1,024 bytes.
pub(super) fn prefix_of(operation: Operation, prefix: &ObjectKey) -> Result<&[u8], StoreError> {
    if prefix.as_bytes().len() > LONGEST {
        let message = "S3 keys have at most 1,024 bytes";
        return Err(StoreError::new(StoreErrorKind::BadName, operation, message).about(prefix));
    }
    Ok(prefix.as_bytes())
}

/// Appends `key` as it goes into a path.
pub(super) fn push_path(out: &mut String, key: &[u8]) {
    out.extend(percent_encode(key, PATH));
}

/// Appends `value` as it goes into a query.
pub(super) fn push_query(out: &mut String, value: impl AsRef<[u8]>) {
    out.extend(percent_encode(value.as_ref(), QUERY));
}

/// The name that a listing with `encoding-type=url` means: AWS writes a space as `+`, and `+` as `%2B`.
pub(super) fn from_listing(text: &str) -> Vec<u8> {
    if text.contains('+') {
        return percent_decode_str(&text.replace('+', "%20")).collect();
    }
    percent_decode_str(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(key: &str) -> String {
        let mut out = String::new();
        push_path(&mut out, key.as_bytes());
        out
    }

    #[test]
    fn names_go_on_the_wire_exactly() {
        for (key, wire) in [
            ("a//b", "a//b"),
            ("dir/", "dir/"),
            ("/lead", "/lead"),
            ("a/../b/./c", "a/../b/./c"),
            ("100%", "100%25"),
            ("a b+c?d#e&f=g", "a%20b%2Bc%3Fd%23e%26f%3Dg"),
            ("é/日", "%C3%A9/%E6%97%A5"),
            ("nl\n\0~", "nl%0A%00~"),
            ("a%2Fb", "a%252Fb"),
        ] {
            assert_eq!(path(key), wire);
        }
        let mut query = String::new();
        push_query(&mut query, "a/b c");
        assert_eq!(query, "a%2Fb%20c");
    }

    #[test]
    fn names_that_s3_cannot_hold_are_refused_before_they_are_sent() {
        for bad in [&b"\xff"[..], b"", &[b'a'; 1025]] {
            let error = bytes_of(Operation::Put, &ObjectKey::new(bad)).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::BadName);
        }
        assert!(bytes_of(Operation::Get, &ObjectKey::new([b'a'; 1024])).is_ok());
        assert_eq!(bytes_of(Operation::Get, &ObjectKey::new([0xff])).unwrap(), b"\xff");
        assert_eq!(prefix_of(Operation::List, &ObjectKey::from("")).unwrap(), b"");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_to_the_same_bytes(key: String) {
            prop_assert_eq!(from_listing(&path(&key)), key.as_bytes());
            let form = path(&key).replace("%20", "+");
            prop_assert_eq!(from_listing(&form), key.as_bytes());
            let mut query = String::new();
            push_query(&mut query, &key);
            prop_assert!(!query.contains('/'));
            prop_assert_eq!(from_listing(&query), key.as_bytes());
        }
    }
}
