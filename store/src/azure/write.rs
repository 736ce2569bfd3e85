//! The writing half: whole objects, uploads in blocks, copies and deletions.
//!
//! Source: "Put Blob", "Put Block", "Put Block From URL", "Put Block List", "Copy Blob" and "Delete Blob" of the
//! Azure Storage REST reference.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderName, IF_MATCH};
use http::{HeaderMap, HeaderValue, Method, Response};
use hyper::body::Incoming;
use rfuse_block::{ByteRange, ObjectKey, Version};

use super::auth::Auth;
use super::authority::EMULATOR_ACCOUNT;
use super::read::range_header;
use super::request::{Call, header_value};
use super::{AzureStore, name, xml};
use crate::http::unsendable;
use crate::{Operation, PartTag, Precondition, PutOptions, StoreError, StoreErrorKind, UploadId};

const BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");
const BLOB_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-content-type");
const COPY_SOURCE: HeaderName = HeaderName::from_static("x-ms-copy-source");
const COPY_SOURCE_AUTHORIZATION: HeaderName = HeaderName::from_static("x-ms-copy-source-authorization");
const COPY_STATUS: &str = "x-ms-copy-status";
const DELETE_SNAPSHOTS: HeaderName = HeaderName::from_static("x-ms-delete-snapshots");
const SOURCE_IF_MATCH: HeaderName = HeaderName::from_static("x-ms-source-if-match");
const SOURCE_RANGE: HeaderName = HeaderName::from_static("x-ms-source-range");

/// The highest number of a part; Azure takes 50,000 blocks.
const LAST_PART: u32 = 50_000;

/// A copy that the store makes in the background is asked after at growing distances between these.
const COPY_POLL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Given up after this many questions, about half an hour.
const COPY_POLLS: u32 = 900;

