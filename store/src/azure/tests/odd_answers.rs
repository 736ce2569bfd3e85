//! Answers that no emulator gives, from a server that says what it is told.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rfuse_block::{ByteRange, ObjectKey};
use rfuse_config::{AzureCredential, Location, Secret, StoreConfig};

use crate::azure::AzureStore;
use crate::http::odd_server::{OddServer, Step};
use crate::{Get, Landing, ListRequest, Store as _, StoreError, StoreErrorKind, Urgency};

/// A SAS whose signature must show up nowhere.
const SAS: &str = "sv=2021-12-02&sr=c&sp=r&se=2099-01-01T00%3A00%3A00Z&sig=canary";

async fn store(server: &OddServer, credential: AzureCredential) -> AzureStore {
    let location = Location::Azure { account: "acc".into(), container: "c".into(), prefix: Vec::new() };
    let mut config = StoreConfig::at(location);
    config.endpoint = Some(server.url());
    config.azure = credential;
    config.limits.stall_timeout = Duration::from_secs(5);
    AzureStore::open(&config).await.unwrap().0
}

fn refused(status: &str, headers: &str, code: &str, detail: &str) -> String {
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>canary sig</Message>\
         <AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail></Error>"
    );
    format!("HTTP/1.1 {status}\r\n{headers}x-ms-request-id: id-7\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn date(time: SystemTime) -> String {
    format!("Date: {}\r\n", httpdate::fmt_http_date(time))
}

async fn get(store: &AzureStore) -> StoreError {
    let key = ObjectKey::from("object");
    let mut buffer = [0; 4];
    let get = Get { key: &key, version: None, range: ByteRange::new(0, 4), urgency: Urgency::Demand };
    let error = store.get(get, &mut Landing::one(&mut buffer)).await.unwrap_err();
    assert!(!format!("{error} {error:?} {store:?}").contains("canary"), "{error:?}");
    error
}

async fn get_error(credential: AzureCredential, answer: &str) -> StoreError {
    let server = OddServer::answering(&[answer]).await;
    let store = store(&server, credential).await;
    get(&store).await
}

fn sas() -> AzureCredential {
    AzureCredential::Sas(Secret::new(SAS))
}

fn key() -> AzureCredential {
    AzureCredential::AccountKey(Secret::new("Y2FuYXJ5"))
}

#[tokio::test]
async fn a_wrong_signature_is_a_bad_credential_and_its_echo_is_not_repeated() {
    let echo = "Signature did not match. String to sign used was canary";
    let answer = refused("403 Forbidden", &date(SystemTime::now()), "AuthenticationFailed", echo);
    let error = get_error(sas(), &answer).await;
    assert_eq!((error.kind, error.status), (StoreErrorKind::BadCredential, Some(403)));
    assert_eq!((error.code.as_deref(), error.request_id.as_deref()), (Some("AuthenticationFailed"), Some("id-7")));
    assert_eq!(error.key, Some(ObjectKey::from("object")));
}

#[tokio::test]
async fn an_expired_sas_is_named_with_its_end_by_the_clock_of_the_store() {
    let answer = refused("403 Forbidden", &date(SystemTime::now()), "AuthenticationFailed", "");
    let old = AzureCredential::Sas(Secret::new("sv=1&sp=rl&se=2020-01-01T00:00:00Z&sig=canary"));
    let error = get_error(old, &answer).await;
    assert_eq!(error.kind, StoreErrorKind::Expired);
    assert!(error.message.contains("2020-01-01T00:00:00Z"), "{error}");
    // The token looks good by our clock, but the store's has passed its end.
    let later: SystemTime = "2099-06-01T00:00:00Z".parse::<Timestamp>().unwrap().into();
    let answer = refused("403 Forbidden", &date(later), "AuthenticationFailed", "");
    assert_eq!(get_error(sas(), &answer).await.kind, StoreErrorKind::Expired);
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let server = OddServer::answering(&[&refused("403 Forbidden", "", "AuthorizationPermissionMismatch", "")]).await;
    let store = store(&server, sas()).await;
    let prefix = ObjectKey::from("");
    let list = ListRequest { prefix: &prefix, delimited: true, token: None, limit: None, urgency: Urgency::Demand };
    let error = store.list(list).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied);
    assert!(error.message.contains("list permission (l)") && error.message.contains("sp=r;"), "{error}");
}

#[tokio::test]
async fn a_wrong_clock_is_told_from_a_wrong_key() {
    let now = SystemTime::now();
    let failed = |date: String| refused("403 Forbidden", &date, "AuthenticationFailed", "");
    let skewed = get_error(key(), &failed(date(now + Duration::from_secs(3600)))).await;
    assert_eq!(skewed.kind, StoreErrorKind::ClockSkew);
    assert_eq!(get_error(key(), &failed(date(now))).await.kind, StoreErrorKind::BadCredential);
}

#[tokio::test]
async fn a_container_that_is_not_public_says_what_is_missing() {
    let answer = refused("409 Public access is not permitted", "", "PublicAccessNotPermitted", "");
    let error = get_error(AzureCredential::Anonymous, &answer).await;
    assert_eq!(error.kind, StoreErrorKind::Denied);
    assert!(error.message.contains("not public"), "{error}");
}

