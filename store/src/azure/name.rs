//! Names of objects as they travel in a URL: byte for byte, or not at all.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rfuse_block::ObjectKey;

use crate::{Operation, StoreError, StoreErrorKind};

/// The longest name Azure takes, in UTF-16 units.
const LONGEST: usize = 1024;

/// What is escaped in a query value and in a segment of a path: all but the unreserved of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What is escaped in a path: the slash stands for itself.
const ESCAPED_IN_PATH: &AsciiSet = &ESCAPED.remove(b'/');

/// The text of `key`, when Azure can hold such a name.
///
/// # Errors
/// `BadName` for what Azure refuses (not UTF-8, empty, too long, control characters)
/// or takes for another name (a backslash), and for `.` and `..` between slashes:
/// servers and proxies resolve those, and would reach outside the container.
pub(super) fn text(operation: Operation, key: &ObjectKey) -> Result<&str, StoreError> {
    let bad = |why: &str| StoreError::new(StoreErrorKind::BadName, operation, why).about(key);
    let text = std::str::from_utf8(key.as_bytes()).map_err(|_| bad("Azure cannot hold a name that is not UTF-8"))?;
    if text.is_empty() {
        return Err(bad("Azure cannot hold an empty name"));
    }
    if text.len() > LONGEST && text.encode_utf16().count() > LONGEST {
        return Err(bad("Azure cannot hold a name of more than 1024 characters"));
    }
    if text.contains(is_unheld) {
        return Err(bad("Azure cannot hold a name with a backslash (it takes it for a slash) or a control character"));
    }
    if text.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(bad("Azure cannot address a name with . or .. between slashes"));
    }
    Ok(text)
}

/// The text of a prefix that names can have; none when no name that Azure holds starts with it.
pub(super) fn prefix(key: &ObjectKey) -> Option<&str> {
    std::str::from_utf8(key.as_bytes()).ok().filter(|text| !text.contains(is_unheld))
}

/// What Azure takes for something else (the backslash) or cannot write into the XML of a listing. One such name
/// makes Azurite fail the listing of the whole container.
fn is_unheld(c: char) -> bool {
    c == '\\' || (c < ' ' && !matches!(c, '\t' | '\n' | '\r'))
}

/// Appends `name` to the path of a URL.
pub(super) fn push_path(path: &mut String, name: &str) {
    path.extend(utf8_percent_encode(name, ESCAPED_IN_PATH));
}

/// Appends `value` to the query of a URL.
pub(super) fn push_query(query: &mut String, value: &str) {
    query.extend(utf8_percent_encode(value, ESCAPED));
}

/// What [`push_query`] wrote, or what somebody else escaped; none when it is not UTF-8.
pub(super) fn unescape(text: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(text).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_escaped_name_is_plain_ascii_and_reads_back(name in "\\PC{1,200}|[%?#&+ a/.\\\\]{1,40}") {
            let (mut path, mut query) = (String::new(), String::new());
            push_path(&mut path, &name);
            push_query(&mut query, &name);
            prop_assert!(path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b)));
            prop_assert!(query.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
            let (path, query) = (unescape(&path), unescape(&query));
            prop_assert_eq!(path.as_deref(), Some(name.as_str()));
            prop_assert_eq!(query.as_deref(), Some(name.as_str()));
        }
    }

    #[test]
    fn a_name_that_azure_cannot_hold_is_a_bad_name() {
        let long = "x".repeat(1025);
        for bad in
            [&b""[..], b"\xff", b"a\0b", b".", b"..", b"a/../b", b"../b", b"a/.", b"a\\b", b"a\x1bb", long.as_bytes()]
        {
            let error = text(Operation::Get, &ObjectKey::new(bad)).expect_err("not a name");
            assert_eq!(error.kind, StoreErrorKind::BadName);
        }
        let longest = "é".repeat(1024);
        for good in ["a//b", "dir/", "/a", "...", ".hidden", "a/.b", "a..b", "%2e%2e", " ", longest.as_str()] {
            assert_eq!(text(Operation::Get, &ObjectKey::from(good)).unwrap(), good);
        }
    }
}
