//! What an answer that is no success means.
//!
//! Protocol: "Error responses" of the S3 API reference. The code in the body says more than the status; a
//! HEAD has no body and is judged by its status. Messages are our own, because S3 sends back what it hashed.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::speakable::{speakable, word};
use crate::http::{clock, refusal, server_time};
use crate::{Operation, StoreError, StoreErrorKind};

/// Longest error document that is read, in bytes.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

/// Where MinIO says what the body of an answer to HEAD cannot.
const MINIO_CODE: &str = "x-minio-error-code";

/// What was asked, as far as it decides what a refusal means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) operation: Operation,
    pub(super) condition: Condition,
}

/// What the request wanted of the object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Condition {
    /// Nothing, or that a read finds the version it names.
    None,
    /// That a write finds nothing.
    Absent,
    /// That a write finds the version it names.
    Matches,
}

impl Asked {
    /// `operation` without a condition on what it writes.
    pub(super) fn plain(operation: Operation) -> Self {
        Self { operation, condition: Condition::None }
    }
}

/// The error document, as far as it is used.
#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
struct Document {
    code: String,
    message: String,
    region: Option<String>,
    request_id: Option<String>,
}

/// The error that an answer with `status`, `headers` and `body` is. `region` is the one that was signed for.
pub(super) fn judge(asked: Asked, region: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> StoreError {
    let document = std::str::from_utf8(body).ok().and_then(|text| quick_xml::de::from_str::<Document>(text).ok());
    let mut document = document.unwrap_or_default();
    if document.code.is_empty()
        && let Some(code) = headers.get(MINIO_CODE).and_then(|code| code.to_str().ok())
    {
        code.clone_into(&mut document.code);
    }
    let mut error = refusal(asked.operation, status, headers);
    error.code = word(&document.code).map(str::to_owned);
    error.request_id = request_id(headers, &document);
    let verdict = by_code(asked, &document).or_else(|| by_status(asked, status, &document));
    if let Some((kind, message)) = verdict {
        (error.kind, error.message) = (kind, message);
    }
    if let Some(home) = elsewhere(region, status, headers, &document) {
        error.kind = StoreErrorKind::WrongEndpoint;
        error.message = format!("the bucket is in region {home}, not in {region}; set the region to {home}");
    }
    if error.kind == StoreErrorKind::ClockSkew || is_skewed(&error, headers) {
        error.kind = StoreErrorKind::ClockSkew;
        error.message = skew_text(headers);
    }
    error
}

fn by_code(asked: Asked, document: &Document) -> Option<(StoreErrorKind, String)> {
    use StoreErrorKind as Kind;
    let (kind, message) = match document.code.as_str() {
        "NoSuchKey" | "NoSuchVersion" | "NotFound" => return Some(missing(asked)),
        "NoSuchBucket" => (Kind::NoContainer, "the bucket does not exist; check its name"),
        "NoSuchUpload" => (Kind::NotFound, "the upload has ended or was given up"),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "Forbidden" => return Some(denied(document)),
        // versitygw says XAdminUserNotFound, with a 404.
        "InvalidAccessKeyId" | "XAdminUserNotFound" => {
            (Kind::BadCredential, "the store does not know this access key id")
        }
        "SignatureDoesNotMatch" => (Kind::BadCredential, "the secret access key does not belong to the access key id"),
        "InvalidToken" | "InvalidSecurity" | "AuthorizationHeaderMalformed" | "UnrecognizedClientException" => {
            (Kind::BadCredential, "the store does not accept the credential")
        }
        "ExpiredToken" | "TokenRefreshRequired" | "ExpiredTokenException" => {
            (Kind::Expired, "the session token has expired")
        }
        "RequestTimeTooSkewed" => (Kind::ClockSkew, "this machine's clock is wrong"),
        "PreconditionFailed" => return Some(unmet(asked)),
        "ConditionalRequestConflict" | "OperationAborted" => (Kind::Unavailable, "another write is under way"),
        "InvalidRange" => (Kind::PastEnd, "the range starts after the end of the object"),
        "SlowDown"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "BandwidthLimitExceeded"
        | "RequestThrottled" => (Kind::Throttled, "the store asks for patience"),
        "InternalError" | "InternalFailure" => (Kind::Unavailable, "the store failed"),
        "RequestTimeout" => (Kind::TimedOut, "the store waited too long for the request"),
        "IncompleteBody" => (Kind::Cut, "the store received only a part of the body"),
        "BadDigest" | "XAmzContentSHA256Mismatch" => (Kind::Malformed, "the body was changed on its way to the store"),
        "PermanentRedirect" | "TemporaryRedirect" | "Redirect" => {
            (Kind::WrongEndpoint, "the bucket is reached at another endpoint; check region and endpoint")
        }
        "KeyTooLongError" | "InvalidURI" | "InvalidBucketName" | "InvalidObjectName" | "XMinioInvalidObjectName" => {
            (Kind::BadName, "the store cannot hold this name")
        }
        // Gateways that keep objects as files.
        "ObjectParentIsFile" | "ExistingObjectIsDirectory" | "DirectoryObjectContainsData" | "XMinioParentIsObject" => {
            (Kind::BadName, "the store keeps objects as files, and another object makes this name impossible")
        }
        "NotImplemented" | "MethodNotAllowed" => (Kind::Unsupported, "the store cannot do this"),
        "EntityTooLarge" => (Kind::Unsupported, "too large for one request; upload it in parts"),
        "InvalidObjectState" => (Kind::Denied, "the object is archived; restore it before reading it"),
        "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "StorageFull" => {
            (Kind::Full, "the store is full")
        }
        _ => return None,
    };
    Some((kind, message.to_owned()))
}

