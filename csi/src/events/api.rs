//! The one thing that is asked of the Kubernetes API: to take an event.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::Event;
use crate::{DRIVER, moment};

/// Where a pod finds the account it runs as.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// For one request; an event that is late is of no use.
const LIMIT: Duration = Duration::from_secs(10);

/// The API server of this cluster.
#[derive(Debug)]
pub(super) struct Api {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    /// Read anew for each request: the kubelet renews it.
    token: PathBuf,
}

impl Api {
    /// The API that this pod is told of.
    ///
    /// # Errors
    /// This process runs in no pod, or its pod has no account.
    pub(super) fn of_this_pod() -> io::Result<Self> {
        let word = |name: &str| std::env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")));
        let (host, port) = (word("KUBERNETES_SERVICE_HOST")?, word("KUBERNETES_SERVICE_PORT")?);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Self::open(format!("https://{host}:{port}"), Path::new(ACCOUNT))
    }

    /// The API at `base`, with the certificate and token in the folder `account`.
    fn open(base: String, account: &Path) -> io::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        let path = account.join("ca.crt");
        let explain = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
        for certificate in CertificateDer::pem_file_iter(&path).map_err(|error| explain(&error))? {
            roots.add(certificate.map_err(|error| explain(&error))?).map_err(|error| explain(&error))?;
        }
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(config)
            // Plain for tests only: the base of a pod is always https.
            .https_or_http()
            .enable_http1()
            .build();
        // Events are rare: no connection is kept for the next.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { client, base, token: account.join("token") })
    }

    /// Makes the event called `name`, or adds to it if it is there.
    ///
    /// # Errors
    /// What the API says.
    pub(super) async fn put(&self, event: &Event, name: &str, count: u32, node: &str) -> io::Result<()> {
        let path = format!("/api/v1/namespaces/{}/events", event.pod.namespace);
        let now = moment::rfc3339(moment::now());
        let whole = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": event.pod.namespace},
            "involvedObject": {
                "apiVersion": "v1", "kind": "Pod", "name": event.pod.name, "namespace": event.pod.namespace, "uid": event.pod.uid,
            },
            "reason": format!("{:?}", event.reason),
            "message": event.message,
            "type": event.reason.kind(),
            "source": {"component": DRIVER, "host": node},
            "firstTimestamp": now, "lastTimestamp": now, "count": count,
        });
        match self.send(Method::POST, &path, "application/json", &whole).await? {
            StatusCode::CONFLICT => {}
            status => return judge(status),
        }
        // It was there before this process: its count is not known, but that it happened again is.
        let more = json!({"lastTimestamp": now, "count": count.max(2)});
        judge(self.send(Method::PATCH, &format!("{path}/{name}"), "application/merge-patch+json", &more).await?)
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: &serde_json::Value) -> io::Result<StatusCode> {
        let token = std::fs::read_to_string(&self.token)?;
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", token.trim()))
            .header("content-type", kind)
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(io::Error::other)?;
        let answer = tokio::time::timeout(LIMIT, self.client.request(request)).await;
        Ok(answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map_err(io::Error::other)?.status())
    }
}

fn judge(status: StatusCode) -> io::Result<()> {
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::FORBIDDEN => {
            Err(io::Error::other("the service account rfuse-csi-node may not create and patch events"))
        }
        status => Err(io::Error::other(format!("the Kubernetes API says {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::super::{Pod, Reason};
    use super::*;

    /// A server that answers so many requests with these statuses, and what it was asked.
    fn server(statuses: &'static [&'static str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for status in statuses {
                let (mut stream, _) = listener.accept().unwrap();
                let mut text = Vec::new();
                let whole = |text: &[u8]| {
                    let text = String::from_utf8_lossy(text).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
                    body.len() >= length.parse::<usize>().unwrap()
                };
                while !whole(&text) {
                    let mut piece = [0; 4096];
                    let count = stream.read(&mut piece).unwrap();
                    text.extend_from_slice(&piece[..count]);
                }
                write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
                asked.push(String::from_utf8(text).unwrap());
            }
            asked
        });
        (base, asked)
    }

    /// Any certificate: the tests speak plain HTTP.
    fn account() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.crt"), "").unwrap();
        std::fs::write(folder.path().join("token"), "canary-token\n").unwrap();
        folder
    }

    fn put(statuses: &'static [&'static str]) -> (io::Result<()>, Vec<String>) {
        let (base, asked) = server(statuses);
        let (account, event) = (account(), event());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(async {
            let api = Api::open(base, account.path()).unwrap();
            api.put(&event, "reader.1", 1, "node-1").await
        });
        (outcome, asked.join().unwrap())
    }

    fn event() -> Event {
        let pod = Pod { namespace: "team".into(), name: "reader".into(), uid: "u-1".into() };
        Event { pod, reason: Reason::CredentialExpired, message: "the credential has expired".into() }
    }

    #[test]
    fn a_new_event_is_made_and_one_that_is_there_is_added_to() {
        let (outcome, asked) = put(&["201 Created"]);
        outcome.unwrap();
        assert!(asked[0].starts_with("POST /api/v1/namespaces/team/events HTTP/1.1\r\n"), "{}", asked[0]);
        assert!(asked[0].contains("authorization: Bearer canary-token\r\n"));
        for word in
            ["\"reason\":\"CredentialExpired\"", "\"type\":\"Warning\"", "\"uid\":\"u-1\"", "\"host\":\"node-1\""]
        {
            assert!(asked[0].contains(word), "{word}: {}", asked[0]);
        }
        let (outcome, asked) = put(&["409 Conflict", "200 OK"]);
        outcome.unwrap();
        assert!(asked[1].starts_with("PATCH /api/v1/namespaces/team/events/reader.1 HTTP/1.1\r\n"), "{}", asked[1]);
        assert!(asked[1].contains("\"count\":2"));
    }

    #[test]
    fn a_refusal_says_what_is_missing_and_shows_no_token() {
        let (outcome, _) = put(&["403 Forbidden"]);
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("rfuse-csi-node") && !error.contains("canary"), "{error}");
    }
}
