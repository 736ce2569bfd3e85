//! fio: blocks that carry their own checksum, written by one mount and verified by the next.

use std::time::Duration;

use anyhow::Result;

use super::case::Case;
use super::stage::{Stage, succeed};
use crate::shell::command;
use crate::tools;

const LIMIT: Duration = Duration::from_secs(15 * 60);

/// How a file is written: the name of the case and fio's own words.
const JOBS: [(&str, &[&str]); 5] = [
    ("in-order", &["--rw=write", "--bs=1m"]),
    ("at-random", &["--rw=randwrite", "--bs=4k"]),
    ("sizes-mixed", &["--rw=randwrite", "--bsrange=512-128k", "--blockalign=512"]),
    ("mapped", &["--rw=randwrite", "--bs=4k", "--ioengine=mmap"]),
    ("four-writers", &["--rw=write", "--bs=256k", "--numjobs=4"]),
];

pub(super) fn run(stage: &mut Stage<'_>) -> Result<Vec<Case>> {
    tools::debian(&[("fio", "fio")])?;
    let size = if stage.quick { "--size=16m" } else { "--size=256m" };
    let written: Vec<Result<()>> =
        JOBS.iter().map(|(name, words)| fio(stage, name, words, size, Turn::Write)).collect();
    // Unmounted and mounted again: what is verified comes from the store.
    stage.remount()?;
    let cases = JOBS.iter().zip(written).map(|((name, words), written)| {
        let verified = written.and_then(|()| fio(stage, name, words, size, Turn::Verify));
        Case::of(*name, verified)
    });
    Ok(cases.collect())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Write,
    Verify,
}

fn fio(stage: &Stage<'_>, name: &str, words: &[&str], size: &str, turn: Turn) -> Result<()> {
    let mut suite = command("fio", &["--verify=crc32c", "--verify_fatal=1", "--fallocate=none", "--end_fsync=1", size]);
    suite.arg(format!("--name={name}")).args(words).arg(match turn {
        Turn::Write => "--do_verify=0",
        Turn::Verify => "--verify_only",
    });
    suite.arg("--directory").arg(stage.mounted()).current_dir(stage.local());
    succeed(&mut suite, LIMIT).map(drop)
}
