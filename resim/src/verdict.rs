//! What a run came to: one structure for the terminal, for JSON and for the report.
//!
//! A figure that was not measured is absent, never zero.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::meter::{Bins, Reads};
use crate::outcome::{Exit, Failure};
use crate::requirement::Checked;
use crate::score::Tally;
use crate::usage::Usage;

/// Problems that are told one by one; of more, only the number.
const PROBLEMS_TOLD: usize = 20;

/// How a run ended: its figures, and what stopped it if something did.
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) failure: Option<Failure>,
}

/// What every job measures.
pub(crate) struct Run<'a> {
    pub(crate) job: &'static str,
    pub(crate) device: &'a Device,
    pub(crate) input: &'a Path,
    pub(crate) page_cache_dropped: bool,
    pub(crate) seconds: f64,
    pub(crate) unit: &'static str,
    pub(crate) count: u64,
    pub(crate) files: Vec<String>,
    pub(crate) reads: Reads,
    pub(crate) usage: Usage,
    pub(crate) phases: Vec<(String, f64)>,
}

/// The outcome of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// The layout of this structure.
    pub(crate) format: u32,
    /// `replay`, `train` or `load`.
    pub(crate) job: String,
    /// Whether it was complete and met every requirement.
    pub(crate) passed: bool,
    /// Whether all of the input was worked through without a problem.
    pub(crate) complete: bool,
    /// What went wrong on the way.
    pub(crate) problems: Vec<String>,
    pub(crate) requirements: Vec<Checked>,
    /// `cpu`, or the number and name of the GPU.
    pub(crate) device: String,
    /// Whether `device` is a GPU.
    pub(crate) gpu: bool,
    pub(crate) input: String,
    /// `as found`, or `dropped` when the run emptied it of its input first.
    pub(crate) page_cache: String,
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    /// Billions of bytes a second, as read from the files.
    pub(crate) gigabytes_per_second: f64,
    /// What was worked on: frames or records.
    pub(crate) unit: String,
    pub(crate) count: u64,
    pub(crate) per_second: f64,
    pub(crate) files: Vec<String>,
    pub(crate) reads: Reads,
    /// Share of the time in which the device had nothing to do because no data was there.
    pub(crate) data_wait_share: f64,
    /// Share of the time in which the device copied or computed.
    pub(crate) device_busy_share: f64,
    /// Share of the copying that happened while another stream computed; absent on a processor, which cannot.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) copy_overlap_share: Option<f64>,
    /// Microseconds waited for data in each bin.
    pub(crate) wait_timeline: Bins,
    /// Microseconds the device worked in each bin.
    pub(crate) busy_timeline: Bins,
    /// When each part of the run began, in seconds.
    pub(crate) phases: Vec<(String, f64)>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) steps_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) checksums: Option<Checksums>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) recall: Option<Recall>,
    /// Frames that were not there when they were due; with `--speed realtime` alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) late_frames: Option<u64>,
    /// A number that follows from all answers of the device: equal inputs give equal ones, on any device.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) answer: Option<String>,
    /// Bytes written to the output.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) written_bytes: Option<u64>,
}

/// Pieces that were checked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Checksums {
    pub(crate) checked: u64,
    pub(crate) wrong: u64,
    /// What they were checked against.
    pub(crate) against: String,
}

/// How much of the truth was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Recall {
    pub(crate) scan: Tally,
    pub(crate) image: Tally,
}

impl Recall {
    /// Found of wanted, both sensors together; absent when nothing was wanted.
    pub(crate) fn share(&self) -> Option<f64> {
        let wanted = self.scan.wanted + self.image.wanted;
        (wanted > 0).then(|| (self.scan.found + self.image.found) as f64 / wanted as f64)
    }

    /// Objects that were not there.
    pub(crate) fn false_objects(&self) -> u64 {
        self.scan.false_objects + self.image.false_objects
    }
}

impl Verdict {
    /// The verdict of a run so far; what only some jobs measure is absent.
    pub(crate) fn of(run: Run<'_>, mut problems: Vec<String>, failure: Option<&Failure>) -> Self {
        if let Some(failure) = failure {
            problems.push(format!("cannot {}: {}", failure.what, failure.why));
        }
        if problems.len() > PROBLEMS_TOLD {
            let more = problems.len() - PROBLEMS_TOLD;
            problems.truncate(PROBLEMS_TOLD);
            problems.push(format!("and {more} more"));
        }
        let Run { reads, usage, seconds, .. } = run;
        Self {
            format: 1,
            job: run.job.to_owned(),
            passed: false,
            complete: problems.is_empty(),
            problems,
            requirements: Vec::new(),
            device: run.device.name(),
            gpu: run.device.is_gpu(),
            input: run.input.display().to_string(),
            page_cache: if run.page_cache_dropped { "dropped" } else { "as found" }.to_owned(),
            seconds,
            bytes: reads.bytes,
            gigabytes_per_second: reads.bytes as f64 / 1e9 / seconds,
            unit: run.unit.to_owned(),
            count: run.count,
            per_second: run.count as f64 / seconds,
            files: run.files,
            reads,
            data_wait_share: usage.wait_seconds() / seconds,
            device_busy_share: usage.busy_seconds() / seconds,
            copy_overlap_share: if run.device.is_gpu() { usage.overlap() } else { None },
            wait_timeline: usage.wait_timeline,
            busy_timeline: usage.busy_timeline,
            phases: run.phases,
            steps_per_second: None,
            checksums: None,
            recall: None,
            late_frames: None,
            answer: None,
            written_bytes: None,
        }
    }

    /// The failure of a run that had problems on the way.
    pub(crate) fn incomplete(&self) -> Option<Failure> {
        let first = self.problems.first()?;
        let what = format!("{} all of {}", self.job, self.input);
        let why = match self.problems.len() {
            1 => first.clone(),
            count => format!("{first} (and {} more problems, see the verdict)", count - 1),
        };
        let help = "compare the input with its source (manifest.json and sha256sum have the checksums) and copy it \
                    again; what could be read was worked through";
        Some(Failure::new(Exit::Failed, what, why, help))
    }

    /// Whether every checksum was right; absent when none was checked.
    pub(crate) fn checksums_right(&self) -> Option<bool> {
        self.checksums.as_ref().filter(|sums| sums.checked > 0).map(|sums| sums.wrong == 0)
    }

    /// Whether this run ends well, now that it is known what is required.
    pub(crate) fn judge(&mut self, requirements: Vec<Checked>) {
        self.passed = self.complete && requirements.iter().all(|requirement| requirement.met);
        self.requirements = requirements;
    }
}
