//! The small documents around writes: what an upload is called, what its parts are, what a copy became.
//!
//! Protocol: CreateMultipartUpload, UploadPartCopy, CompleteMultipartUpload and CopyObject of the S3 API
//! reference. The last three may answer 200 before they know how it ends, and then put the error in the body.

use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use rfuse_block::Version;
use serde::Deserialize;

use super::listing::quoted;
use super::refusal::{Asked, judge};
use super::wire::Wire;
use crate::{Operation, PartTag, StoreError, StoreErrorKind, UploadId};

/// Longest receipt that is read, in bytes.
const LIMIT: usize = 64 * 1024;

/// The entity tag in the headers of a write.
pub(super) fn version_in(operation: Operation, headers: &HeaderMap) -> Result<Version, StoreError> {
    let etag = headers.get(http::header::ETAG).and_then(|value| value.to_str().ok());
    etag.map(Version::new).ok_or_else(|| malformed(operation, "the answer has no ETag"))
}

/// The id of an upload that has begun.
pub(super) async fn upload_id(wire: &Wire, response: Response<Incoming>) -> Result<UploadId, StoreError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct InitiateMultipartUploadResult {
        upload_id: String,
    }
    let body = wire.document(Operation::Upload, response, LIMIT).await?;
    let found = std::str::from_utf8(&body).ok().and_then(|text| quick_xml::de::from_str(text).ok());
    match found {
        Some(InitiateMultipartUploadResult { upload_id }) if !upload_id.is_empty() => Ok(UploadId(upload_id)),
        _ => Err(malformed(Operation::Upload, "the answer names no upload")),
    }
}

/// The entity tag in the document of a copy or of a completed upload.
///
/// # Errors
/// The error in the document, as if it had come with a status; `Malformed` when there is neither.
pub(super) async fn version_of(wire: &Wire, asked: Asked, response: Response<Incoming>) -> Result<Version, StoreError> {
    #[derive(Deserialize)]
    struct Written {
        #[serde(rename = "ETag")]
        etag: String,
    }
    let (status, headers) = (response.status(), response.headers().clone());
    let body = wire.document(asked.operation, response, LIMIT).await?;
    let text = std::str::from_utf8(&body).unwrap_or_default();
    if let Ok(Written { etag }) = quick_xml::de::from_str::<Written>(text) {
        return Ok(quoted(&etag));
    }
    let error = judge(asked, wire.bucket.region(), status, &headers, &body);
    if error.code.is_some() && status == StatusCode::OK {
        return Err(StoreError { status: None, ..error });
    }
    Err(malformed(asked.operation, "the answer does not say how the write ended"))
}

/// The list of parts that completes an upload.
pub(super) fn part_list(parts: &[PartTag]) -> String {
    let mut text = String::from("<CompleteMultipartUpload>");
    for (number, PartTag(etag)) in (1..).zip(parts) {
        let etag = quick_xml::escape::escape(etag.as_str());
        text.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    text.push_str("</CompleteMultipartUpload>");
    text
}

fn malformed(operation: Operation, message: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Malformed, operation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbered_from_one_and_escaped() {
        let parts = [PartTag("\"a\"".to_owned()), PartTag("<b>".to_owned())];
        assert_eq!(
            part_list(&parts),
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part>\
             <Part><PartNumber>2</PartNumber><ETag>&lt;b&gt;</ETag></Part></CompleteMultipartUpload>"
        );
    }
}
