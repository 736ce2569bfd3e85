//! What an HTTP status means when the store's own error code says nothing better.

use std::time::{Duration, SystemTime};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use crate::{Operation, StoreError, StoreErrorKind};

/// Waits longer than this are not believed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The error that an answer with `status` is, judged by the status alone. Status and `Retry-After` are filled
/// in; code, request id and message are the store's to improve.
pub(crate) fn refusal(operation: Operation, status: StatusCode, headers: &HeaderMap) -> StoreError {
    let (kind, message) = match status.as_u16() {
        301 | 302 | 303 | 307 | 308 => {
            (StoreErrorKind::WrongEndpoint, "the store redirects elsewhere; check the endpoint")
        }
        401 | 403 => (StoreErrorKind::Denied, "the store refuses access"),
        404 | 410 => (StoreErrorKind::NotFound, "no such object"),
        407 => (StoreErrorKind::Unreachable, "the proxy wants a password: HTTP_PROXY=http://USER:PASSWORD@HOST:PORT"),
        408 => (StoreErrorKind::TimedOut, "the store waited too long for the request"),
        409 => (StoreErrorKind::Exists, "the object is in the way"),
        412 => (StoreErrorKind::Changed, "the object was replaced by another version"),
        416 => (StoreErrorKind::PastEnd, "the range starts after the end of the object"),
        429 => (StoreErrorKind::Throttled, "the store asks for patience"),
        503 => (StoreErrorKind::Throttled, "the store is busy"),
        507 => (StoreErrorKind::Full, "the store is full"),
        501 | 505 => (StoreErrorKind::Unsupported, "the store cannot do this"),
        500..=599 => (StoreErrorKind::Unavailable, "the store failed"),
        _ => (StoreErrorKind::Other, "the store refuses the request"),
    };
    let mut error = StoreError::new(kind, operation, message);
    error.status = Some(status.as_u16());
    error.retry_after = retry_after(headers);
    error
}

/// A time as it is told to people, in UTC.
pub(crate) fn clock(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| "?".to_owned(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// How long the store asks to wait (RFC 9110, section 10.2.3: seconds or a date), at most five minutes. A date
/// is compared with the answer's own `Date`, so that a wrong clock here does not matter.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let due = httpdate::parse_http_date(text).ok()?;
            due.duration_since(server_time(headers).unwrap_or_else(SystemTime::now)).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

/// What the store's clock showed when it answered.
pub(crate) fn server_time(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_wait_is_read_as_seconds_or_as_a_date_and_is_bounded() {
        assert_eq!(retry_after(&headers(&[("retry-after", "7")])), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers(&[("retry-after", "999999")])), Some(LONGEST_RETRY_AFTER));
        let dated =
            headers(&[("date", "Sun, 06 Nov 1994 08:49:30 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        assert_eq!(retry_after(&dated), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers(&[("retry-after", "soon")])), None);
    }

    #[test]
    fn a_redirect_is_not_followed_but_named() {
        let error = refusal(Operation::Get, StatusCode::TEMPORARY_REDIRECT, &HeaderMap::new());
        assert_eq!((error.kind, error.status), (StoreErrorKind::WrongEndpoint, Some(307)));
    }
}
