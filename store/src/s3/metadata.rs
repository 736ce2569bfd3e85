//! What is stored beside the bytes, as headers.
//!
//! Protocol: "Working with object metadata" of the S3 user guide: user metadata travels as `x-amz-meta-NAME`
//! in ASCII; anything else is written, by S3 too, as an encoded word (RFC 2047).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED};
use percent_encoding::percent_decode_str;
use rfuse_block::{ObjectKey, Version};

use crate::{ObjectMeta, Operation, PutOptions, StoreError, StoreErrorKind};

const META: &str = "x-amz-meta-";

/// Adds `options` to the headers of a write.
///
/// # Errors
/// `Other` when a name or a content type holds a character that no header can carry.
pub(super) fn write(operation: Operation, options: &PutOptions, headers: &mut HeaderMap) -> Result<(), StoreError> {
    let unsendable = |_| {
        let text = "a metadata name or the content type holds a character that HTTP headers cannot carry";
        StoreError::new(StoreErrorKind::Other, operation, text)
    };
    if let Some(content_type) = &options.content_type {
        headers
            .insert(CONTENT_TYPE, HeaderValue::from_str(content_type).map_err(http::Error::from).map_err(unsendable)?);
    }
    for (name, value) in &options.metadata {
        let name = HeaderName::try_from(format!("{META}{name}")).map_err(http::Error::from).map_err(unsendable)?;
        headers.insert(name, HeaderValue::try_from(encode(value)).map_err(http::Error::from).map_err(unsendable)?);
    }
    Ok(())
}

/// What the headers of a HEAD say about `key`.
///
/// # Errors
/// `Malformed` when size, version or date are missing.
pub(super) fn read(key: &ObjectKey, headers: &HeaderMap) -> Result<ObjectMeta, StoreError> {
    let malformed = |what: &str| {
        let text = format!("the answer has no readable {what}");
        StoreError::new(StoreErrorKind::Malformed, Operation::Head, text)
    };
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let size = text(&CONTENT_LENGTH).and_then(|size| size.parse().ok()).ok_or_else(|| malformed("Content-Length"))?;
    let modified = text(&LAST_MODIFIED).and_then(|date| httpdate::parse_http_date(date).ok());
    Ok(ObjectMeta {
        key: key.clone(),
        size,
        version: Version::new(text(&ETAG).ok_or_else(|| malformed("ETag"))?),
        modified: modified.ok_or_else(|| malformed("Last-Modified"))?,
        content_type: text(&CONTENT_TYPE).map(str::to_owned),
        metadata: user_metadata(headers),
        is_directory: key.as_bytes().ends_with(b"/"),
    })
}

fn user_metadata(headers: &HeaderMap) -> BTreeMap<String, String> {
    let pairs = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(META)?;
        Some((name.to_owned(), decode(&String::from_utf8_lossy(value.as_bytes()))))
    });
    pairs.collect()
}

/// Plain ASCII without spaces at its ends as it is, everything else as one encoded word.
fn encode(value: &str) -> String {
    let plain = value.bytes().all(|b| matches!(b, b' '..=b'~')) && value.trim() == value && !value.starts_with("=?");
    if plain { value.to_owned() } else { format!("=?UTF-8?B?{}?=", STANDARD.encode(value)) }
}

/// The text that encoded words mean; anything else as it is.
fn decode(value: &str) -> String {
    let words = value.split_ascii_whitespace().map(decode_word).collect::<Option<Vec<_>>>();
    words
        .filter(|words| !words.is_empty())
        .and_then(|words| String::from_utf8(words.concat()).ok())
        .unwrap_or_else(|| value.to_owned())
}

fn decode_word(word: &str) -> Option<Vec<u8>> {
    let (charset, rest) = word.strip_prefix("=?")?.strip_suffix("?=")?.split_once('?')?;
    let (encoding, text) = rest.split_once('?')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    match encoding {
        "B" | "b" => STANDARD.decode(text).ok(),
        // `=XX` is a byte and `_` a space; percent signs stand for themselves.
        "Q" | "q" => Some(percent_decode_str(&text.replace('%', "%25").replace('_', " ").replace('=', "%")).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encoded_words_of_s3_are_read() {
        assert_eq!(decode("=?UTF-8?Q?=C3=84_100%?="), "Ä 100%");
        assert_eq!(decode("=?UTF-8?B?w4Q=?="), "Ä");
        assert_eq!(decode("a=b?c"), "a=b?c");
        assert_eq!(decode("=?UTF-16?B?w4Q=?="), "=?UTF-16?B?w4Q=?=");
        assert_eq!(decode(""), "");
    }

    #[test]
    fn a_head_without_size_version_or_date_is_malformed() {
        let key = ObjectKey::from("dir/");
        let all = [
            (CONTENT_LENGTH, HeaderValue::from_static("5")),
            (ETAG, HeaderValue::from_static("\"e\"")),
            (LAST_MODIFIED, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT")),
        ];
        let meta = read(&key, &HeaderMap::from_iter(all.clone())).unwrap();
        assert_eq!((meta.size, meta.version.as_str(), meta.is_directory), (5, "\"e\"", true));
        for missing in 0..all.len() {
            let some = all.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, pair)| pair.clone());
            assert_eq!(read(&key, &some.collect()).unwrap_err().kind, StoreErrorKind::Malformed);
        }
    }

    #[test]
    fn a_name_that_no_header_can_carry_is_refused() {
        let options = PutOptions { metadata: BTreeMap::from([("a b".into(), "x".into())]), ..PutOptions::default() };
        assert!(write(Operation::Put, &options, &mut HeaderMap::new()).is_err());
    }

    proptest! {
        #[test]
        fn metadata_comes_back_as_it_was_written(value: String, name in "[a-z][a-z0-9-]{0,10}") {
            let metadata = BTreeMap::from([(name, value)]);
            let options = PutOptions { metadata: metadata.clone(), content_type: None };
            let mut headers = HeaderMap::new();
            write(Operation::Put, &options, &mut headers).unwrap();
            prop_assert!(headers.values().all(|value| value.to_str().is_ok()));
            prop_assert_eq!(user_metadata(&headers), metadata);
        }
    }
}
