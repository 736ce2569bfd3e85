//! Serves one mount from the first request to the last, in this process.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rfuse_config::MountConfig;
use rfuse_config::control::Registration;
use rfuse_fuse::kernel::{self, Unmount, UnmountError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::assemble::{self, Parts};
use crate::outcome::{Exit, Failure};
use crate::run_dir::{RunDir, RunFiles};
use crate::{admin, unfinished};

/// Time for readers to finish once we were asked to end; then the mount is detached under them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Mounts on `dir`, calls `ready` once the first look works, and serves until somebody unmounts.
///
/// # Errors
/// Why there is no mount; nothing stays mounted then.
pub(crate) fn serve(config: MountConfig, dir: &Path, ready: impl FnOnce()) -> Result<(), Failure> {
    let what = format!("mount {} on {}", config.store.location, dir.display());
    let log = config.log.file.as_ref().map(|path| path.display().to_string());
    look_at_spool(&config);
    let runtime = assemble::runtime().map_err(|error| Failure::from(error).of(&what))?;
    let assembled = assemble::assemble(config, dir, &runtime).map_err(|error| Failure::from(error).of(&what))?;
    let target = assembled.parts.mount.target.clone();
    let end = Arc::new(Notify::new());
    runtime.spawn(end_on_demand(assembled.parts.clone(), Arc::clone(&end)));
    if let Err(failure) = first_look(&target, assembled.parts.config.fs.deadline) {
        let _ = kernel::unmount(&target, Unmount::Force);
        return Err(failure.of(&what));
    }
    let url = assembled.parts.config.store.location.to_string();
    tracing::info!(url, dir = %target.display(), "mounted");
    let files = register(&assembled.parts, log);
    let inside = runtime.enter();
    if let Some(listener) = files.as_ref().and_then(|files| admin::open(&files.socket)) {
        runtime.spawn(admin::listen(listener, assembled.parts.clone(), end));
    }
    drop(inside);
    ready();
    assembled.session.wait();
    if let Some(files) = files {
        files.withdraw(std::process::id());
    }
    drain(&runtime, &assembled.parts);
    tracing::info!(dir = %target.display(), "unmounted");
    runtime.shutdown_timeout(Duration::from_secs(2));
    Ok(())
}

/// Says what processes before this one left unfinished.
fn look_at_spool(config: &MountConfig) {
    let left = unfinished::find(config).len();
    if left > 0 {
        tracing::warn!(left, "files were written and never stored; `rfuse recover` shows and stores them");
    }
}

/// Stores what closed files have left in the background, and says what could not be.
pub(crate) fn drain(runtime: &tokio::runtime::Runtime, parts: &Parts) {
    let (files, time) = (Arc::clone(&parts.files), parts.config.mount.drain_timeout);
    match runtime.block_on(async { tokio::time::timeout(time, files.drain()).await }) {
        Ok(0) => {}
        Ok(left) => tracing::error!(left, "files could not be stored; `rfuse recover` shows and stores them"),
        Err(_) => {
            let left = parts.files.snapshot().edits;
            tracing::error!(left, ?time, "files are not stored in time; `rfuse recover` shows and stores them");
        }
    }
}

/// The `stat` that a program would do first, with a bound.
fn first_look(target: &Path, bound: Duration) -> Result<(), Failure> {
    let (send, receive) = std::sync::mpsc::channel();
    let path = target.to_owned();
    std::thread::spawn(move || send.send(std::fs::metadata(path).map(drop)));
    let help = "run it again in the foreground: rfuse mount --foreground --log-level debug";
    match receive.recv_timeout(bound) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            Err(Failure::new(Exit::Failed, "mount", format!("the first look at it failed: {error}"), help))
        }
        Err(_) => Err(Failure::new(Exit::Network, "mount", "the first look at it was not answered in time", help)),
    }
}

/// Leaves word of the mount. Without a run directory the mount serves all the same, but nobody can ask it.
fn register(parts: &Parts, log: Option<String>) -> Option<RunFiles> {
    let run_dir = RunDir::find();
    let files = run_dir.files(&parts.mount.target);
    let registration = Registration {
        dir: parts.mount.target.display().to_string(),
        url: parts.config.store.location.to_string(),
        pid: std::process::id(),
        since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()),
        log,
    };
    match run_dir.make().and_then(|()| files.register(&registration)) {
        Ok(()) => Some(files),
        Err(error) => {
            tracing::warn!(%error, "no run directory; `rfuse list` and `rfuse stats` will not find this mount");
            None
        }
    }
}

/// Unmounts on SIGTERM, SIGINT, SIGHUP or word from the control socket.
async fn end_on_demand(parts: Parts, end: Arc<Notify>) {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = kinds.map(signal) else {
        tracing::error!("cannot listen to signals");
        return;
    };
    let why = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        _ = hangup.recv() => "SIGHUP",
        () = end.notified() => "rfuse unmount",
    };
    tracing::info!(why, "unmounting");
    let target = parts.mount.target.clone();
    let begun = std::time::Instant::now();
    loop {
        match leave(&target, Unmount::Plain).await {
            Err(UnmountError::Busy) if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(UnmountError::Busy) => break,
            Err(error) => {
                tracing::warn!(%error, "cannot unmount");
                break;
            }
            Ok(()) => return,
        }
    }
    tracing::warn!("still in use; detached, and its readers get errors from now on");
    if let Err(error) = leave(&target, Unmount::Force).await {
        tracing::warn!(%error, "cannot detach");
    }
}

async fn leave(target: &Path, how: Unmount) -> Result<(), UnmountError> {
    let target = target.to_owned();
    let left = tokio::task::spawn_blocking(move || kernel::unmount(&target, how)).await;
    left.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
}