fn by_status(asked: Asked, status: StatusCode, document: &Document) -> Option<(StoreErrorKind, String)> {
    match status {
        StatusCode::PRECONDITION_FAILED => Some(unmet(asked)),
        // A 404 for a reason unknown to us must not pass for a missing object: that would be remembered.
        StatusCode::NOT_FOUND if !document.code.is_empty() => {
            Some((StoreErrorKind::Other, "the store finds something else than the object missing".to_owned()))
        }
        StatusCode::NOT_FOUND => Some(missing(asked)),
        StatusCode::FORBIDDEN => Some(denied(document)),
        _ => None,
    }
}

fn missing(asked: Asked) -> (StoreErrorKind, String) {
    match (asked.condition, asked.operation) {
        (Condition::Matches, _) => (StoreErrorKind::Changed, "the object was deleted".to_owned()),
        (_, Operation::List) => (StoreErrorKind::NoContainer, "the bucket does not exist; check its name".to_owned()),
        _ => (StoreErrorKind::NotFound, "there is no such object".to_owned()),
    }
}

fn unmet(asked: Asked) -> (StoreErrorKind, String) {
    match asked.condition {
        Condition::Absent => (StoreErrorKind::Exists, "the object exists already".to_owned()),
        _ => (StoreErrorKind::Changed, "the object was replaced by another version".to_owned()),
    }
}

fn denied(document: &Document) -> (StoreErrorKind, String) {
    let message = match speakable(&document.message) {
        Some(why) if !why.eq_ignore_ascii_case("access denied") => format!("the store refuses access: {why}"),
        _ => "the store refuses access; the credential may lack a permission (s3:GetObject, s3:ListBucket)".to_owned(),
    };
    (StoreErrorKind::Denied, message)
}

/// The region the bucket is really in, when that is what was wrong.
fn elsewhere(region: &str, status: StatusCode, headers: &HeaderMap, document: &Document) -> Option<String> {
    if !matches!(status.as_u16(), 301 | 307 | 400) {
        return None;
    }
    let header = headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
    let home = word(header.or(document.region.as_deref())?)?;
    (home != region).then(|| home.to_owned())
}

/// Whether a refusal without a reason comes with a clock so different that it must be the reason.
fn is_skewed(error: &StoreError, headers: &HeaderMap) -> bool {
    const ALLOWED_SECONDS: u64 = 15 * 60;
    error.code.is_none() && error.kind == StoreErrorKind::Denied && skew_seconds(headers) > ALLOWED_SECONDS
}

fn skew_text(headers: &HeaderMap) -> String {
    match server_time(headers) {
        Some(theirs) => format!(
            "this machine's clock shows {} and the store's {}; set it right (chronyc, timedatectl)",
            clock(SystemTime::now()),
            clock(theirs)
        ),
        None => "this machine's clock is too far from the store's; set it right (chronyc, timedatectl)".to_owned(),
    }
}

fn skew_seconds(headers: &HeaderMap) -> u64 {
    let Some(theirs) = server_time(headers) else { return 0 };
    let ours = SystemTime::now();
    ours.duration_since(theirs).or_else(|_| theirs.duration_since(ours)).map_or(0, |skew| skew.as_secs())
}

