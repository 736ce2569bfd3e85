//! Serves a mount that another process made: the mount service of a Kubernetes node.
//!
//! Standard input is a socket. Through it come the FUSE descriptors, the settings and the secrets, and later new
//! secrets and questions. This process opens no device, mounts nothing and needs no privilege; when whoever
//! started it goes, it goes on serving.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rfuse_config::control::Reply;
use rfuse_config::{LogOptions, Secret, Setting, Source};
use rfuse_fuse::kernel::Device;
use rfuse_fuse::session::Agreement;
use rfuse_host::Sealed;
use rfuse_host::handover::{self, Answer, Order, Refusal, Serve};
use rustix::fs::MemfdFlags;
use tokio::sync::Notify;

use crate::assemble::{self, Handed, Parts};
use crate::outcome::{Exit, Failure};
use crate::settings::{Said, gather};
use crate::{admin, planning, process, serve, telemetry, unfinished};

/// Secrets that are kept as files, because a file can change: their name, and the setting that names the file.
const FILES: [(&str, &str); 2] = [("sas", "sas-file"), ("aws-credentials", "aws-credentials-file")];

/// Takes the mount over from standard input and serves it until it is unmounted everywhere.
///
/// # Errors
/// Why it cannot be served; told to the other side too.
pub(crate) fn serve() -> Result<(), Failure> {
    let nobody = |why: &dyn std::fmt::Display| {
        let why = format!("standard input hands nothing over: {why}");
        Failure::new(Exit::Usage, "take a mount over", why, "this command is for the mount service of rfuse-csi")
    };
    let stream = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)
        .map(UnixStream::from)
        .map_err(|error| nobody(&error))?;
    let (order, descriptors) = handover::receive(&stream).map_err(|error| nobody(&error))?;
    let Order::Serve(serve) = order else { return Err(nobody(&"the first order is not to serve")) };
    let what = format!("mount {} on {}", serve.url, serve.dir);
    begin(&stream, &serve, descriptors).map_err(|failure| {
        let failure = failure.of(what);
        let _ = handover::send(&stream, &Answer::Failed(refusal(&failure)), &[]);
        failure
    })
}

fn begin(stream: &UnixStream, serve: &Serve, descriptors: Vec<OwnedFd>) -> Result<(), Failure> {
    let mut files = SecretFiles::default();
    let said = said(serve, &mut files)?;
    let mut config = gather(&said)?.resolve()?;
    config.log.file = None;
    telemetry::start(&config.log).map_err(|error| log_failure(&config.log, &error))?;
    process::raise_file_limit();
    let mut devices = descriptors.into_iter().map(Device::adopt);
    let Some(mounted) = devices.next() else {
        return Err(Failure::new(Exit::Usage, "mount", "no descriptor was handed over", "report this as a bug"));
    };
    let runtime = assemble::runtime()?;
    let resumed =
        serve.resume.map(|said| Agreement { minor: said.minor, flags: said.flags, read_ahead: said.read_ahead });
    let handed = Handed { mounted, others: devices.collect(), resumed, dir: serve.dir.clone().into() };
    let assembled = assemble::adopt(config, handed, &runtime)?;
    let agreed = assembled.session.agreement();
    let agreed = handover::Agreement { minor: agreed.minor, flags: agreed.flags, read_ahead: agreed.read_ahead };
    tracing::info!(url = serve.url, dir = serve.dir, resumed = resumed.is_some(), "serving");
    if let Some(plan) = &serve.plan {
        let (plan, parts) = (plan.clone(), assembled.parts.clone());
        // A plan is for speed: nobody waits for it, and without it the volume is read all the same.
        runtime.spawn(async move {
            if let Err(error) = planning::follow_stored(&parts, &plan).await {
                tracing::error!(%error, "the plan of the volume is not followed");
            }
        });
    }
    // Whoever handed over may have gone: the mount is served all the same.
    let _ = handover::send(stream, &Answer::Serving(agreed), &[]);
    let (stream_of_orders, parts, handle) = (stream.try_clone(), assembled.parts.clone(), runtime.handle().clone());
    if let Ok(stream) = stream_of_orders {
        std::thread::spawn(move || converse(&stream, &parts, &mut files, &handle));
    }
    assembled.session.wait();
    serve::drain(&runtime, &assembled.parts);
    // Of a process that died and was followed by this one.
    let Parts { files, config, .. } = &assembled.parts;
    unfinished::store(&runtime, files, config, config.mount.drain_timeout);
    files.leave_spool();
    tracing::info!("unmounted");
    let _ = handover::send(stream, &Answer::Unmounted, &[]);
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    Ok(())
}

fn said(serve: &Serve, files: &mut SecretFiles) -> Result<Said, Failure> {
    let mut values = Vec::new();
    for (name, text) in &serve.settings {
        values.push((setting(name)?, text.clone(), Source::Attribute(name.clone())));
    }
    for (name, secret) in &serve.secrets {
        let (name, text) = match FILES.iter().find(|(secret, _)| secret == name) {
            Some((_, setting)) => (*setting, files.put(name, &secret.0).map_err(memory_failure)?),
            None => (name.as_str(), secret.0.reveal().to_owned()),
        };
        values.push((setting(name)?, text, Source::Attribute(name.to_owned())));
    }
    Ok(Said { target: Some(Secret::new(serve.url.as_str())), file: None, values })
}

