//! Where an account answers: its host, and what its paths start with.

use std::net::IpAddr;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use super::name;
use crate::{Operation, StoreError, StoreErrorKind};

/// The blob service of one account.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) account: String,
    scheme: Scheme,
    authority: Authority,
    /// What every path starts with; ends in `/`.
    base: String,
}

impl Endpoint {
    /// The usual public endpoint of `account`, or the one at `url`. A URL without a path whose host is an
    /// address or has no dot is an emulator's, which wants the account in the path.
    ///
    /// # Errors
    /// `NoHost` when the account or the URL cannot be one.
    pub(super) fn new(account: &str, url: Option<&str>) -> Result<Self, StoreError> {
        let bad = |why: &str| StoreError::new(StoreErrorKind::NoHost, Operation::Head, why);
        if account.is_empty() || !account.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(bad("an account name is made of lower-case letters and digits; check the URL"));
        }
        let usual = format!("https://{account}.blob.core.windows.net");
        let url = url.unwrap_or(&usual);
        let parsed: Uri = url.parse().map_err(|_| bad("the endpoint is not a URL"))?;
        let (Some(scheme), Some(authority)) = (parsed.scheme(), parsed.authority()) else {
            return Err(bad("the endpoint is not a URL like https://HOST[:PORT][/ACCOUNT]"));
        };
        if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
            return Err(bad("the endpoint is neither http:// nor https://"));
        }
        if parsed.query().is_some() || authority.as_str().contains('@') {
            return Err(bad("the endpoint holds a query or a password; give the SAS on its own"));
        }
        let mut base = parsed.path().trim_end_matches('/').to_owned();
        if base.is_empty() && is_emulator(authority.host()) {
            base = format!("/{account}");
        }
        base.push('/');
        Ok(Self { account: account.to_owned(), scheme: scheme.clone(), authority: authority.clone(), base })
    }

    /// Whether what we send can be read on the way.
    pub(super) fn is_plain(&self) -> bool {
        self.scheme == Scheme::HTTP
    }

    /// Whether the host is this machine.
    pub(super) fn is_local(&self) -> bool {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// The path of `container`, ending in `/`.
    pub(super) fn container_path(&self, container: &str) -> String {
        let mut path = self.base.clone();
        name::push_path(&mut path, container);
        path.push('/');
        path
    }

    /// The URL of an escaped path and query at this endpoint; none when it is not one (longer than 64 KiB).
    pub(super) fn uri(&self, path_and_query: String) -> Option<Uri> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
        Uri::from_parts(parts).ok()
    }
}

fn is_emulator(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || !bare.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_of(account: &str, endpoint: Option<&str>) -> String {
        let endpoint = Endpoint::new(account, endpoint).unwrap();
        endpoint.uri(endpoint.container_path("c")).unwrap().to_string()
    }

    #[test]
    fn the_account_is_in_the_host_or_in_the_path_of_an_emulator() {
        assert_eq!(url_of("acc", None), "https://acc.blob.core.windows.net/c/");
        assert_eq!(
            url_of("acc", Some("https://acc.blob.core.chinacloudapi.cn/")),
            "https://acc.blob.core.chinacloudapi.cn/c/"
        );
        for emulator in ["http://127.0.0.1:10000", "http://127.0.0.1:10000/dev1/", "http://127.0.0.1:10000/dev1"] {
            assert_eq!(url_of("dev1", Some(emulator)), "http://127.0.0.1:10000/dev1/c/");
        }
        assert_eq!(url_of("dev1", Some("http://azurite:10000")), "http://azurite:10000/dev1/c/");
    }

    #[test]
    fn what_is_no_endpoint_is_refused_without_repeating_it() {
        for bad in ["ftp://h", "h:1/c", "https://h/?sig=canary", "https://u:canary@h"] {
            let error = Endpoint::new("acc", Some(bad)).expect_err(bad);
            assert!(!error.to_string().contains("canary"));
        }
        assert!(Endpoint::new("Acc/../x", None).is_err());
    }
}
