//! Extended attributes that users set, as they are kept in an object's metadata.
//!
//! The field is the one s3fs writes: `xattr`, a JSON object of names and values in base64, percent-encoded as a whole.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The field of metadata.
pub(crate) const FIELD: &str = "xattr";
/// Bytes of the field at most: S3 takes 2 KB of metadata, and mode, owner and times need some.
const FIELD_MAX: usize = 1800;
/// What the names of users begin with, and what is the mount's own.
const USER: &[u8] = b"user.";
const OWN: &[u8] = b"user.rfuse.";

/// Names and values.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Labels(BTreeMap<String, Vec<u8>>);

/// They do not fit into an object's metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooLong;

impl Labels {
    /// What `metadata` holds; nothing where it makes no sense.
    pub(crate) fn read(metadata: &BTreeMap<String, String>) -> Self {
        let read = || {
            let text = percent_decode_str(metadata.get(FIELD)?).decode_utf8().ok()?;
            let coded: BTreeMap<String, String> = serde_json::from_str(&text).ok()?;
            let decoded = coded.into_iter().map(|(name, value)| Some((name, STANDARD.decode(value).ok()?)));
            decoded.collect::<Option<_>>()
        };
        Self(read().unwrap_or_default())
    }

    /// Puts them into `metadata`, in the place of what was there.
    pub(crate) fn write(&self, metadata: &mut BTreeMap<String, String>) -> Result<(), TooLong> {
        if self.0.is_empty() {
            metadata.remove(FIELD);
            return Ok(());
        }
        let coded: BTreeMap<&str, String> =
            self.0.iter().map(|(name, value)| (name.as_str(), STANDARD.encode(value))).collect();
        let text = serde_json::to_string(&coded).unwrap_or_default();
        let field = utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
        if field.len() > FIELD_MAX {
            return Err(TooLong);
        }
        metadata.insert(FIELD.to_owned(), field);
        Ok(())
    }

    /// Whether users may have an attribute of this name; as text.
    pub(crate) fn name(name: &[u8]) -> Option<&str> {
        let is_users = name.starts_with(USER) && !name.starts_with(OWN);
        std::str::from_utf8(name).ok().filter(|_| is_users)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    pub(crate) fn set(&mut self, name: &str, value: &[u8]) {
        self.0.insert(name.to_owned(), value.to_vec());
    }

    /// Whether there was one.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_or_refused(labels: BTreeMap<String, Vec<u8>>) {
            let mut metadata = BTreeMap::from([("colour".to_owned(), "blue".to_owned())]);
            let labels = Labels(labels);
            if labels.write(&mut metadata).is_ok() {
                prop_assert_eq!(Labels::read(&metadata), labels);
                prop_assert!(metadata.values().all(|value| value.is_ascii() && value.len() <= FIELD_MAX));
            }
        }

        #[test]
        fn no_text_is_a_panic(text: String) {
            let _ = Labels::read(&BTreeMap::from([(FIELD.to_owned(), text)]));
        }
    }

    #[test]
    fn what_s3fs_wrote_is_understood() {
        let field = "%7B%22user.colour%22%3A%22Ymx1ZQ%3D%3D%22%7D".to_owned();
        assert_eq!(Labels::read(&BTreeMap::from([(FIELD.to_owned(), field)])).get("user.colour"), Some(&b"blue"[..]));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let (mut labels, mut metadata) = (Labels::default(), BTreeMap::new());
        labels.set("user.a", b"1");
        labels.write(&mut metadata).unwrap();
        labels.set("user.b", &[7; 2000]);
        assert_eq!(labels.write(&mut metadata), Err(TooLong));
        assert_eq!(Labels::read(&metadata).names().collect::<Vec<_>>(), ["user.a"]);
    }

    #[test]
    fn only_users_names_are_users() {
        assert_eq!(Labels::name(b"user.a"), Some("user.a"));
        for other in [&b"user.rfuse.etag"[..], b"security.capability", b"user.\xff"] {
            assert_eq!(Labels::name(other), None);
        }
    }
}
