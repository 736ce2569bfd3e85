//! The control socket of a mount: one JSON line in, one out; and three pages for those who speak HTTP.
//!
//! Bounds: 16 clients at once, lines of 1 MiB at most, 30 s for a question and five minutes for one that warms. The socket lies in a directory only
//! its owner can enter.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rfuse_config::control::{CredentialStatus, Health, LINE_MAX, Reply, Request};
use rfuse_fuse::trace::Traced;
use rfuse_store::Reloaded;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use crate::assemble::{Parts, credential_control, look};
use crate::keeping::{self, blocking};
use crate::{numbers, planning, prometheus};

/// Files told at most; with long paths they still fit a line.
const FILES_MAX: usize = 200;
const CLIENTS_MAX: usize = 16;
const QUESTION_TIME: Duration = Duration::from_secs(30);
/// What readers ask for comes first, so bringing a piece of a file may take long.
const WARM_TIME: Duration = Duration::from_secs(300);

/// The control socket, from when on questions wait for their answers; none where it cannot be made. To be called inside
/// the runtime, before anybody is told of the mount.
pub(crate) fn open(socket: &Path) -> Option<UnixListener> {
    let bound = bind(socket);
    bound.inspect_err(|error| tracing::warn!(%error, "no control socket; `rfuse stats` will not reach this mount")).ok()
}

/// Answers until the process ends.
pub(crate) async fn listen(listener: UnixListener, parts: Parts, end: Arc<Notify>) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (parts, end) = (parts.clone(), Arc::clone(&end));
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &parts, &end).await {
                tracing::debug!(%error, "a control client got no answer");
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
    let mut reader = BufReader::new(read.take(LINE_MAX as u64));
    timeout(QUESTION_TIME, reader.read_line(&mut line)).await??;
    if let Some(target) = line.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()) {
        let mut header = String::new();
        while timeout(QUESTION_TIME, reader.read_line(&mut header)).await?? > 2 {
            header.clear();
        }
        let page = timeout(QUESTION_TIME, page(target, parts, end)).await?;
        return timeout(QUESTION_TIME, write.write_all(page.as_bytes())).await?;
    }
    let reply = match serde_json::from_str(&line) {
        Ok(request) => {
            let is_long = matches!(request, Request::Warm(_));
            let answered = timeout(if is_long { WARM_TIME } else { QUESTION_TIME }, answer(request, parts, end));
            tokio::select! {
                reply = answered => reply?,
                // Whoever asked has gone: then nothing more is brought for him.
                _ = reader.read_u8(), if is_long => return Ok(()),
            }
        }
        Err(_) => Reply::Failed { why: "this version of rfuse does not know that request".to_owned() },
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    timeout(QUESTION_TIME, write.write_all(&line)).await?
}

/// The same for whoever speaks HTTP, such as a scraper or `curl --unix-socket`: one answer, then the end.
async fn page(target: &str, parts: &Parts, end: &Notify) -> String {
    let request = match target {
        "/metrics" => Request::Metrics,
        "/stats" => Request::Stats,
        "/health" => Request::Health,
        _ => return http("404 Not Found", "text/plain", "there is /metrics, /stats and /health\n"),
    };
    match answer(request, parts, end).await {
        Reply::Metrics(text) => http("200 OK", "text/plain; version=0.0.4", &text),
        Reply::Stats(statistics) => json("200 OK", &statistics),
        Reply::Health(health) => json(if health.store { "200 OK" } else { "503 Service Unavailable" }, &health),
        _ => http("500 Internal Server Error", "text/plain", "answered something else\n"),
    }
}

fn json(status: &str, value: &impl serde::Serialize) -> String {
    http(status, "application/json", &serde_json::to_string(value).unwrap_or_default())
}

fn http(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
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
        Request::Warm(range) => keeping::warm(parts, &range).await,
        Request::Pin { files } => keeping::pin(parts, &files).await,
        Request::Unpin { paths } => keeping::unpin(parts, &paths).await,
        Request::Invalidate { paths } => keeping::invalidate(parts, paths).await,
        Request::Files { most } => {
            let files = Arc::clone(&parts.files);
            let costly = move || Ok(files.costly_files(most.min(FILES_MAX)));
            match blocking(costly).await {
                Ok(files) => Reply::Files(files.into_iter().map(numbers::file).collect()),
                Err(why) => Reply::Failed { why },
            }
        }
        Request::Unmount => {
            end.notify_one();
            Reply::Done
        }
    }
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
