//! What Azure Blob says, in its words (Blob service REST API: List Blobs, status and error codes).

use std::fmt::Write;

use super::answer::{MODIFIED_HTTP, Refusal};
use super::page::{Entry, Page, PageRequest};
use super::reply::{Reply, escaped};
use super::request::Request;

/// Entries of a page at most.
pub(super) const PAGE_MAX: usize = 5000;

/// What every answer about a blob carries besides the standard lines.
pub(super) const OBJECT_LINES: &str = "x-ms-blob-type: BlockBlob\r\nx-ms-version: 2026-02-06\r\n\
     x-ms-creation-time: Thu, 01 Jan 2026 00:00:00 GMT\r\nx-ms-meta-origin: generated\r\n\
     x-ms-request-id: 00000000-0000-0000-0000-000000000000\r\n";

pub(super) fn page(request: &Request, wanted: &PageRequest, page: &Page<'_>, generation: u64) -> Reply {
    let metadata = match request.parameter("include") {
        Some(include) if include.contains("metadata") => "<Metadata><origin>generated</origin></Metadata>",
        _ => "",
    };
    let mut xml = String::with_capacity(page.entries.len() * 400 + 512);
    let (container, prefix, limit) = (escaped(&request.bucket), escaped(&wanted.prefix), wanted.limit);
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        xml,
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"http://127.0.0.1/\" \
         ContainerName=\"{container}\"><Prefix>{prefix}</Prefix><MaxResults>{limit}</MaxResults><Blobs>"
    );
    for entry in &page.entries {
        let _ = match entry {
            Entry::Object(object) => write!(
                xml,
                "<Blob><Name>{}</Name><Properties><Creation-Time>{MODIFIED_HTTP}</Creation-Time>\
                 <Last-Modified>{MODIFIED_HTTP}</Last-Modified><Etag>{}</Etag><Content-Length>{}</Content-Length>\
                 <Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType>\
                 <AccessTier>Hot</AccessTier></Properties>{metadata}</Blob>",
                escaped(&object.name),
                object.tag(generation),
                object.size
            ),
            Entry::Prefix(prefix) => write!(xml, "<BlobPrefix><Name>{}</Name></BlobPrefix>", escaped(prefix)),
        };
    }
    let next = page.next.as_deref().map(escaped).unwrap_or_default();
    let _ = write!(xml, "</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>");
    Reply::text(200, "application/xml", xml)
}

pub(super) fn refusal(refusal: Refusal) -> Reply {
    let code = match refusal {
        Refusal::NoBucket => "ContainerNotFound",
        Refusal::NoObject => "BlobNotFound",
        Refusal::Changed => "ConditionNotMet",
        Refusal::Exists => "BlobAlreadyExists",
        Refusal::NoUpload | Refusal::Malformed => "InvalidBlockList",
        Refusal::Full => "InsufficientStorage",
        Refusal::PastEnd => "InvalidRange",
        Refusal::NotAllowed => "UnsupportedHttpVerb",
        Refusal::Internal => "InternalError",
        Refusal::Unavailable => "ServerBusy",
    };
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    );
    let mut reply = Reply::text(refusal.status(), "application/xml", xml);
    let _ = write!(reply.lines, "x-ms-error-code: {code}\r\n");
    reply
}
