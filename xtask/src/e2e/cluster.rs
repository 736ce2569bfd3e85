//! kubectl, with bounds.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Everything a scenario waits for, beyond what a busy machine needs.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// What kubectl prints for these words.
pub(super) fn kubectl(words: &[&str]) -> Result<String> {
    let mut command = Command::new("kubectl");
    command.args(["--request-timeout=30s"]).args(words);
    output(command, words)
}

/// The same with a file on standard input.
pub(super) fn kubectl_with(words: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new("kubectl");
    let mut child = command
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("kubectl")?;
    child.stdin.take().context("kubectl has no standard input")?.write_all(input.as_bytes())?;
    judge(&child.wait_with_output()?, words)
}

pub(super) fn apply(yaml: &str) -> Result<()> {
    kubectl_with(&["apply", "-f", "-"], yaml).map(drop)
}

/// Runs a command in a pod.
pub(super) fn exec(pod: &str, script: &str) -> Result<String> {
    kubectl(&["exec", pod, "--", "sh", "-c", script])
}

/// Waits until `happened` says so.
pub(super) fn wait_for(what: &str, limit: Duration, mut happened: impl FnMut() -> bool) -> Result<Duration> {
    let begun = Instant::now();
    while !happened() {
        if begun.elapsed() > limit {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(begun.elapsed())
}

pub(super) fn wait_ready(pod: &str) -> Result<()> {
    kubectl(&["wait", "--for=condition=Ready", "--timeout=90s", &format!("pod/{pod}")]).map(drop)
}

/// A shell command of the person who runs us.
pub(super) fn shell(script: &str, variables: &[(&str, &str)]) -> Result<String> {
    let mut command = Command::new("sh");
    command.args(["-c", script]).envs(variables.iter().copied());
    output(command, &[script])
}

fn output(mut command: Command, words: &[&str]) -> Result<String> {
    judge(&command.stdin(Stdio::null()).output().with_context(|| words.join(" "))?, words)
}

fn judge(output: &std::process::Output, words: &[&str]) -> Result<String> {
    if !output.status.success() {
        bail!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
