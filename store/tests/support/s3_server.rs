//! The real S3 server that the environment names, and a bucket in it made for one test.
//!
//! `RFUSE_TEST_S3=http://HOST:PORT`, `RFUSE_TEST_S3_KEY`, `RFUSE_TEST_S3_SECRET`. The request that makes the
//! bucket is signed by the few lines below, apart from the signature that the store uses.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};

use hmac::{Hmac, Mac as _};
use rfuse_config::{AwsCredential, Location, Secret, StoreConfig};
use sha2::{Digest as _, Sha256};

/// A server and the key pair of its owner.
pub(crate) struct Server {
    endpoint: String,
    key: String,
    secret: String,
}

impl Server {
    /// The server that the environment names; says so on standard error when it names none.
    pub(crate) fn from_env() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let found = (variable("RFUSE_TEST_S3"), variable("RFUSE_TEST_S3_KEY"), variable("RFUSE_TEST_S3_SECRET"));
        let (Some(endpoint), Some(key), Some(secret)) = found else {
            eprintln!("SKIPPED: set RFUSE_TEST_S3, RFUSE_TEST_S3_KEY and RFUSE_TEST_S3_SECRET to test against S3");
            return None;
        };
        Some(Self { endpoint, key, secret })
    }

    /// Whether `RFUSE_TEST_S3_SERVER` says that it is MinIO, which differs from S3 in ways of its own.
    #[allow(dead_code, reason = "not every file of tests that includes this asks")]
    pub(crate) fn is_minio() -> bool {
        std::env::var("RFUSE_TEST_S3_SERVER").is_ok_and(|name| name == "minio")
    }

    /// The configuration of a new, empty bucket.
    pub(crate) fn new_bucket(&self) -> StoreConfig {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let bucket = format!("t{since}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let answer = self.put(&format!("/{bucket}"));
        assert!(answer.starts_with("HTTP/1.1 200"), "the bucket was not made: {answer}");
        StoreConfig {
            endpoint: Some(self.endpoint.clone()),
            region: Some("us-east-1".to_owned()),
            aws: AwsCredential::Keys {
                id: self.key.clone(),
                secret: Secret::new(self.secret.as_str()),
                session_token: None,
            },
            ..StoreConfig::at(Location::S3 { bucket, prefix: Vec::new() })
        }
    }

    /// Sends a signed PUT without a body; the answer as text.
    fn put(&self, path: &str) -> String {
        let host = self.endpoint.strip_prefix("http://").expect("RFUSE_TEST_S3 is http://HOST:PORT");
        let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let empty = hex(&Sha256::digest(b""));
        let names = "host;x-amz-content-sha256;x-amz-date";
        let canonical =
            format!("PUT\n{path}\n\nhost:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{stamp}\n\n{names}\n{empty}");
        let scope = format!("{}/us-east-1/s3/aws4_request", &stamp[..8]);
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
        let first = format!("AWS4{}", self.secret).into_bytes();
        let key = scope.split('/').fold(first, |key, part| mac(&key, part));
        let signature = hex(&mac(&key, &to_sign));
        let request = format!(
            "PUT {path} HTTP/1.1\r\nHost: {host}\r\nx-amz-date: {stamp}\r\nx-amz-content-sha256: {empty}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.key
        );
        let mut socket = TcpStream::connect(host).expect("the S3 server of RFUSE_TEST_S3 answers");
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).unwrap().chain_update(text).finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
