//! Containers and SAS tokens on the emulator.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub(crate) const ACCOUNT: &str = "devstoreaccount1";
/// Published by Microsoft; it opens nothing else.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A container of its own for each test.
pub(crate) struct Container {
    pub(crate) url: String,
    base: String,
    pub(crate) name: String,
}

impl Container {
    /// None without an emulator.
    pub(crate) fn make(name: &str) -> Option<Self> {
        let Ok(base) = std::env::var("RFUSE_TEST_AZURITE") else {
            println!("SKIPPED: RFUSE_TEST_AZURITE names no emulator; cargo xtask test starts one");
            return None;
        };
        let name = format!("csi-{name}-{}", std::process::id());
        let container = Self { url: format!("{base}/{name}"), base, name };
        container.put("?restype=container", &[], b"", 201);
        Some(container)
    }

    pub(crate) fn upload(&self, key: &str, bytes: &[u8]) {
        self.put(&format!("/{key}?"), &["x-ms-blob-type: BlockBlob"], bytes, 201);
    }

    fn put(&self, path_and_query: &str, headers: &[&str], body: &[u8], expected: u16) {
        let address = self.base.strip_prefix("http://").unwrap().split('/').next().unwrap();
        let target = format!("/{ACCOUNT}/{}{path_and_query}&{}", self.name, sas("rwdlac", "2099-01-01T00:00:00Z"));
        let mut request =
            format!("PUT {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nx-ms-version: 2021-08-06\r\n");
        for header in headers {
            request.push_str(&format!("{header}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{answer}");
    }
}

/// An account SAS over HTTP and HTTPS, as "Create an account SAS" of the Blob REST reference says.
pub(crate) fn sas(permissions: &str, expiry: &str) -> String {
    let version = "2021-08-06";
    let fields = [ACCOUNT, permissions, "b", "sco", "", expiry, "", "", version, ""];
    let text: String = fields.iter().map(|field| format!("{field}\n")).collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(KEY).unwrap()).unwrap();
    mac.update(text.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let expiry = expiry.replace(':', "%3A");
    format!("sv={version}&ss=b&srt=sco&sp={permissions}&se={expiry}&sig={signature}")
}

/// The value of `sig` in a SAS: what must be found nowhere.
pub(crate) fn signature(sas: &str) -> &str {
    sas.split("sig=").nth(1).unwrap().split('&').next().unwrap()
}

/// The moment so many seconds from now, as a SAS has it.
pub(crate) fn in_seconds(seconds: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{}", now + seconds), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
