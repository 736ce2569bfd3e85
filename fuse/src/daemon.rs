//! A mount that outlives its terminal, without forking a process that has threads.
//!
//! The parent starts itself again as `rfuse daemon`, hands it the command line through a pipe (an argument
//! vector is visible to everyone, and a URL may hold a SAS), and waits on another pipe for one line: ready, or
//! the failure to show. Only when it says ready does the parent return 0.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::outcome::{Exit, Failure};

/// What the child says once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Ready,
    Failed(Failure),
}

/// The longest command line the child accepts.
const ARGUMENTS_MAX: u64 = 1 << 20;

/// Starts the daemon for this command line and waits until it serves or fails; `log` takes what it prints.
///
/// # Errors
/// The child's failure, or why there is no child.
pub(crate) fn start(arguments: &[String], log: &Path) -> Result<(), Failure> {
    let broken = |why: String| {
        let help = format!("its log may say more: {}; or run it with --foreground", log.display());
        Failure::new(Exit::Failed, "start the daemon", why, help)
    };
    let program = std::env::current_exe().map_err(|error| broken(error.to_string()))?;
    let log = open_log(log).map_err(|error| broken(format!("cannot open its log: {error}")))?;
    let child = Command::new(program).arg("daemon").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn();
    let mut child = child.map_err(|error| broken(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        serde_json::to_writer(&mut stdin, arguments).map_err(|error| broken(error.to_string()))?;
    }
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        let _ = BufReader::new(stdout.take(ARGUMENTS_MAX)).read_line(&mut line);
    }
    match serde_json::from_str(&line) {
        Ok(Word::Ready) => Ok(()),
        Ok(Word::Failed(failure)) => {
            let _ = child.wait();
            Err(failure)
        }
        Err(_) => {
            let ended = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(broken(format!("it ended before it was ready ({ended})")))
        }
    }
}

fn open_log(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// In the child: the command line, from standard input.
///
/// # Errors
/// When it is not there: nobody but the parent starts `rfuse daemon`.
pub(crate) fn arguments() -> Result<Vec<String>, Failure> {
    serde_json::from_reader(std::io::stdin().take(ARGUMENTS_MAX)).map_err(|_| {
        Failure::new(Exit::Usage, "start", "only `rfuse mount` starts a daemon", "use rfuse mount URL DIR")
    })
}

/// In the child: leaves the terminal, so that its end and its Ctrl-C do not end the mount.
pub(crate) fn leave_terminal() {
    // Fails only for a group leader, which a fresh child is not.
    let _ = rustix::process::setsid();
    // Else the directory we were started in could not be unmounted.
    let _ = std::env::set_current_dir("/");
}

/// In the child: says how it went, then lets go of the pipe.
pub(crate) fn report(outcome: &Result<(), Failure>) {
    let word = match outcome {
        Ok(()) => Word::Ready,
        Err(failure) => Word::Failed(failure.clone()),
    };
    let mut out = std::io::stdout().lock();
    if let Ok(line) = serde_json::to_string(&word) {
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    }
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stdin(&null);
    }
}
