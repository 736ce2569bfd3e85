//! Where a bucket is: scheme, host and the path before the key.
//!
//! Protocol: "Virtual hosting of buckets" of the S3 user guide. With AWS the bucket goes into the host name; a
//! custom endpoint gets it in the path, because few of them have a wildcard host name, and so does a bucket
//! whose dots no wildcard certificate covers.

use bytes::Bytes;
use http::header::HeaderValue;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};

use super::name;
use crate::{Operation, StoreError, StoreErrorKind};

/// The address of a bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    name: String,
    region: String,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    /// The path of the bucket, without a slash at its end: empty, or `/BUCKET` after the endpoint's own path.
    root: String,
}

impl Bucket {
    /// The bucket `name` in `region`, at AWS or at `endpoint`.
    ///
    /// # Errors
    /// `BadName` when no bucket can have this name; `Other` when the endpoint is no http or https URL;
    /// `Unsupported` for a directory bucket and for an access point.
    pub(super) fn at(
        name: &str,
        region: &str,
        endpoint: Option<&str>,
        path_style: Option<bool>,
    ) -> Result<Self, StoreError> {
        check_name(name)?;
        check_region(region)?;
        let custom = endpoint.is_some();
        let default = format!("https://s3.{region}.{}", dns_suffix(region));
        let endpoint = Endpoint::parse(endpoint.unwrap_or(&default))?;
        let in_path = path_style.unwrap_or(custom || (endpoint.scheme == Scheme::HTTPS && name.contains('.')));
        let (host, root) = if in_path {
            (endpoint.host, format!("{}/{name}", endpoint.path))
        } else {
            (format!("{name}.{}", endpoint.host), endpoint.path)
        };
        let authority = Authority::try_from(host.as_str()).map_err(|_| wrong_endpoint())?;
        let host = HeaderValue::try_from(host).map_err(|_| wrong_endpoint())?;
        Ok(Self { name: name.to_owned(), region: region.to_owned(), scheme: endpoint.scheme, authority, host, root })
    }

    /// The region that requests are signed for.
    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// Whether it is AWS itself that answers, and not a relative.
    pub(super) fn is_of_aws(&self) -> bool {
        let host = self.authority.host();
        host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
    }

    /// Whether TLS protects what is sent.
    pub(super) fn is_encrypted(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The `Host` header, as it is signed.
    pub(super) fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    /// The URI of an object, with a query that is empty or in canonical form.
    pub(super) fn object(&self, operation: Operation, key: &[u8], query: &str) -> Result<Uri, StoreError> {
        let mut path = String::with_capacity(self.root.len() + key.len() * 5 / 4 + query.len() + 2);
        path.push_str(&self.root);
        path.push('/');
        name::push_path(&mut path, key);
        self.uri(operation, path, query)
    }

    /// The URI of the bucket itself, with a query in canonical form.
    pub(super) fn itself(&self, operation: Operation, query: &str) -> Result<Uri, StoreError> {
        let path = if self.root.is_empty() { "/".to_owned() } else { self.root.clone() };
        self.uri(operation, path, query)
    }

    /// An object of this bucket as `x-amz-copy-source` names it.
    pub(super) fn copy_source(&self, key: &[u8]) -> String {
        let mut source = format!("/{}/", self.name);
        name::push_path(&mut source, key);
        source
    }

    fn uri(&self, operation: Operation, mut path: String, query: &str) -> Result<Uri, StoreError> {
        if !query.is_empty() {
            path.push('?');
            path.push_str(query);
        }
        let unsendable = || crate::http::unsendable(operation);
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::from_maybe_shared(Bytes::from(path)).map_err(|_| unsendable())?);
        Uri::from_parts(parts).map_err(|_| unsendable())
    }
}

/// The base URL of a service.
struct Endpoint {
    scheme: Scheme,
    /// Host and port; the port only where it is not the scheme's own.
    host: String,
    /// Empty, or a path without a slash at its end.
    path: String,
}

impl Endpoint {
    fn parse(text: &str) -> Result<Self, StoreError> {
        let uri: Uri = text.trim().parse().map_err(|_| wrong_endpoint())?;
        let scheme = uri.scheme().filter(|s| **s == Scheme::HTTP || **s == Scheme::HTTPS).ok_or_else(wrong_endpoint)?;
        let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or_else(wrong_endpoint)?;
        if uri.query().is_some() {
            return Err(wrong_endpoint());
        }
        let own_port = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = match authority.port_u16() {
            Some(port) if port != own_port => format!("{}:{port}", authority.host()),
            _ => authority.host().to_owned(),
        };
        Ok(Self { scheme: scheme.clone(), host, path: uri.path().trim_end_matches('/').to_owned() })
    }
}

fn wrong_endpoint() -> StoreError {
    let text = "the endpoint must be http://HOST[:PORT] or https://HOST[:PORT], without user, password or query";
    StoreError::new(StoreErrorKind::Other, Operation::Head, text)
}