fn request_id(headers: &HeaderMap, document: &Document) -> Option<String> {
    let header = headers.get("x-amz-request-id").and_then(|value| value.to_str().ok());
    header.or(document.request_id.as_deref()).and_then(word).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn kind_of(asked: Asked, status: u16, code: &str) -> StoreErrorKind {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>");
        judge(asked, "us-east-1", StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes()).kind
    }

    #[test]
    fn codes_decide_before_the_status() {
        use StoreErrorKind as Kind;
        let get = Asked::plain(Operation::Get);
        for (status, code, kind) in [
            (404, "NoSuchKey", Kind::NotFound),
            (404, "NoSuchBucket", Kind::NoContainer),
            (403, "AccessDenied", Kind::Denied),
            (403, "InvalidAccessKeyId", Kind::BadCredential),
            (404, "XAdminUserNotFound", Kind::BadCredential),
            (404, "SomethingElseIsMissing", Kind::Other),
            (404, "", Kind::NotFound),
            (403, "SignatureDoesNotMatch", Kind::BadCredential),
            (400, "ExpiredToken", Kind::Expired),
            (403, "ExpiredToken", Kind::Expired),
            (403, "RequestTimeTooSkewed", Kind::ClockSkew),
            (412, "PreconditionFailed", Kind::Changed),
            (416, "InvalidRange", Kind::PastEnd),
            (503, "SlowDown", Kind::Throttled),
            (503, "ServiceUnavailable", Kind::Throttled),
            (429, "Anything", Kind::Throttled),
            (500, "InternalError", Kind::Unavailable),
            (502, "", Kind::Unavailable),
            (400, "RequestTimeout", Kind::TimedOut),
            (400, "KeyTooLongError", Kind::BadName),
            (409, "ObjectParentIsFile", Kind::BadName),
            (501, "NotImplemented", Kind::Unsupported),
            (200, "InternalError", Kind::Unavailable),
        ] {
            assert_eq!(kind_of(get, status, code), kind, "{status} {code}");
        }
    }

    #[test]
    fn a_precondition_fails_by_what_was_asked() {
        let asked = |condition| Asked { operation: Operation::Put, condition };
        for code in ["PreconditionFailed", ""] {
            assert_eq!(kind_of(asked(Condition::Absent), 412, code), StoreErrorKind::Exists);
            assert_eq!(kind_of(asked(Condition::Matches), 412, code), StoreErrorKind::Changed);
        }
        assert_eq!(kind_of(asked(Condition::Matches), 404, "NoSuchKey"), StoreErrorKind::Changed);
    }

    #[test]
    fn a_head_is_judged_by_its_status() {
        let head =
            |status, headers: &HeaderMap| judge(Asked::plain(Operation::Head), "us-east-1", status, headers, b"");
        let none = HeaderMap::new();
        assert_eq!(head(StatusCode::NOT_FOUND, &none).kind, StoreErrorKind::NotFound);
        assert_eq!(head(StatusCode::FORBIDDEN, &none).kind, StoreErrorKind::Denied);
        let old =
            HeaderMap::from_iter([(http::header::DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"))]);
        let error = head(StatusCode::FORBIDDEN, &old);
        assert_eq!(error.kind, StoreErrorKind::ClockSkew);
        assert!(error.message.contains("the store's 1994-11-06T08:49:37Z"), "{error}");
    }

    #[test]
    fn minio_says_in_a_header_what_a_head_has_no_body_for() {
        let says = |code| {
            let headers =
                HeaderMap::from_iter([(http::HeaderName::from_static(MINIO_CODE), HeaderValue::from_static(code))]);
            judge(Asked::plain(Operation::Head), "us-east-1", StatusCode::BAD_REQUEST, &headers, b"")
        };
        let error = says("XMinioInvalidObjectName");
        assert_eq!((error.kind, error.code.as_deref()), (StoreErrorKind::BadName, Some("XMinioInvalidObjectName")));
        assert_eq!(says("NoSuchBucket").kind, StoreErrorKind::NoContainer);
    }

    #[test]
    fn a_wrong_region_is_answered_with_the_right_one() {
        let header = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-amz-bucket-region"),
            HeaderValue::from_static("eu-west-1"),
        )]);
        let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";
        for (status, headers, body) in [(301, &header, ""), (400, &header, ""), (400, &HeaderMap::new(), body)] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = judge(Asked::plain(Operation::Head), "us-east-1", status, headers, body.as_bytes());
            assert_eq!(error.kind, StoreErrorKind::WrongEndpoint);
            assert!(error.message.contains("eu-west-1") && error.message.contains("us-east-1"), "{error}");
        }
    }

    #[test]
    fn what_the_store_echoes_is_never_shown() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>canary</Message>\
            <StringToSign>AWS4-HMAC-SHA256 canary</StringToSign><SignatureProvided>canary</SignatureProvided>\
            <AWSAccessKeyId>canary</AWSAccessKeyId><RequestId>can ary</RequestId></Error>";
        let error = judge(Asked::plain(Operation::Get), "r", StatusCode::FORBIDDEN, &HeaderMap::new(), body.as_bytes());
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        let denied = "<Error><Code>AccessDenied</Code><Message>Authorization: AWS4-HMAC-SHA256 Credential=canary/x, \
            Signature=canary</Message></Error>";
        let error =
            judge(Asked::plain(Operation::Get), "r", StatusCode::FORBIDDEN, &HeaderMap::new(), denied.as_bytes());
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }

    #[test]
    fn what_the_credential_lacks_is_told() {
        let why = "User: arn:aws:iam::1:user/bob is not authorized to perform: s3:GetObject";
        let body = format!("<Error><Code>AccessDenied</Code><Message>{why}</Message></Error>");
        let error = judge(Asked::plain(Operation::Get), "r", StatusCode::FORBIDDEN, &HeaderMap::new(), body.as_bytes());
        assert!(error.to_string().contains(why), "{error}");
    }

    proptest! {
        #[test]
        fn any_body_is_judged(status in 300u16..600, body: Vec<u8>) {
            let status = StatusCode::from_u16(status).unwrap();
            let error = judge(Asked::plain(Operation::Get), "r", status, &HeaderMap::new(), &body);
            prop_assert_eq!(error.status, Some(status.as_u16()));
        }
    }
}
