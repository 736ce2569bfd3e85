//! The same client for the code that asks metadata and token services for credentials.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use reqsign_core::{Error, HttpSend};

use super::HttpClient;
use crate::Operation;

/// Longest believed answer of a token service.
const ANSWER_LIMIT: usize = 1 << 20;

impl HttpSend for HttpClient {
    async fn http_send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let failed = |error: crate::StoreError| Error::unexpected(error.to_string());
        let response = self.send(Operation::Credential, request.map(Full::new)).await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.small_body(Operation::Credential, response, ANSWER_LIMIT).await.map_err(failed)?;
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}
