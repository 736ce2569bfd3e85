//! S3 and what speaks its language.
//!
//! Protocol: the S3 REST API, version 2006-03-01, over our own client and signature. One call is one request,
//! but for the first one after a session token has expired and for a copy with a condition. Keys go on the wire byte for byte; keys that are
//! empty, not UTF-8 or longer than 1,024 bytes are `BadName` before anything is sent.
//!
//! Keys are those of the bucket; the prefix of a location is the caller's to put in front.

mod bucket;
mod credential;
mod listing;
mod metadata;
mod name;
mod receipt;
mod refusal;
mod region;
mod signature;
mod speakable;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, RANGE};
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use reqsign_core::Context;
use rfuse_block::{ByteRange, ObjectKey, Version};
use rfuse_config::{Location, StoreConfig};

use crate::http::{HttpClient, unsendable};
use crate::{
    CredentialControl, Fetched, Get, Landing, ListPage, ListRequest, ObjectMeta, Operation, PartTag, Precondition,
    PutOptions, Store, StoreError, StoreErrorKind, UploadId,
};
use bucket::Bucket;
use credential::Credentials;
use refusal::{Asked, Condition};
use wire::Wire;

static X_AMZ_COPY_SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");
static X_AMZ_COPY_SOURCE_IF_MATCH: HeaderName = HeaderName::from_static("x-amz-copy-source-if-match");
static X_AMZ_COPY_SOURCE_RANGE: HeaderName = HeaderName::from_static("x-amz-copy-source-range");

/// A bucket.
#[derive(Debug)]
pub struct S3Store {
    wire: Arc<Wire>,
    credentials: Arc<Credentials>,
}

impl S3Store {
    /// The bucket that `config` names, with a credential already in hand, and the handle that renews it.
    /// Must be called inside a tokio runtime, which watches the credential file from then on.
    ///
    /// # Errors
    /// `Other` for a location that is not S3 and for an unusable endpoint; `BadName`, `Unsupported` for the
    /// bucket; `NoCredential` when no source has one; `Tls` when the CA file cannot be read.
    pub async fn open(config: &StoreConfig) -> Result<(Self, Arc<dyn CredentialControl>), StoreError> {
        let http = HttpClient::new(&config.limits, config.ca_file.as_deref())?;
        let world = credential::world(http.clone(), &config.limits)?;
        Self::open_in(config, http, world).await
    }

    /// The same with environment, files and issuers of the caller's choice.
    async fn open_in(
        config: &StoreConfig,
        http: HttpClient,
        world: Context,
    ) -> Result<(Self, Arc<dyn CredentialControl>), StoreError> {
        let Location::S3 { bucket, .. } = &config.location else {
            return Err(StoreError::new(StoreErrorKind::Other, Operation::Head, "the location is not in S3"));
        };
        let region = region::choose(config, &world).await?;
        let bucket = Bucket::at(bucket, &region, config.endpoint.as_deref(), config.path_style)?;
        let wire = Arc::new(Wire { http, bucket, requester_pays: config.requester_pays });
        let credentials = Credentials::open(&config.aws, world, wire.clone()).await?;
        Ok((Self { wire, credentials: credentials.clone() }, credentials))
    }

    /// Makes the bucket, for emulators, demonstrations and tests.
    ///
    /// # Errors
    /// What the server says, `Exists` for a bucket that is there.
    pub async fn create_bucket(&self) -> Result<(), StoreError> {
        let asked = Asked::plain(Operation::Put);
        let make = |body| Ok(self.wire.request(Method::PUT, self.wire.bucket.itself(Operation::Put, "")?, body));
        self.call(asked, &Bytes::new(), make).await.map(drop)
    }

    /// Sends what `make` makes; once more with a fresh credential when the one it was signed with has expired.
    async fn call(
        &self,
        asked: Asked,
        body: &Bytes,
        make: impl Fn(Bytes) -> Result<Request<Full<Bytes>>, StoreError> + Send + Sync,
    ) -> Result<Response<Incoming>, StoreError> {
        let held = self.credentials.current().await?;
        let first = self.wire.exchange(asked, make(body.clone())?, body, held.signer()).await;
        let Err(error) = first else { return first };
        if !held.may_have_expired(&error) {
            return Err(error);
        }
        match self.credentials.after_refusal(&held).await {
            Some(fresh) => self.wire.exchange(asked, make(body.clone())?, body, fresh.signer()).await,
            None => Err(held.explain(error)),
        }
    }

