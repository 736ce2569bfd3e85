//! Starting one `rfuse` process, as a user of its own, with a socket as its standard input.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What the process gets of our environment: proxies, certificates, and the identity of this pod.
const PASSED: [&str; 8] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_", "AWS_", "AZURE_", "IDENTITY_", "MSI_"];

/// Starts `rfuse` and returns it with our end of its socket. As a user other than root it has no capabilities.
///
/// # Errors
/// When it cannot be started.
pub(super) fn start(rfuse: &Path, user: Option<u32>) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(rfuse);
    command.arg("handover").stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).current_dir("/");
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| is_passed(name)));
    // Signals for the service are none of the mounts'.
    command.process_group(0);
    if let Some(user) = user {
        // Sets the groups to none as well.
        command.uid(user).gid(user);
    }
    let child = command
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("cannot start {}: {error}", rfuse.display())))?;
    Ok((child, ours))
}

/// Keys are among the `AWS_` variables; a node's own belong to the node, and a pod brings none.
fn is_passed(name: &OsString) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    PASSED.iter().any(|prefix| name.starts_with(prefix)) && !name.contains("SECRET") && !name.contains("SAS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_our_environment_is_passed_on() {
        for (name, passed) in [
            ("https_proxy", true),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", true),
            ("AZURE_FEDERATED_TOKEN_FILE", true),
            ("AWS_SECRET_ACCESS_KEY", false),
            ("AZURE_STORAGE_SAS_TOKEN", false),
            ("RFUSE_MEMORY", false),
        ] {
            assert_eq!(is_passed(&name.into()), passed, "{name}");
        }
    }
}
