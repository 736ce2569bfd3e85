//! AWS Signature Version 4 in the `Authorization` header.
//!
//! Protocol: "Signature Calculations for the Authorization Header" of the S3 API reference. The idea: the
//! request already is its own canonical form (path and query are encoded the one way AWS hashes them, the
//! query is in order), so that signing streams it through the hash and builds nothing but the header. What
//! costs, the chain of keys of the day, is derived once a day.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, Request};
use http_body_util::Full;
use rfuse_config::Secret;
use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;

static X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
static X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
static X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// SHA-256 of nothing.
const EMPTY_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// What the signature says about the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Payload<'a> {
    /// There is none.
    Empty,
    /// TLS protects it; nothing is hashed.
    Unsigned,
    /// Nothing else protects it: its hash is signed.
    Hashed(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// How `body` is sent over a connection that is `encrypted` or not.
    pub(crate) fn of(body: &'a [u8], encrypted: bool) -> Self {
        match (body.is_empty(), encrypted) {
            (true, _) => Self::Empty,
            (false, true) => Self::Unsigned,
            (false, false) => Self::Hashed(body),
        }
    }

    fn header(self) -> HeaderValue {
        match self {
            Self::Empty => HeaderValue::from_static(EMPTY_HASH),
            Self::Unsigned => HeaderValue::from_static(UNSIGNED),
            Self::Hashed(body) => ascii(&hex(&Sha256::digest(body).into())),
        }
    }
}

/// An AWS key pair that signs requests for one region.
pub(crate) struct Signer {
    id: String,
    secret: Secret,
    session_token: Option<HeaderValue>,
    region: String,
    today: Mutex<Option<Arc<DayKey>>>,
}

impl Signer {
    /// A signer for `region`; none when the id or the token holds a character that no header can carry.
    pub(crate) fn new(id: &str, secret: Secret, session_token: Option<&Secret>, region: &str) -> Option<Self> {
        HeaderValue::from_str(id).ok()?;
        let session_token = match session_token {
            Some(token) => Some(sensitive(HeaderValue::from_str(token.reveal()).ok()?)),
            None => None,
        };
        Some(Self { id: id.to_owned(), secret, session_token, region: region.to_owned(), today: Mutex::new(None) })
    }

    /// Signs every header that `request` has, `Host` included, and adds those of the signature. Whatever was
    /// signed before is signed afresh.
    ///
    /// The request must have a `Host` header, and a query in canonical form: sorted by name, encoded by
    /// [`name::push_query`](super::name::push_query), with `=` after every name.
    pub(crate) fn sign(&self, request: &mut Request<Full<Bytes>>, payload: Payload<'_>, now: SystemTime) {
        let (day, stamp) = Stamp::of(now);
        let key = self.day_key(day, &stamp);
        let headers = request.headers_mut();
        headers.remove(AUTHORIZATION);
        headers.insert(X_AMZ_DATE.clone(), ascii(stamp.text()));
        let body_hash = payload.header();
        headers.insert(X_AMZ_CONTENT_SHA256.clone(), body_hash.clone());
        if let Some(token) = &self.session_token {
            headers.insert(X_AMZ_SECURITY_TOKEN.clone(), token.clone());
        }
        let authorization = key.authorization(request, &stamp, body_hash.as_bytes());
        request.headers_mut().insert(AUTHORIZATION, authorization);
    }

