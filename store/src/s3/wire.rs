//! One signed exchange with the bucket.
//!
//! Knows where the bucket is and how a request looks; never where credentials come from, and never tries twice.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;

use super::bucket::Bucket;
use super::refusal::{self, Asked};
use super::signature::{Payload, Signer};
use crate::http::HttpClient;
use crate::{Operation, StoreError};

static X_AMZ_REQUEST_PAYER: HeaderName = HeaderName::from_static("x-amz-request-payer");

/// Headers of a request at most without growing: those of a GET and of its signature.
const USUAL_HEADERS: usize = 12;

/// The line to one bucket.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) http: HttpClient,
    pub(super) bucket: Bucket,
    pub(super) requester_pays: bool,
}

impl Wire {
    /// A request with the headers that all have.
    pub(super) fn request(&self, method: Method, uri: Uri, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let mut headers = HeaderMap::with_capacity(USUAL_HEADERS);
        headers.insert(HOST, self.bucket.host());
        if self.requester_pays {
            headers.insert(X_AMZ_REQUEST_PAYER.clone(), HeaderValue::from_static("requester"));
        }
        *request.headers_mut() = headers;
        request
    }

    /// Signs and sends `request`, whose body is `body`; the answer, if it is a success.
    ///
    /// # Errors
    /// What the answer means otherwise, or what the connection met.
    pub(super) async fn exchange(
        &self,
        asked: Asked,
        mut request: Request<Full<Bytes>>,
        body: &[u8],
        signer: Option<&Signer>,
    ) -> Result<Response<Incoming>, StoreError> {
        if let Some(signer) = signer {
            signer.sign(&mut request, Payload::of(body, self.bucket.is_encrypted()), SystemTime::now());
        }
        let response = self.http.send(asked.operation, request).await?;
        if response.status().is_success() { Ok(response) } else { Err(self.refused(asked, response).await) }
    }

    /// The document in a successful answer of at most `limit` bytes.
    pub(super) async fn document(
        &self,
        operation: Operation,
        response: Response<Incoming>,
        limit: usize,
    ) -> Result<Bytes, StoreError> {
        self.http.small_body(operation, response, limit).await
    }

    async fn refused(&self, asked: Asked, response: Response<Incoming>) -> StoreError {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.http.small_body(asked.operation, response, refusal::BODY_LIMIT).await.unwrap_or_default();
        refusal::judge(asked, self.bucket.region(), status, &headers, &body)
    }
}
