//! Signatures against answers known beforehand.

use http::header::{CONTENT_TYPE, IF_MATCH, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rfuse_config::Secret;

use crate::azure::shared_key::{SharedKey, Signed};

fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}

fn key() -> SharedKey {
    SharedKey::new("myaccount", &Secret::new("c2VjcmV0IGtleSBmb3IgdGVzdHM=")).unwrap()
}

/// The texts are put together by hand from the reference; their hashes are made by another implementation
/// (Python's hmac).
#[test]
fn a_ranged_get_and_a_listing_sign_as_the_reference_says() {
    let get = headers(&[
        (RANGE, "bytes=0-4095"),
        (IF_MATCH, "\"0x8D1\""),
        (HeaderName::from_static("x-ms-version"), "2021-12-02"),
        (HeaderName::from_static("x-ms-date"), "Fri, 26 Jun 2015 23:39:12 GMT"),
    ]);
    let signed = Signed { method: &Method::GET, headers: &get, body_length: 0, path: "/c/a%20b//c", query: &[] };
    assert_eq!(
        key().authorization(&signed).unwrap(),
        "SharedKey myaccount:t9PFiGGI1y44DTL6bEQW45J2W7QfhSQR68aP0uTCGUc="
    );

    let list = headers(&[
        (HeaderName::from_static("x-ms-version"), "2021-12-02"),
        (HeaderName::from_static("x-ms-date"), "Fri, 26 Jun 2015 23:39:12 GMT"),
    ]);
    let query = [
        ("restype", "container".to_owned()),
        ("comp", "list".to_owned()),
        ("include", "metadata".to_owned()),
        ("prefix", "a b/".to_owned()),
    ];
    let signed = Signed { method: &Method::GET, headers: &list, body_length: 0, path: "/c", query: &query };
    assert_eq!(
        key().authorization(&signed).unwrap(),
        "SharedKey myaccount:pepPsPe2BiG+GyRY0YwKZ8dml5+gPTSUTE2DXwE0JXU="
    );

    let put = headers(&[
        (CONTENT_TYPE, "text/plain"),
        (HeaderName::from_static("x-ms-version"), "2021-12-02"),
        (HeaderName::from_static("x-ms-blob-type"), "BlockBlob"),
        (HeaderName::from_static("x-ms-meta-owner"), "me"),
        (HeaderName::from_static("x-ms-date"), "Fri, 26 Jun 2015 23:39:12 GMT"),
    ]);
    let signed = Signed { method: &Method::PUT, headers: &put, body_length: 11, path: "/c/x", query: &[] };
    let value = key().authorization(&signed).unwrap();
    assert_eq!(value, "SharedKey myaccount:QkdlbdUIzmr1V3wBO4P/CcmqsLsD6M4YcNC5bBI0SnY=");
    assert!(value.is_sensitive());
}

#[test]
fn a_key_that_is_not_base64_is_none_and_no_key_is_printed() {
    assert!(SharedKey::new("a", &Secret::new("sv=2020&sig=x")).is_none());
    assert_eq!(format!("{:?}", key()), "SharedKey(myaccount, ***)");
}
