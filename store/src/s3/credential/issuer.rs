//! The world that credentials come from: environment, files, and services that issue them.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use reqsign_core::{Context, Error, HttpSend, OsEnv};
use reqsign_file_read_tokio::TokioFileRead;
use rfuse_config::Limits;

use crate::StoreError;
use crate::http::HttpClient;

/// A metadata service that is there answers in milliseconds; where it is not, nothing answers.
const NEAR_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const NEAR_STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// This machine's environment and files, and its ways to issuers; those that are not on this machine are
/// reached through `http`.
pub(in crate::s3) fn world(http: HttpClient, limits: &Limits) -> Result<Context, StoreError> {
    let near = Limits {
        connect_timeout: limits.connect_timeout.min(NEAR_CONNECT_TIMEOUT),
        stall_timeout: limits.stall_timeout.min(NEAR_STALL_TIMEOUT),
        requests_in_flight: 1,
        ..limits.clone()
    };
    let issuers = Issuers { near: HttpClient::direct(&near)?, far: http };
    Ok(Context::new().with_env(OsEnv).with_file_read(TokioFileRead).with_http_send(issuers))
}

/// Two ways to an issuer: never through a proxy to this machine's own, as usual to the others.
#[derive(Debug)]
struct Issuers {
    near: HttpClient,
    far: HttpClient,
}

impl HttpSend for Issuers {
    async fn http_send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let way = if is_near(request.uri()) { &self.near } else { &self.far };
        way.http_send(request).await
    }
}

/// Whether `uri` is on this machine or on its link: the metadata services of AWS are at 169.254.169.254,
/// 169.254.170.2, 169.254.170.23 and `fd00:ec2::`.
fn is_near(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    host == "localhost"
        || host == "[::1]"
        || host.starts_with("[fd00:ec2::")
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback() || address.is_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_services_are_near_and_sts_is_far() {
        for near in
            ["http://169.254.169.254/x", "http://[fd00:ec2::254]/", "http://localhost:5/", "http://127.0.0.1:1/"]
        {
            assert!(is_near(&near.parse().unwrap()), "{near}");
        }
        for far in ["https://sts.eu-west-1.amazonaws.com/", "https://169.254.example/", "https://10.0.0.1/"] {
            assert!(!is_near(&far.parse().unwrap()), "{far}");
        }
    }
}
