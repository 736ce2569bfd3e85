//! What an object is called, and which of its contents is meant.
//!
//! A key is bytes, exactly as the store holds them: `a//b`, `dir/` and names that are not UTF-8 are all
//! different keys. A version is the store's entity tag. The two together name bytes that never change, which
//! is why caches key on [`ObjectId`] and not on a path.

use std::fmt;
use std::sync::Arc;

/// The name of an object inside its container or bucket: any bytes, never normalised.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(Arc<[u8]>);

impl ObjectKey {
    /// A key of exactly these bytes.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// This key with `suffix` appended.
    pub fn join(&self, suffix: &[u8]) -> Self {
        Self([&self.0, suffix].concat().into())
    }
}

impl From<&str> for ObjectKey {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

/// Prints the key so that it stays on one line and cannot be mistaken for another one: bytes outside
/// printable ASCII, and the backslash, are escaped as `\xNN`, `\n` and the like.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) => {
                for c in text.chars() {
                    if c == '\\' || c.is_control() || is_bidi_or_separator(c) {
                        write!(f, "{}", c.escape_default())?;
                    } else {
                        write!(f, "{c}")?;
                    }
                }
                Ok(())
            }
            Err(_) => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}

/// Characters that would break a log line or reorder it on a terminal.
fn is_bidi_or_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The store's entity tag of one content of an object, as the store writes it in `ETag` (quotes included).
///
/// Two equal versions of one key mean the same bytes; nothing else is known about them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(Arc<str>);

impl Version {
    /// A version of exactly this text.
    pub fn new(etag: impl Into<Arc<str>>) -> Self {
        Self(etag.into())
    }

    /// The text as it goes into `If-Match`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One content of one object: bytes that never change.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ObjectId {
    /// Which object.
    pub key: ObjectKey,
    /// Which of its contents.
    pub version: Version,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.key, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_key_prints_on_one_line() {
        let key = ObjectKey::new(*b"a\nb\x00\x1b[31m");
        assert!(!key.to_string().contains(['\n', '\0', '\x1b']));
        let reordering = ObjectKey::from("x\u{202e}gnp.exe\u{2028}");
        assert_eq!(reordering.to_string(), "x\\u{202e}gnp.exe\\u{2028}");
    }

    #[test]
    fn keys_that_differ_print_differently() {
        assert_ne!(ObjectKey::from("a\\n").to_string(), ObjectKey::from("a\n").to_string());
        assert_ne!(ObjectKey::new(*b"\xff").to_string(), ObjectKey::from("\\xff").to_string());
    }
}
