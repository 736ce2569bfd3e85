//! The client against answers that a store should not give.

use super::odd_server::{OddServer, Step};
use super::*;
use http::StatusCode;
use rfuse_block::{ByteRange, ObjectKey, Version};

use crate::Urgency;

fn quick() -> Limits {
    Limits { connect_timeout: Duration::from_secs(5), stall_timeout: Duration::from_millis(300), ..Limits::default() }
}

fn client() -> HttpClient {
    HttpClient::with_proxies(&quick(), None, Matcher::builder().build()).unwrap()
}

fn request(url: &str) -> Request<Full<Bytes>> {
    Request::get(format!("{url}/object?sig=canary")).body(Full::default()).unwrap()
}

/// Asks `server` for bytes 4..8 of version `"v1"` and says what landed.
async fn get_4_to_8(server: &OddServer) -> (Result<Fetched, StoreError>, Vec<u8>) {
    let (key, version) = (ObjectKey::from("object"), Version::new("\"v1\""));
    let get = Get { key: &key, version: Some(&version), range: ByteRange::new(4, 8), urgency: Urgency::Demand };
    let client = client();
    let mut bytes = vec![0; 4];
    let mut landing = Landing::one(&mut bytes);
    let result = match client.send(Operation::Get, request(&server.url())).await {
        Ok(response) => client.land(Operation::Get, response, &get, &mut landing).await,
        Err(error) => Err(error),
    };
    let filled = usize::try_from(landing.filled()).unwrap();
    drop(landing);
    bytes.truncate(filled);
    if let Err(error) = &result {
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
    (result, bytes)
}

async fn outcome(answer: &str) -> (Result<Fetched, StoreErrorKind>, Vec<u8>) {
    let server = OddServer::start(vec![vec![Step::Send(answer.as_bytes().to_vec()), Step::Close]]).await;
    let (result, bytes) = get_4_to_8(&server).await;
    (result.map_err(|error| error.kind), bytes)
}

fn partial(range: &str, etag: &str, length: usize, body: &str) -> String {
    format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {range}\r\nETag: {etag}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn the_right_answer_lands_with_version_and_size() {
    let (result, bytes) = outcome(&partial("4-7/100", "\"v1\"", 4, "data")).await;
    assert_eq!(result, Ok(Fetched { version: Version::new("\"v1\""), object_size: 100 }));
    assert_eq!(bytes, b"data");
}

#[tokio::test]
async fn a_body_for_another_range_never_lands() {
    for range in ["0-3/100", "5-8/100", "4-8/100", "3-7/100", "4-7/*"] {
        let (result, bytes) = outcome(&partial(range, "\"v1\"", 4, "data")).await;
        assert_eq!((result, bytes.len()), (Err(StoreErrorKind::Malformed), 0), "{range}");
    }
}

#[tokio::test]
async fn a_whole_object_in_place_of_a_range_is_refused() {
    let answer = "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 4\r\n\r\ndata";
    assert_eq!(outcome(answer).await, (Err(StoreErrorKind::Malformed), vec![]));
}

#[tokio::test]
async fn another_version_is_changed_even_when_the_store_ignores_if_match() {
    let (result, bytes) = outcome(&partial("4-7/100", "\"v2\"", 4, "data")).await;
    assert_eq!((result, bytes.len()), (Err(StoreErrorKind::Changed), 0));
}

#[tokio::test]
async fn an_answer_without_a_version_is_malformed() {
    let answer = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-7/9\r\nContent-Length: 4\r\n\r\ndata";
    assert_eq!(outcome(answer).await.0, Err(StoreErrorKind::Malformed));
}

#[tokio::test]
async fn what_came_before_a_cut_has_landed() {
    let (result, bytes) = outcome(&partial("4-7/100", "\"v1\"", 4, "da")).await;
    assert_eq!((result, bytes.as_slice()), (Err(StoreErrorKind::Cut), &b"da"[..]));
}

#[tokio::test]
async fn a_range_beyond_the_end_is_cut_after_what_there_is() {
    let (result, bytes) = outcome(&partial("4-5/6", "\"v1\"", 2, "da")).await;
    assert_eq!((result, bytes.as_slice()), (Err(StoreErrorKind::Cut), &b"da"[..]));
}

#[tokio::test]
async fn a_body_longer_than_its_range_is_malformed() {
    let (result, _) = outcome(&partial("4-7/100", "\"v1\"", 6, "data!!")).await;
    assert_eq!(result, Err(StoreErrorKind::Malformed));
}

#[tokio::test]
async fn no_http_at_all_is_malformed() {
    assert_eq!(outcome("SSH-2.0-OpenSSH_9.2\r\n\r\n").await.0, Err(StoreErrorKind::Malformed));
}

#[tokio::test]
async fn a_closed_connection_is_cut() {
    assert_eq!(outcome("").await.0, Err(StoreErrorKind::Cut));
}

#[tokio::test]
async fn silence_before_the_head_and_in_the_body_times_out() {
    let long = Duration::from_secs(60);
    let mute = OddServer::start(vec![vec![Step::Wait(long)]]).await;
    assert_eq!(get_4_to_8(&mute).await.0.unwrap_err().kind, StoreErrorKind::TimedOut);
    let head = partial("4-7/100", "\"v1\"", 4, "da").into_bytes();
    let stalls = OddServer::start(vec![vec![Step::Send(head), Step::Wait(long)]]).await;
    let (result, bytes) = get_4_to_8(&stalls).await;
    assert_eq!((result.unwrap_err().kind, bytes.as_slice()), (StoreErrorKind::TimedOut, &b"da"[..]));
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let answer = partial("4-7/100", "\"v1\"", 4, "data");
    let server = OddServer::answering(&[&answer]).await;
    let client = client();
    for _ in 0..5 {
        let response = client.send(Operation::Get, request(&server.url())).await.unwrap();
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        client.small_body(Operation::Get, response, 10).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_small_body_has_its_bound() {
    let server = OddServer::answering(&["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"]).await;
    let client = client();
    let response = client.send(Operation::List, request(&server.url())).await.unwrap();
    assert_eq!(client.small_body(Operation::List, response, 5).await.unwrap(), "hello");
    let response = client.send(Operation::List, request(&server.url())).await.unwrap();
    let error = client.small_body(Operation::List, response, 4).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Malformed);
}

#[tokio::test]
async fn a_refused_connection_and_an_unknown_host_are_told_apart() {
    let refused = client().send(Operation::Head, request("http://127.0.0.1:1")).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Unreachable);
    assert!(refused.message.contains("127.0.0.1:1") && !refused.message.contains("canary"), "{refused}");
}

#[tokio::test]
async fn plain_http_where_tls_was_asked_is_a_tls_error() {
    use tokio::io::AsyncWriteExt as _;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // Held open, so that the answer and not a reset is what the client sees.
        std::future::pending::<()>().await;
    });
    let error = client().send(Operation::Head, request(&url)).await.unwrap_err();
    server.abort();
    assert_eq!(error.kind, StoreErrorKind::Tls, "{error}");
    assert!(error.message.contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn plain_http_goes_through_the_proxy_with_its_password() {
    let proxy = OddServer::answering(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]).await;
    let address = proxy.url().replace("http://", "http://user:secret@");
    let proxies = Matcher::builder().http(address).no("direct.example").build();
    let client = HttpClient::with_proxies(&quick(), None, proxies).unwrap();
    client.send(Operation::Head, request("http://store.example")).await.unwrap();
    let head = proxy.requests().remove(0);
    assert!(head.starts_with("GET http://store.example/object?sig=canary HTTP/1.1"), "{head}");
    assert!(head.to_lowercase().contains("proxy-authorization: basic"), "{head}");
}

#[tokio::test]
async fn a_proxy_that_refuses_the_tunnel_is_named_as_such() {
    let proxy =
        OddServer::answering(&["HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"]).await;
    let client = HttpClient::with_proxies(&quick(), None, Matcher::builder().https(proxy.url()).build()).unwrap();
    let error = client.send(Operation::Head, request("https://store.example")).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unreachable);
    assert!(error.message.contains("password"), "{error}");
    assert!(proxy.requests()[0].starts_with("CONNECT store.example:443"), "{:?}", proxy.requests());
}