    /// The key of the day of `stamp`, derived when the day is new.
    fn day_key(&self, day: u64, stamp: &Stamp) -> Arc<DayKey> {
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        match &*today {
            Some(key) if key.day == day => key.clone(),
            _ => {
                let key = Arc::new(DayKey::derive(self, day, stamp.date()));
                *today = Some(key.clone());
                key
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

/// What does not change within a day (UTC).
struct DayKey {
    day: u64,
    /// `DATE/REGION/s3/aws4_request`.
    scope: String,
    /// `AWS4-HMAC-SHA256 Credential=ID/SCOPE, SignedHeaders=`.
    opening: String,
    mac: Hmac<Sha256>,
}

impl DayKey {
    fn derive(signer: &Signer, day: u64, date: &str) -> Self {
        let first = Secret::new(format!("AWS4{}", signer.secret.reveal()));
        let key = [date, &signer.region, "s3", "aws4_request"]
            .iter()
            .fold(first.reveal().as_bytes().to_vec(), |key, part| {
                keyed(&key).chain_update(part).finalize().into_bytes().to_vec()
            });
        let scope = format!("{date}/{}/s3/aws4_request", signer.region);
        let opening = format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=", signer.id);
        Self { day, scope, opening, mac: keyed(&key) }
    }

    fn authorization(&self, request: &Request<Full<Bytes>>, stamp: &Stamp, body_hash: &[u8]) -> HeaderValue {
        let headers = sorted(request.headers());
        let mut text = String::with_capacity(self.opening.len() + 256);
        text.push_str(&self.opening);
        let names_from = text.len();
        for (name, _) in &headers {
            text.push_str(name);
            text.push(';');
        }
        text.pop();
        let request_hash = canonical_hash(request, &headers, &text[names_from..], body_hash);
        let signature = self
            .mac
            .clone()
            .chain_update("AWS4-HMAC-SHA256\n")
            .chain_update(stamp.text())
            .chain_update("\n")
            .chain_update(&self.scope)
            .chain_update("\n")
            .chain_update(hex(&request_hash))
            .finalize();
        text.push_str(", Signature=");
        text.push_str(str_of(&hex(&signature.into_bytes().into())));
        // Ids are checked in `Signer::new`, and regions and header names are plain ASCII.
        sensitive(HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("")))
    }
}

type Headers<'a> = SmallVec<[(&'a str, &'a [u8]); 16]>;

fn sorted(headers: &HeaderMap) -> Headers<'_> {
    let mut list: Headers<'_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    list.sort_unstable();
    list
}

/// The hash of the canonical request.
fn canonical_hash(
    request: &Request<Full<Bytes>>,
    headers: &Headers<'_>,
    signed_names: &str,
    body_hash: &[u8],
) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [request.method().as_str(), "\n", request.uri().path(), "\n", request.uri().query().unwrap_or("")] {
        hash.update(part);
    }
    hash.update("\n");
    for (name, value) in headers {
        hash.update(name);
        hash.update(":");
        update_trimmed(&mut hash, value);
        hash.update("\n");
    }
    hash.update("\n");
    hash.update(signed_names);
    hash.update("\n");
    hash.update(body_hash);
    hash.finalize().into()
}

/// Header values count without spaces at their ends, and with runs of spaces as one.
fn update_trimmed(hash: &mut Sha256, value: &[u8]) {
    let value = value.trim_ascii();
    if !value.windows(2).any(|pair| pair == b"  ") {
        return hash.update(value);
    }
    let mut first = true;
    for word in value.split(|&b| b == b' ').filter(|word| !word.is_empty()) {
        if !first {
            hash.update(" ");
        }
        first = false;
        hash.update(word);
    }
}

/// A moment as `YYYYMMDDTHHMMSSZ`.
struct Stamp([u8; 16]);

impl Stamp {
    /// The days since 1970 and the text of `time` (years 1970 to 9999).
    fn of(time: SystemTime) -> (u64, Self) {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let moment = jiff::Timestamp::from_second(seconds.cast_signed()).unwrap_or(jiff::Timestamp::MAX);
        let civil = jiff::tz::Offset::UTC.to_datetime(moment);
        let mut text = *b"00000000T000000Z";
        let fields = [
            (0, (civil.year() / 100) as i8),
            (2, (civil.year() % 100) as i8),
            (4, civil.month()),
            (6, civil.day()),
            (9, civil.hour()),
            (11, civil.minute()),
            (13, civil.second()),
        ];
        for (at, number) in fields {
            text[at] = b'0' + number.unsigned_abs() / 10;
            text[at + 1] = b'0' + number.unsigned_abs() % 10;
        }
        (seconds / 86_400, Self(text))
    }

    fn text(&self) -> &[u8] {
        &self.0
    }