    /// A call about `key` whose request has `query` and the headers that `fill` puts in.
    async fn about(
        &self,
        asked: Asked,
        method: Method,
        key: &ObjectKey,
        query: &str,
        body: Bytes,
        fill: impl Fn(&mut http::HeaderMap) -> Result<(), StoreError> + Send + Sync,
    ) -> Result<Response<Incoming>, StoreError> {
        let name = name::bytes_of(asked.operation, key)?;
        let make = |body| {
            let uri = self.wire.bucket.object(asked.operation, name, query)?;
            let mut request = self.wire.request(method.clone(), uri, body);
            fill(request.headers_mut())?;
            Ok(request)
        };
        self.call(asked, &body, make).await.map_err(|error| error.about(key))
    }
}

#[async_trait]
impl Store for S3Store {
    async fn get(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
        let asked = Asked::plain(Operation::Get);
        let fill = |headers: &mut http::HeaderMap| {
            headers.insert(RANGE, range_value(Operation::Get, get.range)?);
            if let Some(version) = get.version {
                headers.insert(IF_MATCH, version_value(Operation::Get, version)?);
            }
            Ok(())
        };
        let response = self.about(asked, Method::GET, get.key, "", Bytes::new(), fill).await?;
        let landed = self.wire.http.land(Operation::Get, response, &get, landing).await;
        landed.map_err(|error| error.about(get.key))
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        let asked = Asked::plain(Operation::Head);
        let response = self.about(asked, Method::HEAD, key, "", Bytes::new(), |_| Ok(())).await?;
        metadata::read(key, response.headers()).map_err(|error| error.about(key))
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<ListPage, StoreError> {
        let asked = Asked::plain(Operation::List);
        let query = listing::query(&request)?;
        let make = |body| {
            let uri = self.wire.bucket.itself(Operation::List, &query)?;
            Ok(self.wire.request(Method::GET, uri, body))
        };
        let response = self.call(asked, &Bytes::new(), make).await?;
        let body = self.wire.document(Operation::List, response, listing::BODY_LIMIT).await?;
        listing::parse(&body, request.prefix)
    }

    async fn put(
        &self,
        key: &ObjectKey,
        body: Bytes,
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError> {
        let asked = writing(Operation::Put, condition);
        let fill = |headers: &mut http::HeaderMap| {
            metadata::write(Operation::Put, options, headers)?;
            insert_condition(Operation::Put, condition, headers)
        };
        let response = self.about(asked, Method::PUT, key, "", body, fill).await?;
        receipt::version_in(Operation::Put, response.headers())
    }

    async fn begin_upload(&self, key: &ObjectKey, options: &PutOptions) -> Result<UploadId, StoreError> {
        let asked = Asked::plain(Operation::Upload);
        let fill = |headers: &mut http::HeaderMap| metadata::write(Operation::Upload, options, headers);
        let response = self.about(asked, Method::POST, key, "uploads=", Bytes::new(), fill).await?;
        receipt::upload_id(&self.wire, response).await
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
    ) -> Result<PartTag, StoreError> {
        let asked = Asked::plain(Operation::Upload);
        let response = self.about(asked, Method::PUT, key, &part_query(upload, number), body, |_| Ok(())).await?;
        let etag = receipt::version_in(Operation::Upload, response.headers())?;
        Ok(receipt::part_tag(number, &etag))
    }

    async fn copy_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        source: &ObjectKey,
        version: &Version,
        range: ByteRange,
    ) -> Result<PartTag, StoreError> {
        let asked = Asked { operation: Operation::Copy, condition: Condition::Matches };
        let source = self.source_value(source)?;
        let fill = |headers: &mut http::HeaderMap| {
            headers.insert(X_AMZ_COPY_SOURCE.clone(), source.clone());
            headers.insert(X_AMZ_COPY_SOURCE_IF_MATCH.clone(), version_value(Operation::Copy, version)?);
            headers.insert(X_AMZ_COPY_SOURCE_RANGE.clone(), range_value(Operation::Copy, range)?);
            Ok(())
        };
        let query = part_query(upload, number);
        let response = self.about(asked, Method::PUT, key, &query, Bytes::new(), fill).await?;
        let etag = receipt::version_of(&self.wire, asked, response).await.map_err(|error| error.about(key))?;
        Ok(receipt::part_tag(number, &etag))
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: &Precondition,
        _options: &PutOptions,
    ) -> Result<Version, StoreError> {
        let asked = writing(Operation::Upload, condition);
        let body = Bytes::from(receipt::part_list(parts)?);
        let fill = |headers: &mut http::HeaderMap| insert_condition(Operation::Upload, condition, headers);
        let response = self.about(asked, Method::POST, key, &upload_query(upload), body, fill).await?;
        receipt::version_of(&self.wire, asked, response).await.map_err(|error| error.about(key))
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
        let asked = Asked::plain(Operation::Upload);
        self.about(asked, Method::DELETE, key, &upload_query(upload), Bytes::new(), |_| Ok(())).await.map(drop)
    }

    async fn copy(
        &self,
        source: &ObjectKey,
        target: &ObjectKey,
        condition: &Precondition,
    ) -> Result<Version, StoreError> {
        let asked = writing(Operation::Copy, condition);
        let source = self.source_value(source)?;
        self.check_target(Operation::Copy, target, condition).await?;
        let fill = |headers: &mut http::HeaderMap| {
            headers.insert(X_AMZ_COPY_SOURCE.clone(), source.clone());
            insert_condition(Operation::Copy, condition, headers)
        };
        let response = self.about(asked, Method::PUT, target, "", Bytes::new(), fill).await?;
        receipt::version_of(&self.wire, asked, response).await.map_err(|error| error.about(target))
    }

    async fn delete(&self, key: &ObjectKey, version: Option<&Version>) -> Result<(), StoreError> {
        let asked = Asked::plain(Operation::Delete);
        if let Some(version) = version.filter(|_| !self.wire.bucket.is_of_aws()) {
            self.check_target(Operation::Delete, key, &Precondition::Matches(version.clone())).await?;
        }
        let fill = |headers: &mut http::HeaderMap| {
            if let Some(version) = version {
                headers.insert(IF_MATCH, version_value(Operation::Delete, version)?);
            }
            Ok(())
        };
        self.about(asked, Method::DELETE, key, "", Bytes::new(), fill).await.map(drop)
    }
}

impl S3Store {
    /// Looks before a conditional copy or deletion: AWS checks the condition itself, but servers that do not know
    /// it there (versitygw 1.8 for copies, MinIO for deletions) would go ahead without a word. With those, a write
    /// between the look and the call is lost.
    async fn check_target(
        &self,
        operation: Operation,
        target: &ObjectKey,
        condition: &Precondition,
    ) -> Result<(), StoreError> {
        if *condition == Precondition::None {
            return Ok(());
        }
        let refuse = |kind, text: &str| Err(StoreError::new(kind, operation, text).about(target));
        match (condition, self.head(target).await) {
            (Precondition::Absent, Ok(_)) => refuse(StoreErrorKind::Exists, "the object exists already"),
            (Precondition::Matches(wanted), Ok(meta)) if meta.version != *wanted => {
                refuse(StoreErrorKind::Changed, "the object was replaced by another version")
            }
            (Precondition::Matches(_), Err(error)) if error.kind == StoreErrorKind::NotFound => {
                refuse(StoreErrorKind::Changed, "the object was deleted")
            }
            (_, Err(error)) if error.kind != StoreErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn source_value(&self, source: &ObjectKey) -> Result<HeaderValue, StoreError> {
        let source = self.wire.bucket.copy_source(name::bytes_of(Operation::Copy, source)?);
        HeaderValue::try_from(source).map_err(|_| unsendable(Operation::Copy))
    }
}

fn writing(operation: Operation, condition: &Precondition) -> Asked {
    let condition = match condition {
        Precondition::None => Condition::None,
        Precondition::Absent => Condition::Absent,
        Precondition::Matches(_) => Condition::Matches,
    };
    Asked { operation, condition }
}

fn insert_condition(
    operation: Operation,
    condition: &Precondition,
    headers: &mut http::HeaderMap,
) -> Result<(), StoreError> {
    match condition {
        Precondition::None => {}
        Precondition::Absent => {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        Precondition::Matches(version) => {
            headers.insert(IF_MATCH, version_value(operation, version)?);
        }
    }
    Ok(())
}

/// The one form of a range that every server knows; never empty.
fn range_value(operation: Operation, range: ByteRange) -> Result<HeaderValue, StoreError> {
    if range.is_empty() {
        return Err(StoreError::new(StoreErrorKind::Other, operation, "a range needs at least one byte"));
    }
    let text = format!("bytes={}-{}", range.start(), range.end() - 1);
    HeaderValue::try_from(text).map_err(|_| unsendable(operation))
}

fn version_value(operation: Operation, version: &Version) -> Result<HeaderValue, StoreError> {
    HeaderValue::from_str(version.as_str()).map_err(|_| unsendable(operation))
}

fn upload_query(upload: &UploadId) -> String {
    let mut query = String::from("uploadId=");
    name::push_query(&mut query, &upload.0);
    query
}

fn part_query(upload: &UploadId, number: u32) -> String {
    format!("partNumber={number}&{}", upload_query(upload))
}

#[cfg(test)]
mod tests;
