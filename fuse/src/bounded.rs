//! A command that may hang in the kernel, in a process that can be left behind.
//!
//! A thread in an uninterruptible system call keeps its whole process from ending, so what may meet one runs in
//! a second process of the same program, and only the first one is waited for by a person.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::outcome::{Exit, Failure};
use crate::process::say;

/// What the second process may take beyond the time it gives itself.
const GRACE: Duration = Duration::from_secs(3);

/// Runs this command line again with `extra` arguments in a second process, for `patience` and a little more.
///
/// # Errors
/// Its failure; that it hangs.
pub(crate) fn run_again(extra: &[&str], patience: Duration, what: &str) -> Result<(), Failure> {
    let mut child = start(extra).map_err(|error| {
        let help = "check the limits of this machine: processes (ulimit -u) and memory";
        Failure::new(Exit::Failed, what, format!("no second process can be started: {error}"), help)
    })?;
    // Through us, so that who reads our output does not wait for a process that is left behind.
    let words =
        child.stderr.take().map(|mut words| std::thread::spawn(move || io::copy(&mut words, &mut io::stderr())));
    let Some(status) = wait(&mut child, patience + GRACE) else {
        // Where it sits in the kernel this does nothing until the kernel lets go.
        let _ = child.kill();
        let why = "the kernel does not answer: this mount, or one that its folder lies in, hangs";
        let help = "--force ends the requests of a mount that hangs; where it lies in another one, begin with that";
        return Err(Failure::new(Exit::Busy, what, why, help));
    };
    let _ = words.map(std::thread::JoinHandle::join);
    let mut said = String::new();
    if let Some(mut out) = child.stdout.take() {
        let _ = out.read_to_string(&mut said);
    }
    match serde_json::from_str(&said) {
        Ok(failure) => Err(failure),
        Err(_) if status.success() => Ok(()),
        Err(_) => Err(Failure::new(Exit::Failed, what, format!("its process ended: {status}"), "try again")),
    }
}

fn start(extra: &[&str]) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).args(extra);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// In the second process: hands a failure to the first, which shows it.
pub(crate) fn report(outcome: &Result<(), Failure>) {
    if let Err(failure) = outcome {
        say(serde_json::to_string(failure).unwrap_or_default());
    }
}

fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
            _ => return None,
        }
    }
}