    fn date(&self) -> &str {
        str_of(&self.0[..8])
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn hex(bytes: &[u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

fn str_of(ascii: &[u8]) -> &str {
    std::str::from_utf8(ascii).unwrap_or_default()
}

fn ascii(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    /// The worked examples of the S3 API reference ("Authenticating Requests: Using the Authorization
    /// Header"), whose key AWS publishes for this.
    fn example_signature(request: http::request::Builder, body: &'static str) -> String {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let signer = Signer::new("AKIAIOSFODNN7EXAMPLE", secret, None, "us-east-1").unwrap();
        let body = Bytes::from_static(body.as_bytes());
        let mut request =
            request.header("host", "examplebucket.s3.amazonaws.com").body(Full::new(body.clone())).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        signer.sign(&mut request, Payload::of(&body, false), now);
        request.headers()["authorization"].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_ranged_get_is_signed_as_in_the_aws_example() {
        let get = Request::get("https://examplebucket.s3.amazonaws.com/test.txt").header("range", "bytes=0-9");
        assert_eq!(
            example_signature(get, ""),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }

    #[test]
    fn a_put_with_a_body_is_signed_as_in_the_aws_example() {
        let put = Request::put("https://examplebucket.s3.amazonaws.com/test%24file.text")
            .header("date", "Fri, 24 May 2013 00:00:00 GMT")
            .header("x-amz-storage-class", "REDUCED_REDUNDANCY");
        let signed = example_signature(put, "Welcome to Amazon S3.");
        assert!(signed.ends_with("=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"), "{signed}");
    }

    #[test]
    fn queries_are_signed_as_in_the_aws_examples() {
        let lifecycle = Request::get("https://examplebucket.s3.amazonaws.com/?lifecycle=");
        let signed = example_signature(lifecycle, "");
        assert!(signed.ends_with("=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"), "{signed}");
        let list = Request::get("https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J");
        let signed = example_signature(list, "");
        assert!(signed.ends_with("=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"), "{signed}");
    }

    #[test]
    fn nothing_prints_the_key_or_the_signature() {
        let token = Secret::new("canary-token");
        let signer = Signer::new("AKID", Secret::new("canary-secret"), Some(&token), "eu-west-1").unwrap();
        let mut request = Request::get("https://h/").header("host", "h").body(Full::default()).unwrap();
        signer.sign(&mut request, Payload::Empty, SystemTime::now());
        let shown = format!("{signer:?} {:?}", request.headers());
        assert!(!shown.contains("canary") && !shown.contains("Signature="), "{shown}");
        assert_eq!(request.headers()["x-amz-security-token"], "canary-token");
    }

    #[test]
    fn a_request_signed_twice_is_as_if_signed_once() {
        let signer = Signer::new("AKID", Secret::new("s"), None, "eu-west-1").unwrap();
        let (early, late) = (UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(86_399));
        let mut once = Request::get("https://h/k").header("host", "h").body(Full::default()).unwrap();
        let mut twice = once.clone();
        signer.sign(&mut once, Payload::Empty, late);
        signer.sign(&mut twice, Payload::Empty, early);
        signer.sign(&mut twice, Payload::Empty, late);
        assert_eq!(once.headers(), twice.headers());
    }

    #[test]
    fn a_new_day_has_a_new_key() {
        let signer = Signer::new("AKID", Secret::new("s"), None, "eu-west-1").unwrap();
        let scope = |seconds| {
            let (day, stamp) = Stamp::of(UNIX_EPOCH + Duration::from_secs(seconds));
            signer.day_key(day, &stamp).scope.clone()
        };
        assert_eq!(scope(86_399), "19700101/eu-west-1/s3/aws4_request");
        assert_eq!(scope(86_400), "19700102/eu-west-1/s3/aws4_request");
    }

    proptest! {
        #[test]
        fn stamps_agree_with_the_calendar(seconds in 0u64..253_402_300_800) {
            let (day, stamp) = Stamp::of(UNIX_EPOCH + Duration::from_secs(seconds));
            let expected = jiff::Timestamp::from_second(seconds as i64).unwrap().strftime("%Y%m%dT%H%M%SZ").to_string();
            prop_assert_eq!(str_of(stamp.text()), expected);
            prop_assert_eq!(day, seconds / 86_400);
        }

        #[test]
        fn runs_of_spaces_in_a_value_count_as_one(words in proptest::collection::vec("[a-z]{1,5}", 1..6), gap in 1usize..4) {
            let (mut wide, mut narrow) = (Sha256::new(), Sha256::new());
            update_trimmed(&mut wide, format!(" {} ", words.join(&" ".repeat(gap))).as_bytes());
            update_trimmed(&mut narrow, words.join(" ").as_bytes());
            prop_assert_eq!(wide.finalize(), narrow.finalize());
        }
    }
}
