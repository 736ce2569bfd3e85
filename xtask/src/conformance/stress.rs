//! The file stressors of stress-ng: odd calls and many at once. They look for errors and hangs, and check what
//! they wrote.

use std::time::Duration;

use anyhow::Result;

use super::case::{Case, Outcome};
use super::stage::{Stage, tail};
use crate::shell::{command, run_captured};
use crate::tools;

/// What works on the files of a folder.
const STRESSORS: [&str; 44] = [
    "access",
    "aio",
    "aiol",
    "chdir",
    "chmod",
    "chown",
    "copy-file",
    "dentry",
    "dir",
    "dirdeep",
    "dirmany",
    "dup",
    "fallocate",
    "fcntl",
    "fiemap",
    "file-ioctl",
    "filename",
    "flock",
    "fpunch",
    "fsize",
    "fstat",
    "getdent",
    "hdd",
    "inotify",
    "io",
    "iomix",
    "lease",
    "link",
    "locka",
    "lockf",
    "lockofd",
    "mknod",
    "mmap",
    "msync",
    "open",
    "readahead",
    "rename",
    "revio",
    "seek",
    "sendfile",
    "symlink",
    "sync-file",
    "utime",
    "xattr",
];

/// Those of the short selection.
const SHORT: [&str; 8] = ["dentry", "dir", "flock", "hdd", "iomix", "lockf", "rename", "utime"];

/// A stressor ends after seconds; one that does not is ended, and has failed.
const LIMIT: Duration = Duration::from_secs(150);

pub(super) fn run(stage: &mut Stage<'_>) -> Result<Vec<Case>> {
    tools::debian(&[("stress-ng", "stress-ng")])?;
    let (stressors, seconds) = if stage.quick { (&SHORT[..], "2") } else { (&STRESSORS[..], "5") };
    stressors.iter().map(|name| Ok(Case::new(*name, stress(stage, name, seconds)?))).collect()
}

fn stress(stage: &Stage<'_>, name: &str, seconds: &str) -> Result<Outcome> {
    let folder = stage.mounted().join(name);
    std::fs::create_dir(&folder)?;
    let mut suite = command("stress-ng", &["--verify", "--timeout", seconds, "--hdd-bytes", "16m", "--iomix-bytes"]);
    suite.args(["16m", "--fallocate-bytes", "16m", "--readahead-bytes", "16m", "--temp-path"]).arg(&folder);
    suite.arg(format!("--{name}")).arg("2");
    let (ended, said) = run_captured(&mut suite, LIMIT)?;
    // It says so in the words of each stressor.
    if ["skipping stressor", "will be skipped", "not implemented"].iter().any(|word| said.contains(word)) {
        return Ok(Outcome::Skipped);
    }
    let wrong: Vec<&str> = said.lines().filter(|line| line.contains("fail:") || line.contains("error:")).collect();
    Ok(match ended {
        Ok(()) if wrong.is_empty() => Outcome::Passed,
        Ok(()) => Outcome::Failed(tail(&wrong.join("\n"), 2)),
        Err(error) => Outcome::Failed(format!("{error:#}: {}", tail(&said, 3))),
    })
}
