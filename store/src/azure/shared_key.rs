//! Signing with the account key: the `SharedKey` scheme, and a short SAS for the source of a copy.
//!
//! Source: "Authorize with Shared Key" and "Create a service SAS" of the Azure Storage REST reference. Our own
//! because it is on the way of every small read: the keyed hash is made once and cloned.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, DATE, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use rfuse_config::Secret;
use sha2::Sha256;
use smallvec::SmallVec;

use super::name;
use super::request::VERSION;

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// An account key, ready to sign.
#[derive(Clone)]
pub(super) struct SharedKey {
    account: String,
    keyed: Hmac<Sha256>,
}

/// What is signed of a request.
pub(super) struct Signed<'a> {
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    pub(super) body_length: usize,
    /// Escaped, as it is sent.
    pub(super) path: &'a str,
    /// Not escaped; names in lower case.
    pub(super) query: &'a [(&'static str, String)],
}

impl SharedKey {
    /// A signer for `account`; none when `key` is not base64.
    pub(super) fn new(account: &str, key: &Secret) -> Option<Self> {
        let bytes = STANDARD.decode(key.reveal().trim()).ok()?;
        let keyed = Hmac::new_from_slice(&bytes).ok()?;
        Some(Self { account: account.to_owned(), keyed })
    }

    /// The value of the `Authorization` header of a request.
    pub(super) fn authorization(&self, request: &Signed<'_>) -> Option<HeaderValue> {
        let signature = self.signature(&self.string_to_sign(request));
        let mut value = HeaderValue::try_from(format!("SharedKey {}:{signature}", self.account)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// A SAS for reading `blob` of `container` (names not escaped) for an hour.
    pub(super) fn read_sas(&self, container: &str, blob: &str) -> Secret {
        let resource = format!("/blob/{}/{container}/{blob}", self.account);
        self.service_sas("b", &resource, "r", SystemTime::now() + Duration::from_secs(3600))
    }

    /// A SAS for everything in `container` (not escaped), for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn container_sas(&self, container: &str, permissions: &str, expiry: SystemTime) -> Secret {
        self.service_sas("c", &format!("/blob/{}/{container}", self.account), permissions, expiry)
    }

    /// A service SAS for `resource` of kind `kind` (`b` a blob, `c` a container).
    pub(super) fn service_sas(&self, kind: &str, resource: &str, permissions: &str, expiry: SystemTime) -> Secret {
        let expiry = Timestamp::try_from(expiry).unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ");
        // Sixteen fields, one a line; those not used are empty.
        let text = format!("{permissions}\n\n{expiry}\n{resource}\n\n\n\n{VERSION}\n{kind}\n\n\n\n\n\n\n");
        let mut sas = format!("sv={VERSION}&sr={kind}&sp={permissions}&se=");
        name::push_query(&mut sas, &expiry.to_string());
        sas.push_str("&sig=");
        name::push_query(&mut sas, &self.signature(&text));
        Secret::new(sas)
    }

    fn signature(&self, text: &str) -> String {
        let mut hash = self.keyed.clone();
        hash.update(text.as_bytes());
        STANDARD.encode(hash.finalize().into_bytes())
    }

    fn string_to_sign(&self, request: &Signed<'_>) -> String {
        let mut text = String::with_capacity(512);
        let header = |text: &mut String, name: &HeaderName| {
            text.push_str(request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default());
            text.push('\n');
        };
        text.push_str(request.method.as_str());
        text.push('\n');
        header(&mut text, &CONTENT_ENCODING);
        header(&mut text, &CONTENT_LANGUAGE);
        if request.body_length > 0 {
            text.push_str(&request.body_length.to_string());
        }
        text.push('\n');
        for name in [
            &CONTENT_MD5,
            &CONTENT_TYPE,
            &DATE,
            &IF_MODIFIED_SINCE,
            &IF_MATCH,
            &IF_NONE_MATCH,
            &IF_UNMODIFIED_SINCE,
            &RANGE,
        ] {
            header(&mut text, name);
        }
        push_ms_headers(&mut text, request.headers);
        text.push('/');
        text.push_str(&self.account);
        text.push_str(request.path);
        let mut query: SmallVec<[_; 8]> = request.query.iter().collect();
        query.sort_unstable();
        for (name, value) in query {
            text.extend(["\n", name, ":", value]);
        }
        text
    }
}

/// The `x-ms-` headers, sorted, one a line.
fn push_ms_headers(text: &mut String, headers: &HeaderMap) {
    let mut ours: SmallVec<[_; 8]> = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-ms-")).collect();
    ours.sort_unstable_by_key(|(name, _)| name.as_str());
    for (name, value) in ours {
        text.push_str(name.as_str());
        text.push(':');
        text.push_str(value.to_str().unwrap_or_default().trim());
        text.push('\n');
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedKey({}, ***)", self.account)
    }
}
