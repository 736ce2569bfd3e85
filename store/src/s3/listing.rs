//! One page of ListObjectsV2.
//!
//! Protocol: "ListObjectsV2" of the S3 API reference. Names are asked for in URL encoding, because XML 1.0 has
//! no way to write most control characters; a server that does not know the option sends them raw, and says so
//! by not naming an encoding.

use std::time::SystemTime;

use rfuse_block::{ObjectKey, Version};
use serde::Deserialize;

use super::name;
use crate::{ListEntry, ListPage, ListRequest, ObjectMeta, Operation, StoreError, StoreErrorKind, Token};

/// Entries S3 returns at most.
const PAGE_MAX: u32 = 1000;

/// Longest believed page: a thousand names of a kilobyte, each byte in three characters, and their frame.
pub(super) const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// The query of `request`, in canonical form.
///
/// # Errors
/// `BadName` when no key can begin with the prefix.
pub(super) fn query(request: &ListRequest<'_>) -> Result<String, StoreError> {
    let prefix = name::prefix_of(Operation::List, request.prefix)?;
    let mut query = String::with_capacity(160 + prefix.len());
    if let Some(Token(token)) = request.token {
        query.push_str("continuation-token=");
        name::push_query(&mut query, token);
        query.push('&');
    }
    if request.delimited {
        query.push_str("delimiter=%2F&");
    }
    query.push_str("encoding-type=url&list-type=2");
    if let Some(limit) = request.limit {
        query.push_str(&format!("&max-keys={}", limit.clamp(1, PAGE_MAX)));
    }
    query.push_str("&prefix=");
    name::push_query(&mut query, prefix);
    Ok(query)
}

/// The page in `body`, which answers a listing below `prefix`.
///
/// # Errors
/// `Malformed` when it is not what S3 sends.
pub(super) fn parse(body: &[u8], prefix: &ObjectKey) -> Result<ListPage, StoreError> {
    let text = std::str::from_utf8(body).map_err(|_| malformed("the listing is not UTF-8"))?;
    let result: ListBucketResult =
        quick_xml::de::from_str(text).map_err(|_| malformed("the listing is not the XML of ListObjectsV2"))?;
    let encoded = result.encoding_type.as_deref() == Some("url");
    let key_of = |text: &str| {
        let key = ObjectKey::new(if encoded { name::from_listing(text) } else { text.as_bytes().to_vec() });
        let below = key.as_bytes().starts_with(prefix.as_bytes());
        if below { Ok(key) } else { Err(malformed("the listing holds a name outside its prefix")) }
    };
    let next = match (result.is_truncated, result.next_continuation_token) {
        (false, _) => None,
        (true, Some(token)) if !token.is_empty() => Some(Token(token)),
        (true, _) => return Err(malformed("the listing has a next page but no token for it")),
    };
    let objects = result.contents.into_iter().map(|entry| Ok(ListEntry::Object(entry.meta(key_of(&entry.key)?)?)));
    let prefixes = result.common_prefixes.into_iter().map(|entry| Ok(ListEntry::Prefix(key_of(&entry.prefix)?)));
    let entries = merge(objects.collect::<Result<_, StoreError>>()?, prefixes.collect::<Result<_, StoreError>>()?);
    Ok(ListPage { entries, next })
}

