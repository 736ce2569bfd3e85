//! SAS tokens for the emulator, as "Create an account SAS" of the Blob REST reference says.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub(super) const ACCOUNT: &str = "devstoreaccount1";
/// Published by Microsoft; it opens nothing else.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A token with these permissions until `expiry`.
pub(super) fn token(permissions: &str, expiry: &str) -> Result<String> {
    let version = "2021-08-06";
    let fields = [ACCOUNT, permissions, "b", "sco", "", expiry, "", "", version, ""];
    let text: String = fields.iter().map(|field| format!("{field}\n")).collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(KEY)?)?;
    mac.update(text.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    Ok(format!("sv={version}&ss=b&srt=sco&sp={permissions}&se={}&sig={signature}", expiry.replace(':', "%3A")))
}

/// The moment so many seconds from now.
pub(super) fn in_seconds(seconds: u64) -> Result<String> {
    let format = format!("date -u -d '{seconds} seconds' +%Y-%m-%dT%H:%M:%SZ");
    Ok(super::cluster::shell(&format, &[])?.trim().to_owned())
}
