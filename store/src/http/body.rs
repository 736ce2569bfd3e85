//! The body of an answer: checked against what was asked, then moved chunk by chunk to where it stays.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use rfuse_block::Version;
use tokio::time::timeout;

use super::content_range::{ContentRange, stated_size};
use super::failure;
use crate::{Fetched, Get, Landing, Operation, StoreError, StoreErrorKind};

/// See [`HttpClient::land`](super::HttpClient::land).
pub(super) async fn land(
    operation: Operation,
    stall: Duration,
    response: Response<Incoming>,
    get: &Get<'_>,
    landing: &mut Landing<'_>,
) -> Result<Fetched, StoreError> {
    let malformed = |message: &str| StoreError::new(StoreErrorKind::Malformed, operation, message);
    let version = version_of(operation, response.headers(), get)?;
    let held = match held_bytes(&response, get) {
        Some(held) if held.range.start() == get.range.start() && held.range.end() <= get.range.end() => held,
        _ if starts_past_the_end(response.headers(), get) => {
            let message = "the range starts after the end of the object";
            return Err(StoreError::new(StoreErrorKind::PastEnd, operation, message));
        }
        _ => return Err(malformed("the answer is for other bytes than asked")),
    };
    if get.version.is_none() {
        landing.pin(&version);
    }
    let mut left = held.range.length();
    let mut body = response.into_body();
    while let Some(chunk) = next_chunk(operation, stall, &mut body).await? {
        left = left.checked_sub(chunk.remaining() as u64).ok_or_else(|| malformed("the body is longer than stated"))?;
        landing.push(&chunk).map_err(|_| malformed("the body is longer than the range asked"))?;
    }
    if left > 0 || landing.missing() > 0 {
        let message = format!("the body ended {} bytes early", left.max(landing.missing()));
        return Err(StoreError::new(StoreErrorKind::Cut, operation, message));
    }
    Ok(Fetched { version, object_size: held.object_size })
}

/// See [`HttpClient::small_body`](super::HttpClient::small_body).
pub(super) async fn small(
    operation: Operation,
    stall: Duration,
    response: Response<Incoming>,
    limit: usize,
) -> Result<Bytes, StoreError> {
    let mut body = response.into_body();
    let mut collected = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(chunk) = next_chunk(operation, stall, &mut body).await? {
        if collected.len() + first.as_ref().map_or(0, Bytes::len) + chunk.len() > limit {
            let message = format!("the answer is longer than {limit} bytes");
            return Err(StoreError::new(StoreErrorKind::Malformed, operation, message));
        }
        if first.is_none() && collected.is_empty() {
            first = Some(chunk);
        } else {
            collected.extend_from_slice(&first.take().unwrap_or_default());
            collected.extend_from_slice(&chunk);
        }
    }
    Ok(first.unwrap_or_else(|| collected.freeze()))
}

/// The next data of `body`; none at its end. The timer is only armed when nothing is there yet.
async fn next_chunk(operation: Operation, stall: Duration, body: &mut Incoming) -> Result<Option<Bytes>, StoreError> {
    while !body.is_end_stream() {
        match timeout(stall, body.frame()).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
            Ok(Some(Err(error))) => return Err(failure::from_hyper(operation, &error)),
            Ok(None) => break,
            Err(_) => return Err(failure::silence(operation, stall)),
        }
    }
    Ok(None)
}

/// The version the answer is of; the one asked for is shared instead of copied.
fn version_of(operation: Operation, headers: &HeaderMap, get: &Get<'_>) -> Result<Version, StoreError> {
    let etag = headers.get(ETAG).and_then(|value| value.to_str().ok());
    match (etag, get.version) {
        (None, _) => Err(StoreError::new(StoreErrorKind::Malformed, operation, "the answer has no ETag")),
        (Some(etag), Some(wanted)) if etag == wanted.as_str() => Ok(wanted.clone()),
        (Some(_), Some(_)) => {
            Err(StoreError::new(StoreErrorKind::Changed, operation, "the object was replaced by another version"))
        }
        (Some(etag), None) => Ok(Version::new(etag)),
    }
}

/// Which bytes the answer says it holds. A plain 200 is believed only when the whole object was asked for:
/// from another server it would mean that the range was ignored.
fn held_bytes(response: &Response<Incoming>, get: &Get<'_>) -> Option<ContentRange> {
    let headers = response.headers();
    match response.status() {
        StatusCode::PARTIAL_CONTENT => ContentRange::parse(headers.get(CONTENT_RANGE)?.as_bytes()),
        StatusCode::OK if get.range.start() == 0 => {
            let length: u64 = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
            (length == get.range.length()).then_some(ContentRange { range: get.range, object_size: length })
        }
        _ => None,
    }
}

/// Whether the answer says that the object ends before the range begins.
fn starts_past_the_end(headers: &HeaderMap, get: &Get<'_>) -> bool {
    let size = headers.get(CONTENT_RANGE).and_then(|value| stated_size(value.as_bytes()));
    size.is_some_and(|size| size <= get.range.start())
}
