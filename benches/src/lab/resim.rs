//! The sample jobs as programs: what they are told, and what they say.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::{Lab, Process};

/// This processor, as the jobs call it.
pub const CPU: &str = "cpu";

/// What a job said of its run, as far as it is looked at here.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Told {
    /// Whether all of the input was worked through without a problem.
    pub complete: bool,
    /// From its first look at the input to its last answer.
    pub seconds: f64,
    /// Bytes it read.
    pub bytes: u64,
    /// Frames or records a second.
    pub per_second: f64,
    /// Share of the time in which perception or training had no data.
    pub data_wait_share: f64,
    /// What it computed on.
    pub device: String,
    /// What follows from all that was computed.
    pub answer: Option<String>,
    checksums: Option<Checksums>,
    recall: Option<Recall>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
struct Checksums {
    checked: u64,
    wrong: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
struct Recall {
    scan: Tally,
    image: Tally,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
struct Tally {
    wanted: u64,
    found: u64,
    false_objects: u64,
}

impl Told {
    /// Whether everything was read, something was checked, and all of that was right.
    pub fn is_right(&self) -> bool {
        self.complete && self.checksums.as_ref().is_some_and(|sums| sums.checked > 0 && sums.wrong == 0)
    }

    /// Objects that were to be found, those found, and those found where nothing is.
    pub fn objects(&self) -> Option<(u64, u64, u64)> {
        let Recall { scan, image } = self.recall.as_ref()?;
        let sum = |of: fn(&Tally) -> u64| of(scan) + of(image);
        Some((sum(|tally| tally.wanted), sum(|tally| tally.found), sum(|tally| tally.false_objects)))
    }
}

impl Lab {
    /// Starts a job; `log` is where in the scratch folder it writes.
    ///
    /// # Errors
    /// `rfuse-resim` does not lie beside this program, or cannot be started.
    pub fn start_resim<S: AsRef<OsStr>>(&self, log: &str, words: &[S]) -> anyhow::Result<Process> {
        let program = self.resim();
        ensure!(program.exists(), "there is no {}: build it with cargo build -p rfuse-resim", program.display());
        Ok(Process::start(Command::new(program).args(words), &self.scratch(log))?)
    }

    fn resim(&self) -> PathBuf {
        self.bench.with_file_name("rfuse-resim")
    }
}

/// Waits for a job that prints its verdict as JSON.
///
/// # Errors
/// It fails, misses what is required, or takes longer than `limit`.
pub fn finish_resim(process: &mut Process, limit: Duration) -> anyhow::Result<Told> {
    let said = process.finish(limit)?;
    let verdict = said.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    verdict.with_context(|| format!("a job printed no verdict: {said}"))
}
