//! The one HTTP client of the room: a pool of HTTP/1.1 connections that both clouds share.
//!
//! The idea: a small ranged GET must cost little more than writing a request to an open socket, so there is
//! no middleware, no retry, no redirect and no buffering here. What it never does: put a URL, a header or a
//! body into an error, because a SAS travels in the query string and stores echo signatures.
//!
//! Dropping any future of this file cancels the request; a connection in the middle of an answer is closed.

mod body;
mod connector;
mod content_range;
mod failure;
mod issuer;
mod status;
mod trust;

#[cfg(test)]
pub(crate) mod odd_server;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rfuse_config::Limits;
use tokio::time::timeout;

use crate::{Fetched, Get, Landing, Operation, StoreError, StoreErrorKind};
use connector::Connector;

pub(crate) use status::{clock, refusal, server_time};

/// How long an unused connection is kept. Azure and S3 close theirs later than this or say so.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes received at once at most. What lies there is copied on while the processor still has it in its cache, and a
/// small answer waits less behind large ones than with hyper's own 400 KiB.
const RECEIVE_BUFFER: usize = 64 << 10;

/// An upload may take this long a byte beyond the stall time before its answer is due: 256 KiB a second.
const SLOWEST_UPLOAD_BYTES_PER_SECOND: u64 = 256 * 1024;

/// A cheap-to-clone handle on the connection pool.
#[derive(Clone)]
pub(crate) struct HttpClient {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client<Connector, Full<Bytes>>,
    proxies: Option<Arc<Matcher>>,
    stall_timeout: Duration,
}

impl HttpClient {
    /// A client that trusts the system's certificate authorities (or those of `SSL_CERT_FILE`) and those in
    /// `ca_file`, and that honours `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`. No connection
    /// is opened yet. Idle connections are kept up to `limits.requests_in_flight` a host.
    ///
    /// # Errors
    /// `Tls` when `ca_file` cannot be read or holds no certificate.
    pub(crate) fn new(limits: &Limits, ca_file: Option<&Path>) -> Result<Self, StoreError> {
        Self::with_proxies(limits, ca_file, Matcher::from_env())
    }

    /// A client that never goes through a proxy and trusts the system's authorities alone: for the metadata
    /// services of this machine.
    ///
    /// # Errors
    /// None so far; a machine without authorities can still speak plain http.
    pub(crate) fn direct(limits: &Limits) -> Result<Self, StoreError> {
        Self::with_proxies(limits, None, Matcher::builder().build())
    }

    fn with_proxies(limits: &Limits, ca_file: Option<&Path>, proxies: Matcher) -> Result<Self, StoreError> {
        let tls = trust::client_config(ca_file)?;
        let proxies = Some(Arc::new(proxies));
        let connector = Connector::new(tls, proxies.clone(), limits.connect_timeout);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(limits.requests_in_flight)
            .http1_max_buf_size(RECEIVE_BUFFER)
            .build(connector);
        Ok(Self { inner: Arc::new(Inner { client, proxies, stall_timeout: limits.stall_timeout }) })
    }

    /// Sends `request` and waits for the head of the answer, whatever its status: for at most the stall
    /// time, and longer in proportion to the body sent.
    ///
    /// # Errors
    /// `NoHost`, `Unreachable`, `Tls`, `TimedOut`, `Cut`, `Malformed`; never anything about the status.
    pub(crate) async fn send(
        &self,
        operation: Operation,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, StoreError> {
        self.authorize_to_proxy(&mut request);
        let patience = self.patience(&request);
        match timeout(patience, self.inner.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure::from_client(operation, &error)),
            Err(_) => Err(failure::silence(operation, patience)),
        }
    }

    /// Checks that `response` (206, or 200 for the whole object) answers `get`, and streams its body into
    /// `landing`. Only for answers of success: anything else goes through [`refusal`] first.
    ///
    /// # Errors
    /// As [`Store::get`](crate::Store::get): `Changed`, `Cut`, `Malformed`, `TimedOut`.
    pub(crate) async fn land(
        &self,
        operation: Operation,
        response: Response<Incoming>,
        get: &Get<'_>,
        landing: &mut Landing<'_>,
    ) -> Result<Fetched, StoreError> {
        body::land(operation, self.inner.stall_timeout, response, get, landing).await
    }

    /// The whole body of `response`, if it has no more than `limit` bytes.
    ///
    /// # Errors
    /// `Malformed` when it is longer; `Cut`, `TimedOut`.
    pub(crate) async fn small_body(
        &self,
        operation: Operation,
        response: Response<Incoming>,
        limit: usize,
    ) -> Result<Bytes, StoreError> {
        body::small(operation, self.inner.stall_timeout, response, limit).await
    }

    /// A plain-http request through a proxy carries the proxy's password itself; a tunnel sends it once.
    fn authorize_to_proxy(&self, request: &mut Request<Full<Bytes>>) {
        if request.uri().scheme() != Some(&http::uri::Scheme::HTTP) {
            return;
        }
        let proxy = self.inner.proxies.as_ref().and_then(|proxies| proxies.intercept(request.uri()));
        if let Some(auth) = proxy.as_ref().and_then(|proxy| proxy.basic_auth()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, auth.clone());
        }
    }

    fn patience(&self, request: &Request<Full<Bytes>>) -> Duration {
        let length = request.body().size_hint().exact().unwrap_or(0);
        self.inner.stall_timeout + Duration::from_millis(length.saturating_mul(1000) / SLOWEST_UPLOAD_BYTES_PER_SECOND)
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}

/// A failure to build a request: a header or URL that HTTP cannot carry.
pub(crate) fn unsendable(operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Other, operation, "the request holds a character that HTTP cannot carry")
}

#[cfg(test)]
mod tests;
