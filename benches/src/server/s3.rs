//! What S3 says, in its words (Amazon S3 API reference: `ListObjectsV2`, error responses).

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::answer::Refusal;
use super::page::{Entry, Page, PageRequest};
use super::reply::{Reply, escaped};
use super::request::Request;

/// Entries of a page at most.
pub(super) const PAGE_MAX: usize = 1000;

/// What `encoding-type=url` leaves as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

pub(super) fn page(request: &Request, wanted: &PageRequest, page: &Page<'_>, generation: u64) -> Reply {
    let coded = |name: &str| match request.parameter("encoding-type") {
        Some("url") => utf8_percent_encode(name, KEPT).to_string(),
        _ => escaped(name),
    };
    let mut xml = String::with_capacity(page.entries.len() * 300 + 512);
    let (bucket, prefix, limit, count) =
        (escaped(&request.bucket), coded(&wanted.prefix), wanted.limit, page.entries.len());
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        xml,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Name>{bucket}</Name><Prefix>{prefix}</Prefix><KeyCount>{count}</KeyCount><MaxKeys>{limit}</MaxKeys>\
         <IsTruncated>{}</IsTruncated>",
        page.next.is_some()
    );
    if request.parameter("encoding-type") == Some("url") {
        xml.push_str("<EncodingType>url</EncodingType>");
    }
    if wanted.delimited {
        xml.push_str("<Delimiter>/</Delimiter>");
    }
    if let Some(next) = &page.next {
        let _ = write!(xml, "<NextContinuationToken>{}</NextContinuationToken>", escaped(next));
    }
    for entry in &page.entries {
        let _ = match entry {
            Entry::Object(object) => write!(
                xml,
                "<Contents><Key>{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                 <ETag>&quot;{}&quot;</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                coded(&object.name),
                object.tag(generation),
                object.size
            ),
            Entry::Prefix(prefix) => {
                write!(xml, "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", coded(prefix))
            }
        };
    }
    xml.push_str("</ListBucketResult>");
    Reply::text(200, "application/xml", xml)
}

pub(super) fn refusal(refusal: Refusal) -> Reply {
    let code = match refusal {
        Refusal::NoBucket => "NoSuchBucket",
        Refusal::NoObject => "NoSuchKey",
        Refusal::Changed => "PreconditionFailed",
        Refusal::Exists => "PreconditionFailed",
        Refusal::NoUpload => "NoSuchUpload",
        Refusal::Malformed => "MalformedXML",
        Refusal::Full => "InsufficientStorage",
        Refusal::PastEnd => "InvalidRange",
        Refusal::NotAllowed => "MethodNotAllowed",
        Refusal::Internal => "InternalError",
        Refusal::Unavailable => "SlowDown",
    };
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    );
    Reply::text(refusal.status(), "application/xml", xml)
}
