//! Commands with a bound on their time, and steps that say what they are.

use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// The top folder of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// `program` with `arguments`, in the checkout.
pub(crate) fn command(program: impl AsRef<Path>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).current_dir(root());
    command
}

/// The cargo that runs us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()).to_string_lossy().as_ref(), arguments)
}

/// Prints the line of a step: what it is, and one fact about it.
pub(crate) fn step(name: &str, fact: impl std::fmt::Display) {
    println!("  {name:<13} {fact}");
}

/// Runs a command to its end, its output on ours, and fails when it fails or takes longer than `limit`.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = spawn(command)?;
    check(command, &wait(&mut child, command, limit)?)
}

/// Runs a command quietly; its output is shown only when it fails.
pub(crate) fn run_quietly(command: &mut Command, limit: Duration) -> Result<()> {
    let (ended, said) = run_captured(command, limit)?;
    if ended.is_err() {
        eprintln!("{said}");
    }
    ended
}

/// Runs a command; how it ended, and all it printed, whether it failed or not.
pub(crate) fn run_captured(command: &mut Command, limit: Duration) -> Result<(Result<()>, String)> {
    let mut log = tempfile::tempfile()?;
    // One description for both, so that neither writes over the other.
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    let mut child = spawn(command)?;
    let ended = wait(&mut child, command, limit).and_then(|status| check(command, &status));
    let mut said = Vec::new();
    log.rewind()?;
    log.read_to_end(&mut said)?;
    Ok((ended, String::from_utf8_lossy(&said).into_owned()))
}

/// What a command that must succeed prints.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Starts a command as the head of its own process group, so that it ends with its children.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    command.process_group(0).spawn().with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Ends a process and its children: SIGTERM, and SIGKILL after two seconds.
pub(crate) fn end(child: &mut Child) {
    let Some(group) = Pid::from_raw(child.id().cast_signed()) else { return };
    for (signal, patience) in [(Signal::TERM, Duration::from_secs(2)), (Signal::KILL, Duration::from_secs(2))] {
        // It may have ended by itself: then there is nobody to signal.
        let _ = kill_process_group(group, signal);
        if matches!(wait_until(child, patience), Ok(Some(_))) {
            return;
        }
    }
}

fn wait(child: &mut Child, command: &Command, limit: Duration) -> Result<ExitStatus> {
    if let Some(status) = wait_until(child, limit)? {
        return Ok(status);
    }
    end(child);
    bail!("{} took longer than {} s and was ended", command.get_program().display(), limit.as_secs())
}

fn wait_until(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn check(command: &Command, status: &ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("{} {} failed: {status}", command.get_program().display(), arguments_of(command));
    }
    Ok(())
}

fn arguments_of(command: &Command) -> String {
    command.get_args().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_end_is_ended() {
        let begun = Instant::now();
        let error = run(&mut command("sleep", &["600"]), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("took longer"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_failing_command_is_an_error() {
        assert!(run(&mut command("false", &[]), Duration::from_secs(10)).is_err());
    }
}
