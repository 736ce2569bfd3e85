//! The store against answers that S3 gives seldom or never, and what it sends to get them.

use std::time::Duration;

use reqsign_core::StaticEnv;
use reqsign_file_read_tokio::TokioFileRead;
use rfuse_config::{AwsCredential, Limits, Secret};

use super::*;
use crate::Urgency;
use crate::http::odd_server::OddServer;

fn config(server: &OddServer, aws: AwsCredential) -> StoreConfig {
    let location = Location::S3 { bucket: "logs".to_owned(), prefix: Vec::new() };
    let region = Some("us-east-1".to_owned());
    StoreConfig { endpoint: Some(server.url()), region, aws, ..StoreConfig::at(location) }
}

fn keys(token: Option<&str>) -> AwsCredential {
    AwsCredential::Keys {
        id: "AKID".to_owned(),
        secret: Secret::new("canary-secret"),
        session_token: token.map(Secret::new),
    }
}

async fn open(config: &StoreConfig) -> S3Store {
    let limits = Limits { stall_timeout: Duration::from_secs(5), ..Limits::default() };
    let http = HttpClient::direct(&limits).unwrap();
    let world =
        Context::new().with_env(StaticEnv::default()).with_file_read(TokioFileRead).with_http_send(http.clone());
    S3Store::open_in(config, http, world).await.unwrap().0
}

