//! This process as the operating system sees it.

use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// A core dump would hold credentials and readers' data. Whatever fails here is not worth a refusal: both
/// calls do the same from two sides.
pub(crate) fn forbid_core_dumps() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Each connection and each open control client is a descriptor; take what the system lets us have.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Tells systemd that this service is ready, where it asked to be told (`Type=notify`).
pub(crate) fn tell_systemd(what: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match name.as_bytes() {
        // A name that belongs to no file.
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        _ => SocketAddr::from_pathname(&name),
    };
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(what.as_bytes(), &address?));
    if let Err(error) = sent {
        tracing::warn!(%error, "systemd cannot be told: {what}");
    }
}

/// Writes to standard output. A reader that went away (`| head`) is not an error.
pub(crate) fn say(text: impl AsRef<str>) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", text.as_ref());
    let _ = out.flush();
}

/// Up to eight programs with something open, or their feet, below `dir`; other users' are seen by root only.
pub(crate) fn users_of(dir: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let numbered =
        processes.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok()));
    numbered.filter(|process| uses(process, dir)).take(8).map(|process| name_of(&process)).collect()
}

fn uses(process: &Path, dir: &Path) -> bool {
    let below = |link: PathBuf| std::fs::read_link(link).is_ok_and(|target| target.starts_with(dir));
    let descriptors = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    below(process.join("cwd")) || below(process.join("root")) || descriptors.map(|entry| entry.path()).any(below)
}

fn name_of(process: &Path) -> String {
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    let pid = process.file_name().unwrap_or_default().to_string_lossy();
    crate::outcome::one_line(&format!("{} ({pid})", name.trim()))
}