/// General-purpose bucket names, those from before 2018 in us-east-1 too.
fn check_name(name: &str) -> Result<(), StoreError> {
    let refuse = |kind, text: &str| Err(StoreError::new(kind, Operation::Head, text));
    if name.starts_with("arn:") {
        return refuse(StoreErrorKind::Unsupported, "give an access point by its alias, not by its ARN");
    }
    if name.ends_with("--x-s3") {
        return refuse(StoreErrorKind::Unsupported, "directory buckets (S3 Express One Zone) are not supported");
    }
    let sound = (3..=255).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if sound {
        Ok(())
    } else {
        refuse(StoreErrorKind::BadName, "a bucket name is 3 to 63 letters, digits, dots and hyphens")
    }
}

/// A region goes into a host name and into what is signed.
fn check_region(region: &str) -> Result<(), StoreError> {
    let sound = !region.is_empty()
        && region.len() <= 64
        && region.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if sound {
        Ok(())
    } else {
        let text = "a region is written like eu-west-1";
        Err(StoreError::new(StoreErrorKind::Other, Operation::Head, text))
    }
}

fn dns_suffix(region: &str) -> &'static str {
    let suffixes = [
        ("cn-", "amazonaws.com.cn"),
        ("eusc-", "amazonaws.eu"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("us-iso-", "c2s.ic.gov"),
    ];
    suffixes.iter().find(|(start, _)| region.starts_with(start)).map_or("amazonaws.com", |(_, suffix)| suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(bucket: &str, region: &str, endpoint: Option<&str>, path_style: Option<bool>) -> String {
        let bucket = Bucket::at(bucket, region, endpoint, path_style).unwrap();
        let object = bucket.object(Operation::Get, b"a//b c", "").unwrap();
        assert_eq!(bucket.host(), object.authority().unwrap().as_str());
        object.to_string()
    }

    #[test]
    fn the_bucket_is_in_the_host_at_aws_and_in_the_path_elsewhere() {
        for (bucket, region, endpoint, path_style, expected) in [
            ("logs", "eu-west-1", None, None, "https://logs.s3.eu-west-1.amazonaws.com/a//b%20c"),
            ("logs", "eu-west-1", None, Some(true), "https://s3.eu-west-1.amazonaws.com/logs/a//b%20c"),
            ("my.logs", "us-east-1", None, None, "https://s3.us-east-1.amazonaws.com/my.logs/a//b%20c"),
            ("logs", "cn-north-1", None, None, "https://logs.s3.cn-north-1.amazonaws.com.cn/a//b%20c"),
            ("logs", "r", Some("http://127.0.0.1:9000/"), None, "http://127.0.0.1:9000/logs/a//b%20c"),
            ("logs", "r", Some("https://h.example:443/s3/"), None, "https://h.example/s3/logs/a//b%20c"),
            ("logs", "r", Some("http://h.example"), Some(false), "http://logs.h.example/a//b%20c"),
            ("logs", "r", Some("http://[::1]:9000"), None, "http://[::1]:9000/logs/a//b%20c"),
        ] {
            assert_eq!(uri(bucket, region, endpoint, path_style), expected);
        }
    }

    #[test]
    fn the_bucket_itself_has_a_path_of_its_own() {
        let bucket = Bucket::at("logs", "r", None, None).unwrap();
        assert_eq!(bucket.itself(Operation::List, "a=b").unwrap().path_and_query().unwrap(), "/?a=b");
        let bucket = Bucket::at("logs", "r", Some("http://h"), None).unwrap();
        assert_eq!(bucket.itself(Operation::List, "a=b").unwrap().path_and_query().unwrap(), "/logs?a=b");
        assert_eq!(bucket.copy_source("a b/é".as_bytes()), "/logs/a%20b/%C3%A9");
    }

    #[test]
    fn what_cannot_be_an_endpoint_a_bucket_or_a_region_is_refused_without_being_shown() {
        for endpoint in ["minio:9000", "ftp://h", "http://user:canary@h", "http://h?canary", "", "http://"] {
            let error = Bucket::at("logs", "r", Some(endpoint), None).unwrap_err().to_string();
            assert!(error.contains("http://HOST") && !error.contains("canary"), "{error}");
        }
        for name in ["ab", "-logs", "lo/gs", "logs?x", "a@b", ""] {
            assert_eq!(Bucket::at(name, "r", None, None).unwrap_err().kind, StoreErrorKind::BadName, "{name}");
        }
        for name in ["arn:aws:s3:eu-west-1:1:accesspoint/x", "logs--use1-az4--x-s3"] {
            assert_eq!(Bucket::at(name, "r", None, None).unwrap_err().kind, StoreErrorKind::Unsupported);
        }
        for region in ["", "eu west", "evil.example/"] {
            assert!(Bucket::at("logs", region, None, None).is_err(), "{region}");
        }
    }
}
