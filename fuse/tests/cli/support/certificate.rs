//! Certificates made on the spot, and a server that shows one.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

/// A certificate that nobody has signed but itself, for this machine.
pub(crate) struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    /// None where no openssl is there to make it.
    pub(crate) fn new() -> Option<Self> {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        make.args(["-days", "2", "-subj", "/CN=rfuse test", "-addext", "subjectAltName=IP:127.0.0.1"]);
        make.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        let made = make.arg("-keyout").arg(this.key()).arg("-out").arg(this.path()).output();
        let Ok(made) = made else {
            eprintln!("SKIPPED: needs openssl");
            return None;
        };
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(this)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

/// A server that shows a certificate and answers every request with 404.
pub(crate) struct TlsServer {
    port: u16,
}

impl TlsServer {
    pub(crate) fn start(certificate: &Certificate) -> Self {
        let chain = vec![CertificateDer::from_pem_file(certificate.path()).unwrap()];
        let key = PrivateKeyDer::from_pem_file(certificate.key()).unwrap();
        let config = Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                std::thread::spawn(move || {
                    let mut connection = ServerConnection::new(config).unwrap();
                    let mut stream = Stream::new(&mut connection, &mut socket);
                    let mut head = [0; 4096];
                    if stream.read(&mut head).is_ok() {
                        let answer = b"HTTP/1.1 404 Not Found\r\nx-ms-error-code: ContainerNotFound\r\n\
                            Content-Length: 0\r\nConnection: close\r\n\r\n";
                        let _ = stream.write_all(answer);
                    }
                });
            }
        });
        Self { port }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}
