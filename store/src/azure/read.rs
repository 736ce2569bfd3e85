//! The reading half: GET, HEAD and List Blobs.

use std::collections::BTreeMap;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH, LAST_MODIFIED, RANGE};
use http::{HeaderMap, HeaderValue, Method};
use rfuse_block::{ByteRange, ObjectKey, Version};

use super::request::{Call, header_value};
use super::{AzureStore, listing, name};
use crate::{Fetched, Get, Landing, ListPage, ListRequest, ObjectMeta, Operation, StoreError, StoreErrorKind};

/// Longest page of a listing: 5,000 entries of names and metadata.
const PAGE_LIMIT: usize = 64 << 20;

/// Most entries that Azure puts on a page.
const ENTRIES_A_PAGE: u32 = 5000;

impl AzureStore {
    pub(super) async fn read_range(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
        let response = self
            .send(Operation::Get, || {
                let path = self.container.object_path(Operation::Get, get.key)?;
                let call = Call::new(Method::GET, path).header(RANGE, range_header(get.range));
                match get.version {
                    None => Ok(call),
                    Some(version) => Ok(call.header(IF_MATCH, header_value(Operation::Get, version.as_str())?)),
                }
            })
            .await?;
        self.container.http.land(Operation::Get, response, &get, landing).await
    }

    pub(super) async fn read_meta(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        let path = self.container.object_path(Operation::Head, key)?;
        let response = self.send(Operation::Head, || Ok(Call::new(Method::HEAD, path.clone()))).await?;
        meta(key, response.headers()).ok_or_else(|| {
            let message = "the answer lacks size, ETag or time of the object";
            StoreError::new(StoreErrorKind::Malformed, Operation::Head, message)
        })
    }

    pub(super) async fn read_page(&self, request: ListRequest<'_>) -> Result<ListPage, StoreError> {
        // No name starts with what no name can hold.
        let Some(prefix) = name::prefix(request.prefix) else { return Ok(ListPage::default()) };
        let response = self.send(Operation::List, || Ok(self.list_call(&request, prefix))).await?;
        let body = self.container.http.small_body(Operation::List, response, PAGE_LIMIT).await?;
        let malformed = || StoreError::new(StoreErrorKind::Malformed, Operation::List, "the listing cannot be read");
        let text = std::str::from_utf8(&body).map_err(|_| malformed())?;
        listing::parse(text).map_err(|_| malformed())
    }

    fn list_call(&self, request: &ListRequest<'_>, prefix: &str) -> Call {
        let mut call = Call::new(Method::GET, self.container.path().to_owned())
            .query("restype", "container")
            .query("comp", "list")
            .query("include", "metadata");
        if !prefix.is_empty() {
            call = call.query("prefix", prefix);
        }
        if request.delimited {
            call = call.query("delimiter", "/");
        }
        if let Some(token) = request.token {
            call = call.query("marker", token.0.as_str());
        }
        if let Some(limit) = request.limit {
            call = call.query("maxresults", limit.clamp(1, ENTRIES_A_PAGE).to_string());
        }
        call
    }
}

/// `bytes=FIRST-LAST`; the range is never empty.
pub(super) fn range_header(range: ByteRange) -> HeaderValue {
    use std::io::Write as _;
    let mut text = [0u8; 48];
    let mut rest = &mut text[..];
    // Two u64 need 40 digits at most, and seven characters stand around them.
    let _ = write!(rest, "bytes={}-{}", range.start(), range.end().saturating_sub(1));
    let left = rest.len();
    HeaderValue::from_bytes(&text[..48 - left]).unwrap_or_else(|_| HeaderValue::from_static("bytes=0-0"))
}

/// An object as the headers of HEAD describe it.
fn meta(key: &ObjectKey, headers: &HeaderMap) -> Option<ObjectMeta> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let metadata = metadata(headers);
    let resource_type = headers.get("x-ms-resource-type").map(HeaderValue::as_bytes);
    Some(ObjectMeta {
        key: key.clone(),
        size: text(CONTENT_LENGTH)?.parse().ok()?,
        version: Version::new(text(ETAG)?),
        modified: httpdate::parse_http_date(text(LAST_MODIFIED)?).ok()?,
        content_type: text(CONTENT_TYPE).filter(|text| !text.is_empty()).map(str::to_owned),
        is_directory: resource_type == Some(b"directory") || listing::is_marked(&metadata),
        metadata,
    })
}

/// `x-ms-meta-NAME: VALUE`; HTTP has no case in names, and values may be escaped by nobody, so they are bytes.
fn metadata(headers: &HeaderMap) -> BTreeMap<String, String> {
    let named = headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix("x-ms-meta-")?, value)));
    named.map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_header_names_the_last_byte(start in 0..u64::MAX - 1, length in 1..u64::MAX / 2) {
            let range = ByteRange::at(start, length);
            let expected = format!("bytes={}-{}", range.start(), range.end() - 1);
            let header = range_header(range);
            prop_assert_eq!(header.to_str().unwrap(), expected);
        }
    }

    #[test]
    fn a_directory_marker_is_known_in_either_spelling() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-length", "0"),
            ("etag", "\"0x1\""),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("x-ms-meta-Hdi_isfolder", "True"),
        ] {
            headers.insert(http::HeaderName::try_from(name).unwrap(), HeaderValue::from_static(value));
        }
        let marked = meta(&ObjectKey::from("d"), &headers).unwrap();
        assert!(marked.is_directory && marked.metadata["hdi_isfolder"] == "True");
    }
}
