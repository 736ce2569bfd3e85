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
pub(super) fn part_list(parts: &[PartTag]) -> Result<String, StoreError> {
    let mut text = String::from("<CompleteMultipartUpload>");
    for PartTag(tag) in parts {
        let foreign = || StoreError::new(StoreErrorKind::Other, Operation::Upload, "this is no receipt of a part");
        let (number, etag) = tag.split_once(':').ok_or_else(foreign)?;
        let number: u32 = number.parse().map_err(|_| foreign())?;
        let etag = quick_xml::escape::escape(etag);
        text.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    text.push_str("</CompleteMultipartUpload>");
    Ok(text)
}

/// The receipt for part `number`. It holds the number, because the numbers of an upload may have gaps.
pub(super) fn part_tag(number: u32, etag: &Version) -> PartTag {
    PartTag(format!("{number}:{etag}"))
}

fn malformed(operation: Operation, message: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Malformed, operation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_numbers_and_are_escaped() {
        let parts = [part_tag(1, &Version::new("\"a\"")), part_tag(7, &Version::new("<b:c>"))];
        assert_eq!(
            part_list(&parts).unwrap(),
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part>\
             <Part><PartNumber>7</PartNumber><ETag>&lt;b:c&gt;</ETag></Part></CompleteMultipartUpload>"
        );
        assert!(part_list(&[PartTag("x".to_owned())]).is_err());
    }
}
