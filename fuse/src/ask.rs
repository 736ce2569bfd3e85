//! Asks a mount something, from another process.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rfuse_config::control::{LINE_MAX, Reply, Request, Statistics};

use crate::outcome::{Exit, Failure};
use crate::run_dir::RunDir;

/// Asks the mount on `dir`; waits `patience` at most for each of connection, question and answer.
///
/// # Errors
/// When nothing of ours is mounted there or it does not answer.
pub(crate) fn ask(dir: &Path, request: &Request, patience: Duration) -> Result<Reply, Failure> {
    let what = format!("ask the mount on {}", dir.display());
    let silent = |error: std::io::Error| {
        let help = "`rfuse list` shows the mounts of this user; another user's answer only to them and to root";
        Failure::new(Exit::NotFound, &what, format!("no mount of rfuse answers there: {error}"), help)
    };
    let line = talk(&RunDir::find().files(dir).socket, request, patience).map_err(silent)?;
    match serde_json::from_str(&line) {
        Ok(Reply::Failed { why }) => Err(Failure::new(Exit::Failed, &what, why, "see the log of the mount")),
        Ok(reply) => Ok(reply),
        Err(_) => {
            let why = "its answer cannot be read: it is of another version of rfuse";
            Err(Failure::new(Exit::Failed, &what, why, "use the rfuse that mounted, or mount again"))
        }
    }
}

fn talk(socket: &Path, request: &Request, patience: Duration) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    writeln!(stream, "{}", serde_json::to_string(request)?)?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_MAX as u64)).read_line(&mut line)?;
    Ok(line)
}

/// The numbers of the mount on `dir`.
///
/// # Errors
/// Those of [`ask`].
pub(crate) fn statistics(dir: &Path, patience: Duration) -> Result<Statistics, Failure> {
    match ask(dir, &Request::Stats, patience)? {
        Reply::Stats(statistics) => Ok(*statistics),
        _ => Err(Failure::new(Exit::Failed, "read the numbers", "it answered something else", "mount again")),
    }
}

/// `dir` as it is registered: absolute, links resolved except where looking at the mount itself could hang.
pub(crate) fn registered_name(dir: &Path) -> PathBuf {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else { return absolute };
    let real = std::fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned()).join(name);
    match std::fs::read_link(&real) {
        Ok(link) => std::path::absolute(parent.join(link)).unwrap_or(real),
        Err(_) => real,
    }
}
