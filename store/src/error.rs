//! What can go wrong at a store, sorted by what the caller would do about it.
//!
//! An error never holds a URL, a header or a body: a SAS travels in the query string, and stores echo
//! signatures in their error bodies.

use std::fmt;
use std::time::Duration;

use rfuse_block::ObjectKey;

/// What was asked of the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// A ranged GET.
    Get,
    /// HEAD of one object.
    Head,
    /// One page of a listing.
    List,
    /// A whole object written by one request.
    Put,
    /// One request of an upload in parts: begin, part, complete or abort.
    Upload,
    /// A copy made by the store.
    Copy,
    /// A deletion.
    Delete,
    /// A credential asked from its issuer.
    Credential,
}

impl Operation {
    /// Every operation, in the order of the metrics.
    pub const ALL: [Self; 8] =
        [Self::Get, Self::Head, Self::List, Self::Put, Self::Upload, Self::Copy, Self::Delete, Self::Credential];

    /// A stable lower-case name, as in the label `op` of the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::List => "list",
            Self::Put => "put",
            Self::Upload => "upload",
            Self::Copy => "copy",
            Self::Delete => "delete",
            Self::Credential => "credential",
        }
    }
}

/// One kind for each thing a caller would do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StoreErrorKind {
    /// The object does not exist.
    NotFound,
    /// The container, bucket or directory does not exist.
    NoContainer,
    /// The account or host name does not exist: the name does not resolve.
    NoHost,
    /// The credential is right but may not do this, or there is none.
    Denied,
    /// The credential is past its expiry.
    Expired,
    /// The credential is wrong: unknown key id, bad signature, malformed token.
    BadCredential,
    /// No credential could be obtained from its source (file, metadata service, command).
    NoCredential,
    /// The clock of this machine is too far from the store's.
    ClockSkew,
    /// The object is not the version that was asked for.
    Changed,
    /// The object exists already and must not.
    Exists,
    /// The range starts at or after the end of the object.
    PastEnd,
    /// The store asks for patience (429, 503 SlowDown).
    Throttled,
    /// The store failed (5xx).
    Unavailable,
    /// No connection, or the proxy refused one.
    Unreachable,
    /// The TLS handshake failed: an unknown authority, a wrong name, an expired certificate.
    Tls,
    /// The body ended early or the connection broke in the middle.
    Cut,
    /// Nothing came in the time allowed.
    TimedOut,
    /// The answer breaks the protocol: a wrong range, a missing header, unreadable XML.
    Malformed,
    /// The store redirects to another region or endpoint.
    WrongEndpoint,
    /// The store cannot hold or address this name.
    BadName,
    /// This store cannot do this at all.
    Unsupported,
    /// The store is full or a quota is reached.
    Full,
    /// Anything else; the message says what.
    Other,
}

impl StoreErrorKind {
    /// Every kind, in the order they are declared in.
    pub const ALL: [Self; 23] = [
        Self::NotFound,
        Self::NoContainer,
        Self::NoHost,
        Self::Denied,
        Self::Expired,
        Self::BadCredential,
        Self::NoCredential,
        Self::ClockSkew,
        Self::Changed,
        Self::Exists,
        Self::PastEnd,
        Self::Throttled,
        Self::Unavailable,
        Self::Unreachable,
        Self::Tls,
        Self::Cut,
        Self::TimedOut,
        Self::Malformed,
        Self::WrongEndpoint,
        Self::BadName,
        Self::Unsupported,
        Self::Full,
        Self::Other,
    ];

    /// Whether the same request may succeed when sent again.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Throttled | Self::Unavailable | Self::Unreachable | Self::Cut | Self::TimedOut | Self::Malformed
        )
    }

    /// A stable lower-case name, as in the label `status` of the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NoContainer => "no_container",
            Self::NoHost => "no_host",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::BadCredential => "bad_credential",
            Self::NoCredential => "no_credential",
            Self::ClockSkew => "clock_skew",
            Self::Changed => "changed",
            Self::Exists => "exists",
            Self::PastEnd => "past_end",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Cut => "cut",
            Self::TimedOut => "timed_out",
            Self::Malformed => "malformed",
            Self::WrongEndpoint => "wrong_endpoint",
            Self::BadName => "bad_name",
            Self::Unsupported => "unsupported",
            Self::Full => "full",
            Self::Other => "other",
        }
    }
}

/// A failed call: what was asked, of which object, and why it failed.
///
/// The text is safe to show and to log: it never holds a secret.
#[derive(Clone, Debug)]
pub struct StoreError {
    /// What a caller decides on.
    pub kind: StoreErrorKind,
    /// What was asked.
    pub operation: Operation,
    /// Of which object; none for a listing or a credential.
    pub key: Option<ObjectKey>,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The store's own error code, such as `AuthenticationFailed` or `SlowDown`.
    pub code: Option<String>,
    /// The store's request id, for its support.
    pub request_id: Option<String>,
    /// How many requests were sent in vain.
    pub attempts: u32,
    /// How long the store asks us to wait before the next try.
    pub retry_after: Option<Duration>,
    /// Why, in words; no secret, no URL.
    pub message: String,
}

impl StoreError {
    /// An error of `kind` met while doing `operation`.
    pub fn new(kind: StoreErrorKind, operation: Operation, message: impl Into<String>) -> Self {
        Self {
            kind,
            operation,
            key: None,
            status: None,
            code: None,
            request_id: None,
            attempts: 1,
            retry_after: None,
            message: message.into(),
        }
    }

    /// The same error, about `key`.
    #[must_use]
    pub fn about(mut self, key: &ObjectKey) -> Self {
        self.key = Some(key.clone());
        self
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.operation.name())?;
        if let Some(key) = &self.key {
            write!(f, " \"{key}\"")?;
        }
        write!(f, ": {}", self.message)?;
        let mut details = Vec::new();
        if let Some(status) = self.status {
            details.push(format!("status {status}"));
        }
        details.extend(self.code.as_ref().map(|code| format!("code {code}")));
        if self.attempts > 1 {
            details.push(format!("after {} tries", self.attempts));
        }
        details.extend(self.request_id.as_ref().map(|id| format!("request {id}")));
        if details.is_empty() { Ok(()) } else { write!(f, " ({})", details.join(", ")) }
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_operation_is_listed_at_its_place() {
        for (place, kind) in StoreErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
        assert_eq!(StoreErrorKind::ALL.len(), StoreErrorKind::Other as usize + 1);
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place);
        }
        assert_eq!(Operation::ALL.len(), Operation::Credential as usize + 1);
    }
}
