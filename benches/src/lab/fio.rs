//! fio, with the job files of this room.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::Lab;
use super::process::Process;

/// The job file of every random-read measurement; what differs comes through the environment.
const RANDOM_READ: &str = include_str!("../../fio/random-read.fio");

/// The job file of every measurement of streaming.
const SEQUENTIAL_READ: &str = include_str!("../../fio/sequential-read.fio");

/// How reads are outstanding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outstanding {
    /// So many threads with one `pread` each.
    Threads(usize),
    /// One thread with so many asynchronous reads (libaio).
    Asynchronous(usize),
}

/// What the page cache has to do with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageCache {
    /// `O_DIRECT`: nothing.
    Around,
    /// Reads go through it, and what it holds is kept.
    Through,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct RandomRead<'a> {
    /// The file.
    pub path: &'a Path,
    /// How much at once.
    pub outstanding: Outstanding,
    /// Direct or buffered.
    pub page_cache: PageCache,
    /// For how long.
    pub time: Duration,
    /// Reads a second at most, all threads together; none: as many as it can.
    pub rate: Option<u64>,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct FioResult {
    /// Reads done.
    pub reads: u64,
    /// Reads a second.
    pub rate: f64,
    /// 99 of 100 reads took no longer, in microseconds.
    pub p99_us: f64,
}

impl RandomRead<'_> {
    /// Starts it, to be finished later: something else is measured beside it.
    ///
    /// # Errors
    /// fio cannot be started.
    pub fn start(&self, lab: &Lab) -> anyhow::Result<Process> {
        let file = lab.scratch("random-read.fio");
        std::fs::write(&file, RANDOM_READ)?;
        let (engine, depth, jobs) = match self.outstanding {
            Outstanding::Threads(threads) => ("psync", 1, threads),
            Outstanding::Asynchronous(depth) => ("libaio", depth, 1),
        };
        let mut command = Command::new("fio");
        command.args(["--output-format=json", "--readonly"]).arg(&file);
        let direct = if self.page_cache == PageCache::Around { "1" } else { "0" };
        let words = [
            ("ENGINE", engine.to_owned()),
            ("DEPTH", depth.to_string()),
            ("JOBS", jobs.to_string()),
            ("DIRECT", direct.to_owned()),
            ("RUNTIME", format!("{}ms", self.time.as_millis())),
            // Nought is fio's word for no limit; the limit is for each job.
            ("RATE", self.rate.map_or(0, |rate| rate.div_ceil(jobs as u64)).to_string()),
        ];
        command.env("FILENAME", self.path).envs(words).current_dir(lab.dir());
        Process::start(&mut command, &lab.scratch("fio.json")).context("cannot start fio; is it installed?")
    }

    /// Runs it.
    ///
    /// # Errors
    /// fio fails, takes half a minute longer than it should, or reports no reads.
    pub fn run(&self, lab: &Lab) -> anyhow::Result<FioResult> {
        self.finish(&mut self.start(lab)?)
    }

    /// Waits for one that was started.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn finish(&self, process: &mut Process) -> anyhow::Result<FioResult> {
        let text = process.finish(self.time + Duration::from_secs(30))?;
        // Notes may come before the JSON.
        let json: Value = serde_json::from_str(&text[text.find('{').context("fio said nothing")?..])?;
        let read = &json["jobs"][0]["read"];
        let number = |value: &Value| value.as_f64().unwrap_or(0.0);
        let result = FioResult {
            reads: number(&read["total_ios"]) as u64,
            rate: number(&read["iops"]),
            p99_us: number(&read["clat_ns"]["percentile"]["99.000000"]) / 1000.0,
        };
        ensure!(result.reads > 0, "fio read nothing");
        Ok(result)
    }
}

/// How a program reads in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InOrder {
    /// `read` of 1 MiB around the page cache.
    Direct,
    /// `read` of 1 MiB through it.
    Large,
    /// `read` of 4 KiB through it.
    Small,
    /// Faults in a mapping.
    Mapped,
}

/// Files that are read from beginning to end at once, a job each.
#[derive(Clone, Debug)]
pub struct SequentialRead {
    /// The files.
    pub paths: Vec<PathBuf>,
    /// How.
    pub how: InOrder,
    /// Bytes of each.
    pub size: u64,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Streamed {
    /// Bytes read.
    pub bytes: u64,
    /// Bytes a second.
    pub rate: f64,
}

impl SequentialRead {
    /// Starts it, to be finished later: something else is measured beside it.
    ///
    /// # Errors
    /// fio cannot be started.
    pub fn start(&self, lab: &Lab) -> anyhow::Result<Process> {
        let file = lab.scratch("sequential-read.fio");
        let jobs = self.paths.iter().enumerate();
        let jobs = jobs.map(|(number, path)| format!("[reader{number}]\nfilename={}\n", path.display()));
        std::fs::write(&file, format!("{SEQUENTIAL_READ}{}", jobs.collect::<String>()))?;
        let (engine, block, direct) = match self.how {
            InOrder::Direct => ("psync", "1m", "1"),
            InOrder::Large => ("psync", "1m", "0"),
            InOrder::Small => ("psync", "4k", "0"),
            InOrder::Mapped => ("mmap", "4k", "0"),
        };
        let mut command = Command::new("fio");
        command.args(["--output-format=json", "--readonly"]).arg(&file);
        command.envs([("ENGINE", engine), ("BLOCK", block), ("DIRECT", direct)]).env("SIZE", self.size.to_string());
        Process::start(command.current_dir(lab.dir()), &lab.scratch("sequential.json")).context("cannot start fio")
    }

    /// Runs it.
    ///
    /// # Errors
    /// fio fails, reads less than all, or needs more than two minutes.
    pub fn run(&self, lab: &Lab) -> anyhow::Result<Streamed> {
        self.finish(&mut self.start(lab)?)
    }

    /// Waits for one that was started.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn finish(&self, process: &mut Process) -> anyhow::Result<Streamed> {
        let text = process.finish(Duration::from_secs(120))?;
        let json: Value = serde_json::from_str(&text[text.find('{').context("fio said nothing")?..])?;
        let jobs = json["jobs"].as_array().context("fio reports no jobs")?;
        let number = |word: &str| jobs.iter().map(|job| job["read"][word].as_u64().unwrap_or(0)).collect::<Vec<_>>();
        let (bytes, milliseconds) = (number("io_bytes").iter().sum(), number("runtime").into_iter().max());
        let errors: Vec<&Value> = jobs.iter().map(|job| &job["error"]).collect();
        ensure!(
            bytes == self.size * self.paths.len() as u64,
            "fio read {bytes} bytes of {self:?}; errors by job {errors:?}"
        );
        let seconds = milliseconds.unwrap_or(0).max(1) as f64 / 1000.0;
        Ok(Streamed { bytes, rate: bytes as f64 / seconds })
    }
}