async fn store_at(server: &OddServer) -> S3Store {
    open(&config(server, keys(None))).await
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn partial(range: &str, body: &str) -> String {
    answer("206 Partial Content", &format!("ETag: \"v1\"\r\nContent-Range: bytes {range}\r\n"), body)
}

fn refused(status: &str, code: &str) -> String {
    answer(status, "", &format!("<Error><Code>{code}</Code><Message>no</Message></Error>"))
}

/// Bytes 4..8 of version `"v1"` of `key`.
async fn get(store: &S3Store, key: &str) -> Result<Vec<u8>, StoreError> {
    let (key, version) = (ObjectKey::from(key), Version::new("\"v1\""));
    let get = Get { key: &key, version: Some(&version), range: ByteRange::new(4, 8), urgency: Urgency::Demand };
    let mut bytes = vec![0; 4];
    store.get(get, &mut Landing::one(&mut bytes)).await?;
    Ok(bytes)
}

/// The value of a header of a request as it was sent.
fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = request.lines().skip(1).filter_map(|line| line.split_once(": "));
    headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[tokio::test]
async fn names_are_on_the_request_line_byte_for_byte() {
    let server = OddServer::answering(&[&partial("4-7/9", "data")]).await;
    let store = store_at(&server).await;
    let wanted = [
        ("a//b", "/logs/a//b"),
        ("/lead", "/logs//lead"),
        ("dir/", "/logs/dir/"),
        (".", "/logs/."),
        ("a/../../b/./c", "/logs/a/../../b/./c"),
        ("100%/a b+c?d#e", "/logs/100%25/a%20b%2Bc%3Fd%23e"),
        ("é\n\0", "/logs/%C3%A9%0A%00"),
    ];
    for (key, _) in wanted {
        assert_eq!(get(&store, key).await.unwrap(), b"data");
    }
    let lines: Vec<String> =
        server.requests().iter().map(|request| request.lines().next().unwrap().to_owned()).collect();
    let expected: Vec<String> = wanted.iter().map(|(_, path)| format!("GET {path} HTTP/1.1")).collect();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_get_names_range_and_version_and_signs_both() {
    let server = OddServer::answering(&[&partial("4-7/9", "data")]).await;
    let paying = StoreConfig { requester_pays: true, ..config(&server, keys(Some("canary-token"))) };
    get(&open(&paying).await, "k").await.unwrap();
    let request = &server.requests()[0];
    assert_eq!(header(request, "range"), Some("bytes=4-7"));
    assert_eq!(header(request, "if-match"), Some("\"v1\""));
    assert_eq!(header(request, "x-amz-request-payer"), Some("requester"));
    assert_eq!(header(request, "x-amz-security-token"), Some("canary-token"));
    let authorization = header(request, "authorization").unwrap();
    let signed =
        "SignedHeaders=host;if-match;range;x-amz-content-sha256;x-amz-date;x-amz-request-payer;x-amz-security-token";
    assert!(authorization.contains(signed), "{authorization}");
    assert!(!request.contains("canary-secret"));
}

#[tokio::test]
async fn nobody_signs_nothing() {
    let server = OddServer::answering(&[&partial("4-7/9", "data")]).await;
    get(&open(&config(&server, AwsCredential::Anonymous)).await, "k").await.unwrap();
    let request = &server.requests()[0];
    assert_eq!((header(request, "authorization"), header(request, "x-amz-date")), (None, None));
}

#[tokio::test]
async fn an_answer_for_other_bytes_is_malformed() {
    let whole = answer("200 OK", "ETag: \"v1\"\r\n", "data");
    for odd in [partial("0-3/9", "data"), partial("4-8/9", "data!"), whole] {
        let server = OddServer::answering(&[&odd]).await;
        let error = get(&store_at(&server).await, "k").await.unwrap_err();
        assert_eq!((error.kind, error.key), (StoreErrorKind::Malformed, Some("k".into())));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = answer("307 Temporary Redirect", "Location: http://evil.example/k\r\n", "");
    let server = OddServer::answering(&[&elsewhere]).await;
    assert_eq!(get(&store_at(&server).await, "k").await.unwrap_err().kind, StoreErrorKind::WrongEndpoint);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_bucket_in_another_region_is_answered_with_its_region() {
    let headers = "x-amz-bucket-region: eu-central-1\r\n";
    let get_answer = answer("301 Moved Permanently", headers, "<Error><Code>PermanentRedirect</Code></Error>");
    let head_answer = "HTTP/1.1 400 Bad Request\r\nx-amz-bucket-region: eu-central-1\r\n\r\n".to_owned();
    let server = OddServer::answering(&[&get_answer, &head_answer]).await;
    let store = store_at(&server).await;
    for error in [get(&store, "k").await.unwrap_err(), store.head(&"k".into()).await.unwrap_err()] {
        assert_eq!(error.kind, StoreErrorKind::WrongEndpoint);
        assert!(error.message.contains("set the region to eu-central-1"), "{error}");
    }
}

#[tokio::test]
async fn patience_is_passed_on() {
    let busy = answer("503 Slow Down", "Retry-After: 7\r\n", "<Error><Code>SlowDown</Code></Error>");
    let server = OddServer::answering(&[&busy]).await;
    let error = get(&store_at(&server).await, "k").await.unwrap_err();
    assert_eq!((error.kind, error.retry_after), (StoreErrorKind::Throttled, Some(Duration::from_secs(7))));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn what_a_refusal_echoes_is_never_shown() {
    let echo = "<Error><Code>SignatureDoesNotMatch</Code><Message>canary</Message><StringToSign>canary</StringToSign>\
        <SignatureProvided>canary</SignatureProvided><CanonicalRequest>canary</CanonicalRequest></Error>";
    let proxy = "<html><body>Authorization: AWS4-HMAC-SHA256 Credential=canary Signature=canary</body></html>";
    for body in [echo, proxy] {
        let server = OddServer::answering(&[&answer("403 Forbidden", "x-amz-request-id: canary?\r\n", body)]).await;
        let error = get(&store_at(&server).await, "k").await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn nothing_of_a_store_prints_its_secrets() {
    let server = OddServer::answering(&[""]).await;
    let store = open(&config(&server, keys(Some("canary-token")))).await;
    assert!(!format!("{store:?}").contains("canary"), "{store:?}");
}

#[tokio::test]
async fn a_success_may_turn_out_to_be_a_failure() {
    let late = answer("200 OK", "", "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code></Error>");
    let silent = answer("200 OK", "", "");
    let server = OddServer::answering(&[&late, &silent]).await;
    let store = store_at(&server).await;
    let (key, upload) = (ObjectKey::from("k"), UploadId("a+b/c".to_owned()));
    let parts = [PartTag("1:\"p\"".to_owned())];
    let (none, plain) = (Precondition::None, PutOptions::default());
    let error = store.complete_upload(&key, &upload, &parts, &none, &plain).await.unwrap_err();
    assert_eq!((error.kind, error.status), (StoreErrorKind::Unavailable, None));
    let error = store.copy(&key, &"to".into(), &none).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Malformed);
    let request = &server.requests()[0];
    assert!(request.starts_with("POST /logs/k?uploadId=a%2Bb%2Fc HTTP/1.1\r\n"), "{request}");
    assert!(
        request
            .ends_with("<Part><PartNumber>1</PartNumber><ETag>&quot;p&quot;</ETag></Part></CompleteMultipartUpload>")
    );
}

#[tokio::test]
async fn a_body_without_encryption_is_signed_with_its_hash() {
    let server = OddServer::answering(&[&answer("200 OK", "ETag: \"v2\"\r\n", "")]).await;
    let store = store_at(&server).await;
    let options = PutOptions {
        content_type: Some("text/plain".to_owned()),
        metadata: std::collections::BTreeMap::from([("owner".to_owned(), "bob".to_owned())]),
    };
    let condition = Precondition::Matches(Version::new("\"v1\""));
    let version = store.put(&"k".into(), Bytes::from_static(b"Welcome to Amazon S3."), &condition, &options).await;
    assert_eq!(version.unwrap(), Version::new("\"v2\""));
    let request = &server.requests()[0];
    let hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    assert_eq!(header(request, "x-amz-content-sha256"), Some(hash));
    assert_eq!(header(request, "if-match"), Some("\"v1\""));
    assert_eq!(header(request, "x-amz-meta-owner"), Some("bob"));
    assert!(header(request, "authorization").unwrap().contains("content-type;host;if-match;x-amz-content-sha256"));
}

#[tokio::test]
async fn a_conditional_copy_does_not_overwrite_where_the_server_would() {
    let there =
        "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 5\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
    let server = OddServer::answering(&[there]).await;
    let store = store_at(&server).await;
    let (from, to) = (ObjectKey::from("a"), ObjectKey::from("b"));
    let copied = store.copy(&from, &to, &Precondition::Absent).await;
    assert_eq!(copied.unwrap_err().kind, StoreErrorKind::Exists);
    let copied = store.copy(&from, &to, &Precondition::Matches(Version::new("\"v0\""))).await;
    assert_eq!(copied.unwrap_err().kind, StoreErrorKind::Changed);
    assert!(server.requests().iter().all(|request| request.starts_with("HEAD ")));
}

#[tokio::test]
async fn a_conditional_deletion_looks_first_where_the_server_might_not() {
    let there =
        "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 5\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
    let server = OddServer::answering(&[there]).await;
    let error = store_at(&server).await.delete(&"k".into(), Some(&Version::new("\"v0\""))).await.unwrap_err();
    assert_eq!((error.kind, error.operation), (StoreErrorKind::Changed, Operation::Delete));
    assert_eq!(server.requests().len(), 1, "only looked: {:?}", server.requests());
    let server = OddServer::answering(&[there, "HTTP/1.1 204 No Content\r\n\r\n"]).await;
    store_at(&server).await.delete(&"k".into(), Some(&Version::new("\"v1\""))).await.unwrap();
    let request = &server.requests()[1];
    assert!(request.starts_with("DELETE ") && header(request, "if-match") == Some("\"v1\""), "{request}");
}

#[tokio::test]
async fn a_changed_file_is_tested_then_used_on_the_open_connection() {
    let page = answer("200 OK", "", "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>");
    let denied = refused("403 Forbidden", "AccessDenied");
    for tested in [page, denied] {
        let data = partial("4-7/9", "data");
        let server = OddServer::answering(&[&data, &tested, &data]).await;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        let write = |token: &str| {
            let text = format!("[p]\naws_access_key_id=A\naws_secret_access_key=s\naws_session_token={token}\n");
            std::fs::write(&path, text).unwrap();
        };
        write("old");
        let store = open(&config(&server, AwsCredential::File { path: path.clone(), profile: "p".to_owned() })).await;
        get(&store, "k").await.unwrap();
        write("new");
        assert_eq!(store.credentials.reload().await.unwrap(), crate::Reloaded::Swapped);
        get(&store, "k").await.unwrap();
        assert_eq!(tokens(&server), ["old", "new", "new"]);
        assert!(server.requests()[1].starts_with("GET /logs?encoding-type=url&list-type=2&max-keys=1&prefix= "));
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn a_changed_file_that_the_store_refuses_is_not_used() {
    let data = partial("4-7/9", "data");
    let server = OddServer::answering(&[&refused("403 Forbidden", "InvalidAccessKeyId"), &data]).await;
    let (store, _dir) = renewable(&server, "new").await;
    assert_eq!(store.credentials.reload().await.unwrap_err().kind, StoreErrorKind::BadCredential);
    get(&store, "k").await.unwrap();
    assert_eq!(tokens(&server), ["new", "old"]);
}

/// A store whose key pair is in a file that `next` replaces after the store has opened.
async fn renewable(server: &OddServer, next: &str) -> (S3Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credentials");
    let text = |token: &str| format!("[p]\naws_access_key_id=A\naws_secret_access_key=s\naws_session_token={token}\n");
    std::fs::write(&path, text("old")).unwrap();
    let aws = AwsCredential::File { path: path.clone(), profile: "p".to_owned() };
    let store = open(&config(server, aws)).await;
    std::fs::write(&path, text(next)).unwrap();
    (store, dir)
}

fn tokens(server: &OddServer) -> Vec<String> {
    server.requests().iter().map(|request| header(request, "x-amz-security-token").unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_and_the_request_sent_again() {
    let server = OddServer::answering(&[&refused("400 Bad Request", "ExpiredToken"), &partial("4-7/9", "data")]).await;
    let (store, _dir) = renewable(&server, "new").await;
    assert_eq!(get(&store, "k").await.unwrap(), b"data");
    assert_eq!(tokens(&server), ["old", "new"]);
}

#[tokio::test]
async fn a_head_that_only_says_400_is_taken_for_an_expired_token() {
    let ok =
        "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 5\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
    let server = OddServer::answering(&["HTTP/1.1 400 Bad Request\r\n\r\n", ok]).await;
    let (store, _dir) = renewable(&server, "new").await;
    assert_eq!(store.head(&"k".into()).await.unwrap().size, 5);
    assert_eq!(tokens(&server), ["old", "new"]);
}

#[tokio::test]
async fn a_token_that_stays_expired_is_not_asked_about_again_and_again() {
    let server = OddServer::answering(&[&refused("403 Forbidden", "ExpiredToken")]).await;
    let (store, _dir) = renewable(&server, "new").await;
    let error = get(&store, "k").await.unwrap_err();
    assert_eq!((error.kind, server.requests().len()), (StoreErrorKind::Expired, 2));

    let server = OddServer::answering(&[&refused("403 Forbidden", "ExpiredToken")]).await;
    let (store, _dir) = renewable(&server, "old").await;
    let error = get(&store, "k").await.unwrap_err();
    assert_eq!((error.kind, server.requests().len()), (StoreErrorKind::Expired, 1));
    assert!(error.message.contains("profile \"p\""), "{error}");
}