/// S3 sends objects and prefixes apart, each in byte order.
fn merge(objects: Vec<ListEntry>, prefixes: Vec<ListEntry>) -> Vec<ListEntry> {
    let mut entries = Vec::with_capacity(objects.len() + prefixes.len());
    let mut prefixes = prefixes.into_iter().peekable();
    for object in objects {
        while let Some(prefix) = prefixes.next_if(|prefix| prefix.key() < object.key()) {
            entries.push(prefix);
        }
        entries.push(object);
    }
    entries.extend(prefixes);
    entries
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListBucketResult {
    is_truncated: bool,
    next_continuation_token: Option<String>,
    encoding_type: Option<String>,
    #[serde(default)]
    contents: Vec<Contents>,
    #[serde(default)]
    common_prefixes: Vec<CommonPrefix>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Contents {
    key: String,
    last_modified: String,
    #[serde(rename = "ETag")]
    etag: String,
    size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CommonPrefix {
    prefix: String,
}

impl Contents {
    fn meta(&self, key: ObjectKey) -> Result<ObjectMeta, StoreError> {
        let modified = self.last_modified.parse::<jiff::Timestamp>();
        let modified: SystemTime = modified.map_err(|_| malformed("the listing holds an unreadable date"))?.into();
        Ok(ObjectMeta {
            is_directory: key.as_bytes().ends_with(b"/"),
            key,
            size: self.size,
            version: quoted(&self.etag),
            modified,
            content_type: None,
            metadata: std::collections::BTreeMap::new(),
        })
    }
}

/// Some servers leave out the quotes in documents but not in headers.
pub(super) fn quoted(etag: &str) -> Version {
    if etag.starts_with('"') || etag.starts_with("W/") {
        Version::new(etag)
    } else {
        Version::new(format!("\"{etag}\""))
    }
}

fn malformed(message: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Malformed, Operation::List, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Urgency;
    use proptest::prelude::*;

    fn page(inner: &str) -> Result<ListPage, StoreError> {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>logs</Name><Prefix/>{inner}</ListBucketResult>"
        );
        parse(text.as_bytes(), &ObjectKey::from(""))
    }

    fn object(key: &str) -> String {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>\
             <ETag>&quot;abc&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
    }

    fn names(page: &ListPage) -> Vec<&[u8]> {
        page.entries.iter().map(|entry| entry.key().as_bytes()).collect()
    }

    #[test]
    fn a_page_is_read_in_byte_order_with_its_next_token() {
        let inner = format!(
            "<NextContinuationToken>1/x+y==</NextContinuationToken><IsTruncated>true</IsTruncated>{}{}\
             <CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes>",
            object("a"),
            object("c")
        );
        let page = page(&inner).unwrap();
        assert_eq!(names(&page), [&b"a"[..], b"b/", b"c", b"d/"]);
        assert_eq!(page.next, Some(Token("1/x+y==".to_owned())));
        let ListEntry::Object(meta) = &page.entries[0] else { panic!("an object") };
        assert_eq!((meta.size, meta.version.as_str()), (7, "\"abc\""));
        assert_eq!(jiff::Timestamp::try_from(meta.modified).unwrap().to_string(), "2026-01-02T03:04:05Z");
    }

    #[test]
    fn names_come_url_encoded_or_raw() {
        let inner =
            format!("<IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>{}", object("a+b%2B%0A%25"));
        assert_eq!(names(&page(&inner).unwrap()), [b"a b+\n%"]);
        let inner = format!("<IsTruncated>false</IsTruncated>{}", object("a+b%2B&amp;c &lt;"));
        assert_eq!(names(&page(&inner).unwrap()), [b"a+b%2B&c <"]);
    }

    #[test]
    fn spaces_at_the_ends_of_a_raw_name_are_kept() {
        let inner = format!("<IsTruncated>false</IsTruncated>{}", object(" a "));
        assert_eq!(names(&page(&inner).unwrap()), [b" a "]);
    }

    #[test]
    fn a_page_that_cannot_be_right_is_refused() {
        for inner in
            ["<IsTruncated>true</IsTruncated>", "", "<IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents>"]
        {
            assert_eq!(page(inner).unwrap_err().kind, StoreErrorKind::Malformed, "{inner}");
        }
        assert_eq!(parse(b"<html>", &ObjectKey::from("")).unwrap_err().kind, StoreErrorKind::Malformed);
        let outside =
            format!("<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>", object("../x"));
        assert_eq!(parse(outside.as_bytes(), &ObjectKey::from("p/")).unwrap_err().kind, StoreErrorKind::Malformed);
    }

    #[test]
    fn the_query_is_sorted_and_encoded() {
        let token = Token("a/b+c=".to_owned());
        let prefix = ObjectKey::from("x y/");
        let request = ListRequest {
            prefix: &prefix,
            delimited: true,
            token: Some(&token),
            limit: Some(5000),
            urgency: Urgency::Demand,
        };
        assert_eq!(
            query(&request).unwrap(),
            "continuation-token=a%2Fb%2Bc%3D&delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=x%20y%2F"
        );
        let plain = ListRequest { delimited: false, token: None, limit: None, ..request };
        assert_eq!(query(&plain).unwrap(), "encoding-type=url&list-type=2&prefix=x%20y%2F");
    }

    proptest! {
        #[test]
        fn any_document_is_parsed_or_refused(body: Vec<u8>) {
            let _ = parse(&body, &ObjectKey::from(""));
        }
    }
}
