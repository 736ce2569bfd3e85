//! A command that prints a credential (`credential_process`).
//!
//! Protocol: "Process credential provider" of the AWS SDK reference guide.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use rfuse_config::Secret;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::source::{Loaded, no_credential};
use crate::StoreError;

/// How long the command may take; then it is killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much of what it prints is read.
const OUTPUT_LIMIT: u64 = 64 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

/// Runs `command`, the setting of `origin`, in a shell.
///
/// # Errors
/// `NoCredential`, without anything the command printed.
pub(super) async fn load(command: &str, origin: String) -> Result<Loaded, StoreError> {
    let failed = |why: String| no_credential(format!("the credential_process of {origin} {why}; run it by hand"));
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = shell.spawn().map_err(|error| failed(format!("cannot be started ({error})")))?;
    let mut printed = Vec::new();
    let run = async {
        if let Some(stdout) = child.stdout.take() {
            stdout.take(OUTPUT_LIMIT).read_to_end(&mut printed).await?;
        }
        child.wait().await
    };
    let status = match timeout(PATIENCE, run).await {
        Ok(status) => status.map_err(|error| failed(format!("cannot be read ({error})")))?,
        Err(_) => return Err(failed(format!("did not end within {PATIENCE:?}"))),
    };
    if !status.success() {
        return Err(failed(format!("failed ({status})")));
    }
    let output: Output =
        serde_json::from_slice(&printed).map_err(|_| failed("printed something else than a credential".to_owned()))?;
    output.loaded(&failed, origin.clone())
}

impl Output {
    fn loaded(self, failed: &dyn Fn(String) -> StoreError, origin: String) -> Result<Loaded, StoreError> {
        if self.version != 1 {
            return Err(failed(format!("printed version {}, not 1", self.version)));
        }
        let expiry = match self.expiration {
            Some(text) => {
                let moment = text.parse::<jiff::Timestamp>();
                Some(SystemTime::from(moment.map_err(|_| failed("printed an unreadable Expiration".to_owned()))?))
            }
            None => None,
        };
        Ok(Loaded {
            id: self.access_key_id,
            secret: Secret::new(self.secret_access_key),
            token: self.session_token.map(Secret::new),
            expiry,
            origin,
            file: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(command: &str) -> Result<Loaded, StoreError> {
        load(command, "profile \"p\"".to_owned()).await
    }

    #[tokio::test]
    async fn what_the_command_prints_is_the_credential() {
        let loaded = run(r#"printf '{"Version":1,"AccessKeyId":"AK","SecretAccessKey":"%s","SessionToken":"t",
                "Expiration":"2030-01-02T03:04:05Z"}' 'two  words'"#);
        let loaded = loaded.await.unwrap();
        assert_eq!((loaded.id.as_str(), loaded.secret.reveal()), ("AK", "two  words"));
        assert_eq!(loaded.expiry, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_553_445)));
    }

    #[tokio::test]
    async fn what_it_prints_otherwise_is_never_shown() {
        for command in [
            "echo canary",
            "echo canary; echo canary >&2; exit 3",
            r#"echo '{"Version":2,"AccessKeyId":"canary","SecretAccessKey":"canary"}'"#,
            r#"echo '{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b","Expiration":"canary"}'"#,
        ] {
            let error = run(command).await.unwrap_err().to_string();
            assert!(error.contains("profile \"p\"") && !error.contains("canary"), "{error}");
        }
    }
}
