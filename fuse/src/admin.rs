//! The control socket of a mount: one JSON line in, one out.
//!
//! Bounds: 16 clients at once, lines of 1 MiB at most, 30 s for a question. The socket lies in a directory only
//! its owner can enter.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rfuse_config::control::{CredentialStatus, Health, LINE_MAX, Reply, Request};
use rfuse_fuse::trace::Traced;
use rfuse_store::Reloaded;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore};

use crate::assemble::{Parts, credential_control, look};
use crate::{numbers, planning, prometheus};

const CLIENTS_MAX: usize = 16;
const QUESTION_TIME: Duration = Duration::from_secs(30);

/// Answers on `socket` until the process ends.
pub(crate) async fn listen(socket: PathBuf, parts: Parts, end: Arc<Notify>) {
    let listener = match bind(&socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, "no control socket; `rfuse stats` will not reach this mount");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (parts, end) = (parts.clone(), Arc::clone(&end));
        tokio::spawn(async move {
            if tokio::time::timeout(QUESTION_TIME, converse(stream, &parts, &end)).await.is_err() {
                tracing::debug!("a control client was too slow");
            }
            drop(place);
        });
    }
}

fn bind(socket: &Path) -> std::io::Result<UnixListener> {
    // Left by a mount that was killed; the folder is ours alone.
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn converse(stream: UnixStream, parts: &Parts, end: &Notify) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LINE_MAX as u64)).read_line(&mut line).await?;
    let reply = match serde_json::from_str(&line) {
        Ok(request) => answer(request, parts, end).await,
        Err(_) => Reply::Failed { why: "this version of rfuse does not know that request".to_owned() },
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    write.write_all(&line).await
}

/// What is said to `request`, whichever way it came.
pub(crate) async fn answer(request: Request, parts: &Parts, end: &Notify) -> Reply {
    match request {
        Request::Stats => Reply::Stats(Box::new(numbers::collect(parts))),
        Request::Metrics => Reply::Metrics(prometheus::text(&numbers::collect(parts))),
        Request::Health => {
            let looked = look(&parts.opened).await;
            Reply::Health(Health { store: looked.is_ok(), why: looked.err().map(|error| error.to_string()) })
        }
        Request::Credential => Reply::Credential(credential(parts).unwrap_or_default()),
        Request::ReloadCredential => reload(parts).await,
        Request::LoadPlan { file } => {
            let parts = parts.clone();
            outcome(
                blocking(move || {
                    planning::follow(&parts.files, &parts.config, &file).map_err(|error| error.to_string())
                })
                .await,
            )
        }
        Request::DropPlan => {
            parts.files.drop_plan();
            Reply::Done
        }
        Request::StartTrace { file } => {
            let tracing = Arc::clone(&parts.tracing);
            let start =
                move || tracing.start(&file).map_err(|error| format!("cannot write {}: {error}", file.display()));
            outcome(blocking(start).await)
        }
        Request::StopTrace => {
            let tracing = Arc::clone(&parts.tracing);
            match blocking(move || tracing.stop().map_err(|error| error.to_string())).await {
                Ok(Traced { file, reads, dropped }) => Reply::Traced { file, reads, dropped },
                Err(why) => Reply::Failed { why },
            }
        }
        Request::Unmount => {
            end.notify_one();
            Reply::Done
        }
    }
}

/// Does what waits for a disk, where nobody is held up by it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

fn outcome(done: Result<(), String>) -> Reply {
    match done {
        Ok(()) => Reply::Done,
        Err(why) => Reply::Failed { why },
    }
}

/// What may be said of the credential; none for stores that need none.
pub(crate) fn credential(parts: &Parts) -> Option<CredentialStatus> {
    let control = credential_control(&parts.opened)?;
    let expires = control.expiry().and_then(seconds);
    Some(CredentialStatus { source: control.describe(), expires, swapped: false })
}

fn seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|age| age.as_secs())
}

async fn reload(parts: &Parts) -> Reply {
    let Some(control) = credential_control(&parts.opened) else {
        return Reply::Failed { why: "this store needs no credential".to_owned() };
    };
    match control.reload().await {
        Ok(reloaded) => {
            let status = credential(parts).unwrap_or_default();
            Reply::Credential(CredentialStatus { swapped: reloaded == Reloaded::Swapped, ..status })
        }
        Err(error) => Reply::Failed { why: error.to_string() },
    }
}
