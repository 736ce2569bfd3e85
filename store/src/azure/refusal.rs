//! What the blob service means by an answer that is not one of success.
//!
//! The code comes from `x-ms-error-code` or the XML body. The body's own message is never repeated: it echoes
//! the string to sign and the signature.

use std::time::{Duration, SystemTime};

use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::auth::Auth;
use super::xml;
use crate::http::{clock, refusal, server_time};
use crate::{Operation, StoreError, StoreErrorKind};

/// Azure takes a signed request up to 15 minutes old; a clock that is further off is the reason of a refusal.
const TOLERATED_SKEW: Duration = Duration::from_secs(14 * 60);

/// What is known of a refused request before its body has been read.
pub(super) struct Refusal<'a> {
    operation: Operation,
    status: StatusCode,
    headers: &'a HeaderMap,
    auth: &'a Auth,
}

impl<'a> Refusal<'a> {
    pub(super) fn new(operation: Operation, parts: &'a Parts, auth: &'a Auth) -> Self {
        Self { operation, status: parts.status, headers: &parts.headers, auth }
    }

    /// The error it is, with the help of its body.
    pub(super) fn explain(&self, body: &[u8]) -> StoreError {
        let xml_text = |path: &str| std::str::from_utf8(body).ok().and_then(|body| xml::text_of(body, path));
        let code = self.header("x-ms-error-code").or_else(|| xml_text("Error/Code").filter(|code| is_code(code)));
        let detail = xml_text("Error/AuthenticationErrorDetail").unwrap_or_default();
        let mut error = refusal(self.operation, self.status, self.headers);
        if let Some((kind, message)) = code.as_deref().and_then(|code| self.by_code(code, &detail)) {
            error.kind = kind;
            error.message = message;
        } else if matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            (error.kind, error.message) = self.denied();
        }
        error.code = code;
        error.request_id = self.header("x-ms-request-id");
        error
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)?.to_str().ok().map(str::to_owned)
    }

    fn by_code(&self, code: &str, detail: &str) -> Option<(StoreErrorKind, String)> {
        use StoreErrorKind as Kind;
        let (kind, message) = match code {
            "AuthenticationFailed" | "InvalidAuthenticationInfo" => return Some(self.unauthenticated(detail)),
            "AuthorizationFailure" | "AuthorizationPermissionMismatch" | "InsufficientAccountPermissions" => {
                return Some(self.denied());
            }
            "NoAuthenticationInformation" | "PublicAccessNotPermitted" => {
                (Kind::Denied, "the container is not public; give a SAS, an account key or an identity")
            }
            "ResourceNotFound" if matches!(self.auth, Auth::Anonymous) => {
                (self.not_found(), "nothing public is there; check the name, or give a credential")
            }
            "AuthorizationProtocolMismatch" => (Kind::Denied, "the SAS is for https only (spr=https); use https"),
            "AuthorizationSourceIPMismatch" => (Kind::Denied, "the SAS is for other addresses than ours (sip=)"),
            "AuthorizationResourceTypeMismatch" => {
                (Kind::Denied, "the SAS is for other resource types; it needs srt=co (container and object)")
            }
            "AuthorizationServiceMismatch" => (Kind::Denied, "the SAS is not for blobs; it needs ss=b"),
            "KeyBasedAuthenticationNotPermitted" => {
                (Kind::Denied, "the account takes no account keys; use a managed or workload identity")
            }
            "AccountIsDisabled" => (Kind::Denied, "the storage account is disabled"),
            "LeaseIdMissing" | "LeaseIdMismatchWithBlobOperation" => {
                (Kind::Denied, "somebody else holds a lease on the object")
            }
            "BlobImmutableDueToPolicy" => (Kind::Denied, "a policy keeps the object from being changed"),
            "BlobArchived" | "BlobBeingRehydrated" => {
                (Kind::Denied, "the object is in the archive tier; bring it back to hot, cool or cold first")
            }
            "ContainerNotFound" | "ContainerDisabled" | "ContainerBeingDeleted" => {
                (Kind::NoContainer, "the container does not exist; check its name and the account")
            }
            "BlobNotFound" | "ResourceNotFound" => (self.not_found(), "no such object"),
            "ConditionNotMet" | "TargetConditionNotMet" | "SourceConditionNotMet" => {
                (Kind::Changed, "the object was replaced by another version")
            }
            "InvalidBlockList" | "InvalidBlobOrBlock" => {
                (Kind::Changed, "parts are missing: another upload of this object came in between")
            }
            "BlobAlreadyExists" => (Kind::Exists, "the object exists already"),
            "InvalidRange" => (Kind::PastEnd, "the range starts after the end of the object"),
            "ServerBusy" => (Kind::Throttled, "the account is busy"),
            "InternalError" | "OperationTimedOut" => (Kind::Unavailable, "the store failed"),
            "InvalidResourceName" | "InvalidUri" | "OutOfRangeInput" => (Kind::BadName, "Azure cannot hold this name"),
            "UnsupportedHttpVerb" | "NotImplemented" | "FeatureNotYetSupportedForHierarchicalNamespaceAccounts" => {
                (Kind::Unsupported, "the account cannot do this")
            }
            "InvalidMetadata" | "EmptyMetadataKey" => (Kind::Unsupported, "Azure cannot hold this metadata"),
            "SnapshotsPresent" => (Kind::Denied, "the object has snapshots"),
            "DirectoryIsNotEmpty" => (Kind::Exists, "the directory is not empty"),
            _ => return None,
        };
        Some((kind, message.to_owned()))
    }

    fn not_found(&self) -> StoreErrorKind {
        if self.operation == Operation::List { StoreErrorKind::NoContainer } else { StoreErrorKind::NotFound }
    }

    /// The signature, token or date was not believed.
    fn unauthenticated(&self, detail: &str) -> (StoreErrorKind, String) {
        if let Some(found) = self.out_of_time(detail) {
            return found;
        }
        let message = match self.auth {
            Auth::Anonymous => "the container is not public; give a SAS, an account key or an identity",
            Auth::Sas(_) => {
                "the signature of the SAS is wrong; copy the whole token, or ask for a new one (was the key rotated?)"
            }
            Auth::Key(_) => "the account key is wrong; copy it again (was it rotated?)",
            Auth::Bearer(_) => "the token of the identity is refused; is it of the tenant of the account?",
        };
        (StoreErrorKind::BadCredential, message.to_owned())
    }

    /// The credential is believed but may not do this.
    fn denied(&self) -> (StoreErrorKind, String) {
        if let Some(found) = self.out_of_time("") {
            return found;
        }
        let (letter, word) = permission(self.operation);
        let message = match self.auth {
            Auth::Sas(sas) => match sas.permissions() {
                Some(granted) if !granted.contains(letter) => {
                    format!("the SAS lacks the {word} permission ({letter}): it has sp={granted}; ask for one with it")
                }
                _ => "the SAS does not reach this container from here; check ss=, srt=, sr=, sip= and the account's \
                      network rules"
                    .to_owned(),
            },
            Auth::Key(_) => "the account's network rules keep us out".to_owned(),
            Auth::Bearer(_) => {
                let role = if matches!(letter, 'r' | 'l') { "Reader" } else { "Contributor" };
                format!("the identity lacks the {word} permission; assign it the role Storage Blob Data {role}")
            }
            Auth::Anonymous => "the container is not public; give a SAS, an account key or an identity".to_owned(),
        };
        (StoreErrorKind::Denied, message)
    }

    /// Whether time is the reason: judged by the store's clock, which is the one that counts.
    fn out_of_time(&self, detail: &str) -> Option<(StoreErrorKind, String)> {
        let ours = SystemTime::now();
        let theirs = server_time(self.headers).unwrap_or(ours);
        if let Auth::Sas(_) | Auth::Bearer(_) = self.auth
            && let Some(expiry) = self.auth.expiry().filter(|&expiry| expiry <= theirs)
        {
            let what = if matches!(self.auth, Auth::Sas(_)) { "SAS" } else { "token" };
            return Some((StoreErrorKind::Expired, format!("the {what} expired at {}; renew it", clock(expiry))));
        }
        if let Auth::Sas(sas) = self.auth
            && let Some(start) = sas.start().filter(|&start| start > theirs)
        {
            let message =
                format!("the SAS is not valid before {}; the store's clock shows {}", clock(start), clock(theirs));
            return Some((StoreErrorKind::ClockSkew, message));
        }
        if detail.contains("Signed expiry time") || detail.contains("Signature not valid in the specified") {
            return Some((StoreErrorKind::Expired, "the SAS has expired or is not valid yet; renew it".to_owned()));
        }
        let skew = ours.duration_since(theirs).or_else(|_| theirs.duration_since(ours)).unwrap_or_default();
        if matches!(self.auth, Auth::Key(_)) && (skew > TOLERATED_SKEW || detail.contains("Request date header")) {
            let message = format!(
                "this machine's clock shows {} and the store's {}; set it right (chronyc, timedatectl)",
                clock(ours),
                clock(theirs)
            );
            return Some((StoreErrorKind::ClockSkew, message));
        }
        None
    }
}

/// Error codes are words; anything else in their place is not repeated.
fn is_code(text: &str) -> bool {
    !text.is_empty() && text.len() <= 80 && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The letter in `sp=` that an operation needs, and its name.
fn permission(operation: Operation) -> (char, &'static str) {
    match operation {
        Operation::Get | Operation::Head | Operation::Credential => ('r', "read"),
        Operation::List => ('l', "list"),
        Operation::Put | Operation::Upload | Operation::Copy => ('w', "write"),
        Operation::Delete => ('d', "delete"),
    }
}