#[tokio::test]
async fn codes_and_statuses_become_kinds() {
    for (status, code, kind) in [
        ("404 x", "BlobNotFound", StoreErrorKind::NotFound),
        ("404 x", "ContainerNotFound", StoreErrorKind::NoContainer),
        ("412 x", "ConditionNotMet", StoreErrorKind::Changed),
        ("416 x", "InvalidRange", StoreErrorKind::PastEnd),
        ("409 x", "BlobArchived", StoreErrorKind::Denied),
        ("503 x", "ServerBusy", StoreErrorKind::Throttled),
        ("500 x", "InternalError", StoreErrorKind::Unavailable),
        ("502 x", "", StoreErrorKind::Unavailable),
        ("429 x", "<canary>", StoreErrorKind::Throttled),
        ("302 x", "", StoreErrorKind::WrongEndpoint),
        ("418 x", "Odd", StoreErrorKind::Other),
    ] {
        assert_eq!(get_error(sas(), &refused(status, "", code, "")).await.kind, kind, "{status} {code}");
    }
}

#[tokio::test]
async fn the_wait_that_the_store_asks_for_is_kept() {
    let answer = refused("503 Busy", "Retry-After: 7\r\n", "ServerBusy", "");
    assert_eq!(get_error(sas(), &answer).await.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_name_that_azure_cannot_hold_costs_no_request() {
    let server = OddServer::start(vec![vec![Step::Close]]).await;
    let store = store(&server, sas()).await;
    for bad in [&b"\xff"[..], b"a/../../other/x", b"nul\0"] {
        assert_eq!(store.head(&ObjectKey::new(bad)).await.unwrap_err().kind, StoreErrorKind::BadName);
    }
    let prefix = ObjectKey::new(&b"\xff/"[..]);
    let list = ListRequest { prefix: &prefix, delimited: true, token: None, limit: None, urgency: Urgency::Demand };
    assert!(store.list(list).await.unwrap().entries.is_empty());
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn an_unreadable_listing_is_malformed() {
    let server = OddServer::answering(&["HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<html></html"]).await;
    let store = store(&server, sas()).await;
    let prefix = ObjectKey::from("");
    let list = ListRequest { prefix: &prefix, delimited: false, token: None, limit: None, urgency: Urgency::Demand };
    assert_eq!(store.list(list).await.unwrap_err().kind, StoreErrorKind::Malformed);
}

#[tokio::test]
async fn a_refused_sas_file_is_read_again_and_the_request_sent_once_more() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SAS).unwrap();
    let denied = refused("403 Forbidden", "", "AuthenticationFailed", "");
    let empty =
        "HTTP/1.1 200 OK\r\nContent-Length: 62\r\n\r\n<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>";
    let body =
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/4\r\nETag: \"1\"\r\nContent-Length: 4\r\n\r\ndata";
    // Refused; the new token tried with a listing; the request again.
    let server = OddServer::answering(&[&denied, empty, body]).await;
    let store = store(&server, AzureCredential::SasFile(file.path().to_owned())).await;
    std::fs::write(file.path(), SAS.replace("canary", "fresh")).unwrap();
    let key = ObjectKey::from("object");
    let mut buffer = [0; 4];
    let get = Get { key: &key, version: None, range: ByteRange::new(0, 4), urgency: Urgency::Demand };
    store.get(get, &mut Landing::one(&mut buffer)).await.unwrap();
    assert_eq!(&buffer, b"data");
    let requests = server.requests();
    assert!(requests[0].contains("sig=canary") && requests[2].contains("sig=fresh"), "{requests:?}");
    assert_eq!((requests.len(), server.connections()), (3, 1));
}

#[tokio::test]
async fn a_refused_token_in_the_file_leaves_the_old_one_in_use() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SAS).unwrap();
    let denied = refused("403 Forbidden", "", "AuthenticationFailed", "");
    let server = OddServer::answering(&[&denied]).await;
    let store = store(&server, AzureCredential::SasFile(file.path().to_owned())).await;
    std::fs::write(file.path(), SAS.replace("canary", "worse")).unwrap();
    assert_eq!(get(&store).await.kind, StoreErrorKind::BadCredential);
    assert_eq!(get(&store).await.kind, StoreErrorKind::BadCredential);
    let requests = server.requests();
    assert!(requests.last().unwrap().contains("sig=canary"), "{requests:?}");
}

#[tokio::test]
async fn part_of_an_object_is_copied_with_the_source_named_and_authorized() {
    let created = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    let server = OddServer::answering(&[created]).await;
    let (source, target) = (ObjectKey::from("a b"), ObjectKey::from("t"));
    for credential in [sas(), key()] {
        let store = store(&server, credential).await;
        let upload = store.begin_upload(&target, &crate::PutOptions::default()).await.unwrap();
        let version = rfuse_block::Version::new("\"1\"");
        store.copy_part(&target, &upload, 1, &source, &version, ByteRange::new(2, 6)).await.unwrap();
    }
    for request in server.requests() {
        assert!(request.starts_with("PUT /acc/c/t?comp=block&blockid="), "{request}");
        assert!(request.contains("x-ms-source-range: bytes=2-5") && request.contains("x-ms-source-if-match: \"1\""));
        let source = request.lines().find(|line| line.starts_with("x-ms-copy-source: ")).unwrap();
        assert!(source.contains("/acc/c/a%20b?sv=") && source.contains("&sig="), "{source}");
        assert!(request.contains("content-length: 0"), "{request}");
    }
}
