//! pjdfstest, in its Rust edition: each system call with what POSIX says of it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

use super::case::{Case, Outcome};
use super::place::Kind;
use super::stage::{Stage, tail};
use crate::shell::{command, run_captured};
use crate::tools;

/// It takes seconds on a local folder; a store that hangs must not hold a run up.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// What the mount has of what the suite asks for only when told, and two users every Debian has.
const SETTINGS: &str = r#"
[features]
posix_fallocate = {}
utime_now = {}
utimensat = {}
[settings]
naptime = NAP
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"#;

pub(super) fn run(stage: &mut Stage<'_>) -> Result<Vec<Case>> {
    let program = tools::pjdfstest()?;
    let settings: PathBuf = stage.local().join("settings.toml");
    // Longer than the grain of the store's times: those of S3 are whole seconds.
    let nap = if stage.kind() == Kind::S3 { "1.1" } else { "0.01" };
    std::fs::write(&settings, SETTINGS.replace("NAP", nap))?;
    let mut suite = command(program, &["-c"]);
    suite.arg(settings).arg("-p").arg(stage.mounted()).env("NO_COLOR", "1").env("RUST_BACKTRACE", "0");
    // It fails when any case does; which ones is judged here.
    let (_, said) = run_captured(&mut suite, LIMIT)?;
    if !said.lines().any(|line| line.starts_with("Summary")) {
        bail!("pjdfstest did not come to its end: {}", tail(&said, 3));
    }
    Ok(read(&said))
}

/// Its lines are a name, spaces and a word; what went wrong is the next line.
fn read(said: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut lines = said.lines().peekable();
    while let Some(line) = lines.next() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(word), None) = (words.next(), words.next(), words.next()) else { continue };
        let outcome = match word {
            "ok" => Outcome::Passed,
            "skipped" => Outcome::Skipped,
            "FAILED" => Outcome::Failed(lines.peek().unwrap_or(&"").trim().to_owned()),
            _ => continue,
        };
        cases.push(Case::new(name, outcome));
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_lines_are_cases() {
        let said = "unlink::a      ok\nunlink::b    FAILED\n\tgot EPERM\nchflags::c   skipped\n\trequires x\n\nSummary: 1 failed";
        let expected = [
            Case::new("unlink::a", Outcome::Passed),
            Case::new("unlink::b", Outcome::Failed("got EPERM".into())),
            Case::new("chflags::c", Outcome::Skipped),
        ];
        assert_eq!(read(said), expected);
    }
}