impl AzureStore {
    pub(super) async fn write_whole(
        &self,
        key: &ObjectKey,
        body: Bytes,
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError> {
        let path = self.container.object_path(Operation::Put, key)?;
        let response = self
            .send(Operation::Put, || {
                let mut call = Call::new(Method::PUT, path.clone()).condition(Operation::Put, condition)?;
                call.headers.insert(BLOB_TYPE, HeaderValue::from_static("BlockBlob"));
                describe(Operation::Put, &mut call.headers, CONTENT_TYPE, options)?;
                call.body = body.clone();
                Ok(call)
            })
            .await
            .map_err(|error| exists_if_absent_was_asked(error, condition))?;
        version_of(Operation::Put, &response)
    }

    pub(super) async fn write_block(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
    ) -> Result<PartTag, StoreError> {
        let id = block_id(upload, number)?;
        let path = self.container.object_path(Operation::Upload, key)?;
        self.send(Operation::Upload, || {
            let mut call = Call::new(Method::PUT, path.clone()).query("comp", "block").query("blockid", id.as_str());
            call.body = body.clone();
            Ok(call)
        })
        .await?;
        Ok(PartTag(id))
    }

    pub(super) async fn write_block_from(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        source: (&ObjectKey, &Version),
        range: ByteRange,
    ) -> Result<PartTag, StoreError> {
        if self.container.endpoint.account == EMULATOR_ACCOUNT {
            // Azurite 3.37 answers 201 and stores an empty block.
            let message = "the emulator does not copy into blocks";
            return Err(StoreError::new(StoreErrorKind::Unsupported, Operation::Upload, message));
        }
        let id = block_id(upload, number)?;
        let path = self.container.object_path(Operation::Upload, key)?;
        self.send_with(Operation::Upload, |auth| {
            let mut call = Call::new(Method::PUT, path.clone()).query("comp", "block").query("blockid", id.as_str());
            call.headers.insert(SOURCE_RANGE, range_header(range));
            call.headers.insert(SOURCE_IF_MATCH, header_value(Operation::Upload, source.1.as_str())?);
            self.name_source(Operation::Upload, &mut call.headers, source.0, auth)?;
            Ok(call)
        })
        .await?;
        Ok(PartTag(id))
    }

    pub(super) async fn commit_blocks(
        &self,
        key: &ObjectKey,
        parts: &[PartTag],
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError> {
        let path = self.container.object_path(Operation::Upload, key)?;
        let list = block_list(parts);
        let response = self
            .send(Operation::Upload, || {
                let mut call = Call::new(Method::PUT, path.clone())
                    .query("comp", "blocklist")
                    .condition(Operation::Upload, condition)?;
                call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
                describe(Operation::Upload, &mut call.headers, BLOB_CONTENT_TYPE, options)?;
                call.body = list.clone();
                Ok(call)
            })
            .await
            .map_err(|error| exists_if_absent_was_asked(error, condition))?;
        version_of(Operation::Upload, &response)
    }

    pub(super) async fn copy_whole(
        &self,
        source: &ObjectKey,
        target: &ObjectKey,
        condition: &Precondition,
    ) -> Result<Version, StoreError> {
        let path = self.container.object_path(Operation::Copy, target)?;
        let response = self
            .send_with(Operation::Copy, |auth| {
                let mut call = Call::new(Method::PUT, path.clone()).condition(Operation::Copy, condition)?;
                self.name_source(Operation::Copy, &mut call.headers, source, auth)?;
                call.headers.remove(COPY_SOURCE_AUTHORIZATION);
                Ok(call)
            })
            .await
            .map_err(|error| exists_if_absent_was_asked(error, condition))?;
        match copy_state(response.headers()) {
            CopyState::Done => version_of(Operation::Copy, &response),
            CopyState::Pending => self.wait_for_copy(path).await,
            CopyState::Failed => Err(copy_failed()),
        }
    }

    pub(super) async fn remove(&self, key: &ObjectKey, version: Option<&Version>) -> Result<(), StoreError> {
        let path = self.container.object_path(Operation::Delete, key)?;
        self.send(Operation::Delete, || {
            let call =
                Call::new(Method::DELETE, path.clone()).header(DELETE_SNAPSHOTS, HeaderValue::from_static("include"));
            match version {
                None => Ok(call),
                Some(version) => Ok(call.header(IF_MATCH, header_value(Operation::Delete, version.as_str())?)),
            }
        })
        .await
        .map(drop)
    }

    async fn wait_for_copy(&self, path: String) -> Result<Version, StoreError> {
        let mut pause = COPY_POLL.0;
        for _ in 0..COPY_POLLS {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(COPY_POLL.1);
            let response = self.send(Operation::Copy, || Ok(Call::new(Method::HEAD, path.clone()))).await?;
            match copy_state(response.headers()) {
                CopyState::Done => return version_of(Operation::Copy, &response),
                CopyState::Pending => {}
                CopyState::Failed => return Err(copy_failed()),
            }
        }
        Err(StoreError::new(StoreErrorKind::TimedOut, Operation::Copy, "the store did not finish the copy"))
    }

    /// The headers that name `source` and let the store read it as us.
    fn name_source(
        &self,
        operation: Operation,
        headers: &mut HeaderMap,
        source: &ObjectKey,
        auth: &Auth,
    ) -> Result<(), StoreError> {
        let path = self.container.object_path(operation, source)?;
        let mut url = self.container.endpoint.uri(path).ok_or_else(|| unsendable(operation))?.to_string();
        match auth {
            Auth::Anonymous => {}
            Auth::Sas(sas) => url.extend(["?", sas.query()]),
            Auth::Key(key) => {
                let sas = key.read_sas(&self.container.name, name::text(operation, source)?);
                url.extend(["?", sas.reveal()]);
            }
            Auth::Bearer(token) => {
                headers.insert(COPY_SOURCE_AUTHORIZATION, token.header.clone());
            }
        }
        let mut value = header_value(operation, &url)?;
        value.set_sensitive(true);
        headers.insert(COPY_SOURCE, value);
        Ok(())
    }
}

/// An id that no other upload of the object uses. Azure wants the ids of one object equally long, so all of
/// ours are: 24 bytes, 32 characters.
pub(super) fn new_upload() -> UploadId {
    UploadId(format!("{:016x}", fastrand::u64(..)))
}

fn block_id(upload: &UploadId, number: u32) -> Result<String, StoreError> {
    if number == 0 || number > LAST_PART {
        let message = format!("Azure takes parts 1 to {LAST_PART}; use larger parts");
        return Err(StoreError::new(StoreErrorKind::Unsupported, Operation::Upload, message));
    }
    Ok(STANDARD.encode(format!("{:0>16.16}{number:08}", upload.0)))
}

fn block_list(parts: &[PartTag]) -> Bytes {
    let mut list = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for PartTag(id) in parts {
        list.extend(["<Uncommitted>", &*xml::escape(id), "</Uncommitted>"]);
    }
    list.push_str("</BlockList>");
    Bytes::from(list)
}

/// Content type and metadata as headers.
fn describe(
    operation: Operation,
    headers: &mut HeaderMap,
    content_type: HeaderName,
    options: &PutOptions,
) -> Result<(), StoreError> {
    if let Some(text) = &options.content_type {
        headers.insert(content_type, header_value(operation, text)?);
    }
    for (field, value) in &options.metadata {
        let bad = |what: &str| {
            let message = format!("Azure cannot hold this {what} of metadata; use ASCII letters, digits and _");
            StoreError::new(StoreErrorKind::Unsupported, operation, message)
        };
        let header = HeaderName::try_from(format!("x-ms-meta-{field}")).map_err(|_| bad("name"))?;
        headers.insert(header, HeaderValue::from_str(value).map_err(|_| bad("value"))?);
    }
    Ok(())
}

/// `If-None-Match: *` fails as 409 on a new blob and as 412 on a block list; both mean that it exists.
fn exists_if_absent_was_asked(mut error: StoreError, condition: &Precondition) -> StoreError {
    if *condition == Precondition::Absent && error.kind == StoreErrorKind::Changed && error.status == Some(412) {
        error.kind = StoreErrorKind::Exists;
        error.message = "the object exists already".to_owned();
    }
    error
}

fn version_of(operation: Operation, response: &Response<Incoming>) -> Result<Version, StoreError> {
    let etag = response.headers().get(ETAG).and_then(|value| value.to_str().ok());
    let missing = || StoreError::new(StoreErrorKind::Malformed, operation, "the answer has no ETag");
    etag.map(Version::new).ok_or_else(missing)
}

enum CopyState {
    Done,
    Pending,
    Failed,
}

fn copy_state(headers: &HeaderMap) -> CopyState {
    match headers.get(COPY_STATUS).map(HeaderValue::as_bytes) {
        None | Some(b"success") => CopyState::Done,
        Some(b"pending") => CopyState::Pending,
        Some(_) => CopyState::Failed,
    }
}

fn copy_failed() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, Operation::Copy, "the store gave the copy up")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_ids_are_equally_long_and_their_own() {
        let (one, two) = (new_upload(), new_upload());
        let ids = [block_id(&one, 1), block_id(&one, 50_000), block_id(&two, 1)].map(Result::unwrap);
        assert!(ids.iter().all(|id| id.len() == 32));
        assert!(ids[0] != ids[1] && ids[0] != ids[2]);
        assert!(block_id(&one, 0).is_err() && block_id(&one, 50_001).is_err());
        assert!(block_id(&UploadId("from elsewhere and long".into()), 1).unwrap().len() == 32);
    }
}
