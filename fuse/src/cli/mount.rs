//! `rfuse mount URL DIR`.

use std::path::{Path, PathBuf};

use clap::Args;
use rfuse_config::{MountConfig, Secret};

use super::mount_words;
use super::setting_flags::SettingFlags;
use crate::outcome::{Exit, Failure};
use crate::run_dir::RunDir;
use crate::settings::{Gathered, Said, gather};
use crate::{daemon, process, serve, telemetry};

/// Make the objects of URL files in DIR.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(crate) struct MountCommand {
    /// az://ACCOUNT/CONTAINER[/PREFIX], https://…, s3://BUCKET[/PREFIX], file:///DIR, mem: or a named mount
    #[arg(value_name = "URL|NAME")]
    url: String,
    /// An empty directory; a named mount may bring its own
    dir: Option<PathBuf>,
    /// Serve in this process instead of a daemon, and log to standard error
    #[arg(short, long)]
    foreground: bool,
    /// Read settings from this file too
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Options as mount(8) and fstab write them, separated by commas
    #[arg(short, value_name = "WORDS")]
    options: Vec<String>,
    #[command(flatten)]
    settings: SettingFlags,
}

const LONG: &str = "Make the objects of URL files in DIR.

The mount can be written unless --read-only is given; it is nosuid and nodev. A daemon serves it; the command returns 0 once the first look at DIR \
works, and the reason otherwise. With --foreground this process serves until DIR is unmounted or it is told to end \
(SIGTERM, Ctrl-C).

A URL with a SAS in it is accepted, but everyone on this machine can read it in the process table while this command \
runs: better put the SAS into a file and name that with --sas-file.";

impl MountCommand {
    /// Mounts, in this process or a daemon; `arguments` are those this command came from.
    pub(crate) fn run(self, arguments: &[String]) -> Result<(), Failure> {
        let (config, dir) = self.resolve()?;
        if self.url.contains('?') {
            eprintln!("rfuse: warning: the SAS in the URL shows in the process table; better: --sas-file FILE");
        }
        if self.foreground {
            telemetry::start(&config.log).map_err(log_failure)?;
            process::raise_file_limit();
            return serve::serve(config, &dir, || process::tell_systemd("READY=1"));
        }
        let log = daemon_log(&config, &dir)?;
        let arguments = absolute(arguments, self.dir.as_deref(), &dir);
        daemon::start(&arguments, &log)
    }

    /// Serves in this process, which is the daemon, and reports to the parent.
    pub(crate) fn serve_as_daemon(self) -> Result<(), Failure> {
        let resolved = self.resolve().and_then(|(mut config, dir)| {
            config.log.file = Some(daemon_log(&config, &dir)?);
            telemetry::start(&config.log).map_err(log_failure)?;
            Ok((config, dir))
        });
        let (config, dir) = match resolved {
            Ok(resolved) => resolved,
            Err(failure) => {
                daemon::report(&Err(failure.clone()));
                return Err(failure);
            }
        };
        daemon::leave_terminal();
        process::raise_file_limit();
        let mut is_ready = false;
        let outcome = serve::serve(config, &dir, || {
            is_ready = true;
            daemon::report(&Ok(()));
        });
        if let Err(failure) = &outcome {
            tracing::error!(why = failure.why, "{}", failure.what);
            if !is_ready {
                daemon::report(&outcome);
            }
        }
        outcome
    }

    fn resolve(&self) -> Result<(MountConfig, PathBuf), Failure> {
        let what = || format!("mount {}", self.url.split('?').next().unwrap_or_default());
        let gathered = self.gather().map_err(|failure| failure.of(what()))?;
        let config = gathered.resolve().map_err(|error| Failure::from(error).of(what()))?;
        let dir = self.dir.clone().or(gathered.dir).ok_or_else(|| {
            let why = "no directory to mount on is given";
            Failure::new(Exit::Usage, &what(), why, "write it after the URL: rfuse mount URL DIR")
        })?;
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        Ok((config, dir))
    }

    fn gather(&self) -> Result<Gathered, Failure> {
        let mut values = self.settings.0.clone();
        for words in &self.options {
            values.extend(mount_words::parse(words)?);
        }
        let target = Some(Secret::new(self.url.as_str()));
        Ok(gather(&Said { target, file: self.config.clone(), values })?)
    }
}

/// Where the daemon for `dir` logs.
fn daemon_log(config: &MountConfig, dir: &Path) -> Result<PathBuf, Failure> {
    match &config.log.file {
        Some(file) => Ok(file.clone()),
        None => {
            let run_dir = RunDir::find();
            run_dir.make().map_err(log_failure)?;
            let real = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
            Ok(run_dir.files(&real).log)
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn log_failure(error: std::io::Error) -> Failure {
    let help = "name another file with --log-file, or another run directory with RFUSE_RUN_DIR";
    Failure::new(Exit::Config, "write the log", error.to_string(), help)
}

/// The daemon inherits this directory until it has read its settings, so only the folder needs no care; it is
/// made absolute all the same, so that the log names it.
fn absolute(arguments: &[String], given: Option<&Path>, dir: &Path) -> Vec<String> {
    let mut arguments = arguments.to_vec();
    if let Some(at) = given.and_then(|given| arguments.iter().rposition(|a| Path::new(a) == given)) {
        arguments[at] = dir.to_string_lossy().into_owned();
    }
    arguments
}
