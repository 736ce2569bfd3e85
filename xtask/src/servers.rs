//! Real object stores on loopback, on free ports, ended with their handle.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::shell::{command, end, run_quietly, spawn};
use crate::tools;

/// How long a server may take until it accepts connections, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The bucket that S3 servers have from the start.
const BUCKET: &str = "rfuse-test-bucket";

/// Files in the folder of a server with TLS.
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// Which S3 server.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum S3Server {
    /// Small, quick to install; keeps objects as files.
    Versitygw,
    /// The second opinion.
    Minio,
}

impl S3Server {
    /// As the tests know it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Versitygw => "versitygw",
            Self::Minio => "minio",
        }
    }
}

/// A running server and the folder its data is in.
pub(crate) struct Server {
    /// Base URL.
    pub(crate) url: String,
    /// A bucket that exists from the start; empty where there is none.
    pub(crate) bucket: String,
    child: Child,
    _data: TempDir,
}

impl Server {
    /// Azurite, with its well-known account `devstoreaccount1`.
    pub(crate) fn azurite() -> Result<Self> {
        Self::azurite_in(TempDir::with_prefix("rfuse-azurite-")?, false)
    }

    /// The same with TLS, and the file of the certificate it shows, which has signed itself.
    pub(crate) fn azurite_with_tls() -> Result<(Self, PathBuf)> {
        let data = TempDir::with_prefix("rfuse-azurite-tls-")?;
        let certificate = data.path().join(CERTIFICATE);
        let names = "subjectAltName=IP:127.0.0.1";
        // Without the second a certificate is an authority's, which no server may show.
        let kind = "basicConstraints=critical,CA:FALSE";
        let make =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        let mut openssl = command("openssl", &make);
        openssl.args(["-subj", "/CN=rfuse test emulator", "-addext", names, "-addext", kind, "-out"]);
        openssl.arg(&certificate).arg("-keyout").arg(data.path().join(KEY));
        run_quietly(&mut openssl, START_LIMIT)?;
        Ok((Self::azurite_in(data, true)?, certificate))
    }

    fn azurite_in(data: TempDir, with_tls: bool) -> Result<Self> {
        let program = tools::azurite()?;
        let port = free_port()?;
        let location = data.path().to_string_lossy().into_owned();
        let port_text = port.to_string();
        let arguments = [
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            &port_text,
            "--location",
            &location,
            "--silent",
            "--disableTelemetry",
        ];
        let mut start = command(program, &arguments);
        if with_tls {
            start.arg("--cert").arg(data.path().join(CERTIFICATE)).arg("--key").arg(data.path().join(KEY));
        }
        start.stdout(Stdio::null());
        let scheme = if with_tls { "https" } else { "http" };
        Self::start(start, port, data, scheme, "/devstoreaccount1")
    }

    /// An S3 server over a folder, which knows one key.
    pub(crate) fn s3(kind: S3Server, key: &str, secret: &str) -> Result<Self> {
        let data = TempDir::with_prefix("rfuse-s3-")?;
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let folder = data.path().to_string_lossy().into_owned();
        // To both servers a folder of their data is a bucket.
        std::fs::create_dir(data.path().join(BUCKET))?;
        let mut start = match kind {
            S3Server::Versitygw => command(tools::versitygw()?, &["--port", &address, "posix", &folder]),
            S3Server::Minio => command(tools::minio()?, &["server", "--quiet", "--address", &address, &folder]),
        };
        start.env("ROOT_ACCESS_KEY", key).env("ROOT_SECRET_KEY", secret);
        start.env("MINIO_ROOT_USER", key).env("MINIO_ROOT_PASSWORD", secret);
        start.stdout(Stdio::null());
        let mut server = Self::start(start, port, data, "http", "")?;
        BUCKET.clone_into(&mut server.bucket);
        Ok(server)
    }

    fn start(mut command: std::process::Command, port: u16, data: TempDir, scheme: &str, path: &str) -> Result<Self> {
        let child = spawn(command.stdin(Stdio::null()))?;
        let mut server =
            Self { url: format!("{scheme}://127.0.0.1:{port}{path}"), bucket: String::new(), child, _data: data };
        let limit = Instant::now() + START_LIMIT;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{} ended at once: {status}", command.get_program().display());
            }
            if Instant::now() > limit {
                bail!("{} does not accept connections after {START_LIMIT:?}", command.get_program().display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A port nobody listens on. Another process could take it before the server does; then the server says so.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