fn setting(name: &str) -> Result<&'static Setting, Failure> {
    Setting::named(name).ok_or_else(|| {
        let why = format!("this version of rfuse does not know the setting {name}");
        Failure::new(Exit::Config, "mount", why, "run the same version of rfuse and rfuse-csi")
    })
}

/// Answers orders until the other side is gone; the mount outlives it.
fn converse(stream: &UnixStream, parts: &Parts, files: &mut SecretFiles, runtime: &tokio::runtime::Handle) {
    let end = Arc::new(Notify::new());
    loop {
        let order = match handover::receive::<Order>(stream) {
            Ok((order, _)) => order,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let why = "this version of rfuse does not know that order";
                let answer = Answer::Reply(Reply::Failed { why: why.to_owned() });
                if handover::send(stream, &answer, &[]).is_err() {
                    return;
                }
                continue;
            }
            Err(error) => {
                tracing::info!(%error, "whoever handed this mount over is gone; it is served all the same");
                return;
            }
        };
        let answer = match order {
            Order::Serve(_) => Answer::Failed(refusal(&Failure::new(
                Exit::Usage,
                "serve another mount",
                "this process has one",
                "report this as a bug",
            ))),
            Order::Renew(secrets) => renew(&secrets, parts, files, runtime, &end),
            Order::Ask(request) => Answer::Reply(runtime.block_on(admin::answer(request, parts, &end))),
        };
        if handover::send(stream, &answer, &[]).is_err() {
            return;
        }
    }
}

/// Puts new secrets where the credential's source is, and has it read again, tested and swapped.
fn renew(
    secrets: &BTreeMap<String, Sealed>,
    parts: &Parts,
    files: &mut SecretFiles,
    runtime: &tokio::runtime::Handle,
    end: &Notify,
) -> Answer {
    let failed = |why: String| Answer::Reply(Reply::Failed { why });
    for (name, sealed) in secrets {
        let known = FILES.iter().any(|(secret, _)| secret == name) && files.0.contains_key(name.as_str());
        if !known {
            return failed(format!("the kind of credential changed to {name}, which needs a new mount"));
        }
        if let Err(error) = files.put(name, &sealed.0) {
            return failed(error.to_string());
        }
    }
    Answer::Reply(runtime.block_on(admin::answer(rfuse_config::control::Request::ReloadCredential, parts, end)))
}

fn refusal(failure: &Failure) -> Refusal {
    let Failure { exit, what, why, help } = failure.clone();
    Refusal { exit: exit as u8, what, why, help }
}

fn log_failure(options: &LogOptions, error: &io::Error) -> Failure {
    Failure::new(Exit::Config, "log", format!("{error} (level {})", options.level), "check log-level")
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn memory_failure(error: io::Error) -> Failure {
    Failure::new(Exit::Failed, "keep the secret in memory", error.to_string(), "check this machine's memory")
}

/// Secrets in anonymous memory, each behind a descriptor that keeps its number: `/proc/self/fd/N` names it for
/// whoever reads credential files, and nobody else can open it, for this process is not dumpable.
#[derive(Debug, Default)]
struct SecretFiles(BTreeMap<String, OwnedFd>);

impl SecretFiles {
    /// Puts `secret` under `name`, in one step for readers; the path to read it by.
    fn put(&mut self, name: &str, secret: &Secret) -> io::Result<String> {
        let fresh = rustix::fs::memfd_create("rfuse-secret", MemfdFlags::CLOEXEC)?;
        let mut file = std::fs::File::from(fresh);
        file.write_all(secret.reveal().as_bytes())?;
        let fresh = OwnedFd::from(file);
        let kept = match self.0.get_mut(name) {
            Some(kept) => {
                rustix::io::dup3(&fresh, kept, rustix::io::DupFlags::CLOEXEC)?;
                kept.as_raw_fd()
            }
            None => {
                let number = fresh.as_raw_fd();
                self.0.insert(name.to_owned(), fresh);
                number
            }
        };
        Ok(format!("/proc/self/fd/{kept}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_replaced_is_read_under_the_same_path() {
        let mut files = SecretFiles::default();
        let first = files.put("sas", &Secret::new("sig=old, which is longer")).unwrap();
        assert_eq!(std::fs::read_to_string(&first).unwrap(), "sig=old, which is longer");
        assert_eq!(files.put("sas", &Secret::new("sig=new")).unwrap(), first);
        assert_eq!(std::fs::read_to_string(&first).unwrap(), "sig=new");
    }

    #[test]
    fn secrets_become_settings_that_name_memory_and_never_hold_them() {
        let serve = Serve {
            url: "az://acme/logs".into(),
            dir: "/mnt".into(),
            settings: BTreeMap::from([("block-size".into(), "8KiB".into())]),
            secrets: BTreeMap::from([("sas".into(), Sealed(Secret::new("sig=canary")))]),
            plan: None,
            resume: None,
        };
        let mut files = SecretFiles::default();
        let said = said(&serve, &mut files).unwrap();
        assert!(!format!("{said:?}").contains("canary"));
        assert!(said.values.iter().any(|(setting, path, _)| {
            setting.name == "sas-file" && std::fs::read_to_string(path).unwrap() == "sig=canary"
        }));
        let odd = Serve { settings: BTreeMap::from([("no-such".into(), "1".into())]), ..serve };
        assert!(said_fails(&odd).contains("no-such"));
    }

    fn said_fails(serve: &Serve) -> String {
        said(serve, &mut SecretFiles::default()).unwrap_err().why
    }
}
