//! One request to the blob service: built, signed and sent as somebody.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use rfuse_block::ObjectKey;
use std::time::SystemTime;

use super::auth::Auth;
use super::endpoint::Endpoint;
use super::name;
use super::refusal::Refusal;
use super::shared_key::Signed;
use crate::http::{HttpClient, unsendable};
use crate::{Operation, Precondition, StoreError};

/// The version of the REST protocol we speak: the first with everything used here is 2021-02-12, and this one
/// is understood by the emulator and the appliances too.
pub(super) const VERSION: &str = "2021-12-02";

/// Longest error body that is read.
const ERROR_LIMIT: usize = 64 * 1024;

pub(super) const X_MS_VERSION: HeaderName = HeaderName::from_static("x-ms-version");
pub(super) const X_MS_DATE: HeaderName = HeaderName::from_static("x-ms-date");

/// A request that is not signed yet.
pub(super) struct Call {
    pub(super) method: Method,
    /// Escaped.
    pub(super) path: String,
    /// Not escaped.
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    /// A call without query, headers and body.
    pub(super) fn new(method: Method, path: String) -> Self {
        Self { method, path, query: Vec::new(), headers: HeaderMap::with_capacity(8), body: Bytes::new() }
    }

    /// The same with one more query parameter.
    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// The same with one more header.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The same with the headers that `condition` asks for.
    pub(super) fn condition(self, operation: Operation, condition: &Precondition) -> Result<Self, StoreError> {
        match condition {
            Precondition::None => Ok(self),
            Precondition::Absent => Ok(self.header(IF_NONE_MATCH, HeaderValue::from_static("*"))),
            Precondition::Matches(version) => Ok(self.header(IF_MATCH, header_value(operation, version.as_str())?)),
        }
    }
}

/// `text` as a header, if HTTP can carry it.
pub(super) fn header_value(operation: Operation, text: &str) -> Result<HeaderValue, StoreError> {
    HeaderValue::from_str(text).map_err(|_| unsendable(operation))
}

/// One container at one endpoint.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) http: HttpClient,
    pub(super) endpoint: Endpoint,
    pub(super) name: String,
    /// Escaped; ends in `/`.
    path: String,
}

impl Container {
    pub(super) fn new(http: HttpClient, endpoint: Endpoint, name: &str) -> Self {
        let path = endpoint.container_path(name);
        Self { http, endpoint, name: name.to_owned(), path }
    }

    /// The escaped path of an object.
    pub(super) fn object_path(&self, operation: Operation, key: &ObjectKey) -> Result<String, StoreError> {
        let text = name::text(operation, key)?;
        let mut path = String::with_capacity(self.path.len() + text.len() + text.len() / 2);
        path.push_str(&self.path);
        name::push_path(&mut path, text);
        Ok(path)
    }

    /// The escaped path of the container itself.
    pub(super) fn path(&self) -> &str {
        self.path.trim_end_matches('/')
    }

    /// Sends `call` as `auth`; an answer is one of success, all others are errors.
    pub(super) async fn send_as(
        &self,
        operation: Operation,
        auth: &Auth,
        call: Call,
    ) -> Result<Response<Incoming>, StoreError> {
        let response = self.http.send(operation, self.build(operation, auth, call)?).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let error_answer = Refusal::new(operation, &parts, auth);
        let body = self.http.small_body(operation, Response::from_parts(parts.clone(), body), ERROR_LIMIT).await;
        Err(error_answer.explain(&body.unwrap_or_default()))
    }

    fn build(&self, operation: Operation, auth: &Auth, call: Call) -> Result<Request<Full<Bytes>>, StoreError> {
        let Call { method, path, query, mut headers, body } = call;
        if method == Method::PUT {
            // The service refuses a PUT that leaves the length of an empty body out.
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        headers.insert(X_MS_VERSION, HeaderValue::from_static(VERSION));
        if matches!(auth, Auth::Key(_) | Auth::Bearer(_)) {
            let now = httpdate::fmt_http_date(SystemTime::now());
            headers.insert(X_MS_DATE, HeaderValue::try_from(now).map_err(|_| unsendable(operation))?);
        }
        match auth {
            Auth::Anonymous | Auth::Sas(_) => {}
            Auth::Bearer(token) => {
                headers.insert(AUTHORIZATION, token.header.clone());
            }
            Auth::Key(key) => {
                let signed =
                    Signed { method: &method, headers: &headers, body_length: body.len(), path: &path, query: &query };
                let value = key.authorization(&signed).ok_or_else(|| unsendable(operation))?;
                headers.insert(AUTHORIZATION, value);
            }
        }
        let uri = self.endpoint.uri(with_query(path, &query, auth)).ok_or_else(|| unsendable(operation))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// `path?query&sas`, escaped.
fn with_query(mut path: String, query: &[(&'static str, String)], auth: &Auth) -> String {
    let mut next = '?';
    for (name, value) in query {
        path.push(next);
        path.push_str(name);
        path.push('=');
        name::push_query(&mut path, value);
        next = '&';
    }
    if let Auth::Sas(sas) = auth {
        path.push(next);
        path.push_str(sas.query());
    }
    path
}
