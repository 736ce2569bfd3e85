//! Replays drive logs: reads them through their index ahead of perception, compares what is seen with the truth.
//!
//! Three stages with bounded queues between them: readers fetch chunks by position, decoders take them apart, this
//! thread feeds the device with two frames under way at a time. What the device waits for data is what is measured.
//! A log that cannot be read is named and left out; the others go on, and the run says that it is not complete.

mod crew;
mod pace;
mod results;
mod stage;

use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::device::{Choice, Device};
use crate::files;
use crate::log::{Chunk, LogFile, Window};
use crate::manifest::Manifest;
use crate::meter::Meter;
use crate::outcome::{Exit, Failure};
use crate::perception::Perception;
use crate::plan;
use crate::progress::Progress;
use crate::verdict::{Checksums, Outcome, Recall, Run, Verdict};
use crew::{Crew, Piece, Task};
use pace::Pace;
use results::Results;
use stage::Stage;

/// Frames that are under way on the device at a time: one computes while the next is copied.
const LANES: usize = 2;

/// The bar, in the words of indicatif.
const BAR: &str = "  replay {bar:24} {percent:>3} %  {decimal_bytes} of {decimal_total_bytes}  \
                   {decimal_bytes_per_sec}  {msg}  {eta} left";

/// How fast a log is played.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Speed {
    /// As fast as reading and computing go.
    Max,
    /// As fast as it was recorded.
    Realtime,
}

/// What to replay, and how.
pub(crate) struct Replay {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) window: Window,
    pub(crate) speed: Speed,
    pub(crate) device: Choice,
    pub(crate) readers: usize,
    pub(crate) decoders: usize,
    /// Chunks in memory at most.
    pub(crate) ahead: usize,
    /// Whether the page cache forgets the input first.
    pub(crate) drop_cache: bool,
    /// This share of the logs alone: the number of this job, and of all jobs.
    pub(crate) part: Option<(usize, usize)>,
}

/// A log of the run.
pub(crate) struct Log {
    pub(crate) name: String,
    pub(crate) file: LogFile,
    pub(crate) expected: Vec<(u64, u64, u32)>,
}

impl Log {
    /// The checksum that the manifest has for a chunk.
    fn checksum(&self, chunk: &Chunk) -> Option<u32> {
        let index = self.expected.binary_search_by_key(&chunk.offset, |piece| piece.0).ok()?;
        (self.expected[index].1 == chunk.length).then_some(self.expected[index].2)
    }
}

impl Replay {
    /// Runs it.
    ///
    /// # Errors
    /// It could not begin: no input, no output, no device.
    pub(crate) fn run(&self) -> Result<Outcome, Failure> {
        let device = Device::open(self.device)?;
        let lanes: Result<Vec<_>, Failure> = (0..LANES).map(|_| Ok(Perception::new(device.lane()?)?)).collect();
        let mut stage = Stage::new(lanes?);
        let names = self.names()?;
        let base = self.base();
        let manifest = Manifest::read(base)?;
        let mut results = Results::create(&self.output)?;
        let meter = Meter::start();
        let mut problems = Vec::new();
        let logs = self.open(&names, base, manifest.as_ref(), &meter, &mut problems)?;
        let opened = meter.elapsed().as_secs_f64();
        let tasks: Vec<Task> = logs
            .iter()
            .enumerate()
            .flat_map(|(log, of)| of.file.select(&self.window).into_iter().map(move |chunk| Task { log, chunk }))
            .collect();
        let mut sums = Sums::default();
        let failure = self.play(&logs, &tasks, &meter, &mut stage, &mut results, &mut sums, &mut problems).err();
        let seconds = meter.elapsed().as_secs_f64();
        let failure = match failure {
            Some(failure) => Some(failure),
            None => results.finish().err(),
        };
        let unscored = stage.overflow;
        if unscored > 0 {
            problems.push(format!("{unscored} clusters of crowded frames did not fit into their list"));
        }
        let verdict = self.verdict(&device, &logs, &meter, stage, &sums, problems, failure.as_ref(), (opened, seconds));
        Ok(Outcome { failure: failure.or_else(|| verdict.incomplete()), verdict })
    }

    /// Writes what a run reads, in its order: it opens all logs first.
    ///
    /// # Errors
    /// A log cannot be opened, or the plan cannot be written.
    pub(crate) fn write_plan(&self, path: &Path) -> Result<u64, Failure> {
        let (mut opening, mut chunks) = (Vec::new(), Vec::new());
        for log in self.names()? {
            let name = log.strip_prefix(self.base()).unwrap_or(&log).to_string_lossy().into_owned();
            let file = LogFile::open(&log)?;
            opening.extend(file.opening().iter().map(|(offset, length)| (name.clone(), *offset, *length)));
            chunks.extend(file.select(&self.window).into_iter().map(|c| (name.clone(), c.offset, c.length)));
        }
        let steps = opening.iter().chain(&chunks);
        let steps = steps.map(|(path, offset, length)| plan::Step { path, offset: *offset, length: *length });
        plan::write(path, "replay: the index of every log, then chunks in the order of their messages", steps)
    }

    /// The folder that names are told from.
    fn base(&self) -> &Path {
        if self.input.is_file() { self.input.parent().unwrap_or(&self.input) } else { &self.input }
    }

    /// The logs of the input: a file, or the `.mcap` files of a folder in the order of their names.
    fn names(&self) -> Result<Vec<PathBuf>, Failure> {
        let found = std::fs::metadata(&self.input).map_err(|error| Failure::file("replay", &self.input, &error))?;
        if found.is_file() {
            return Ok(vec![self.input.clone()]);
        }
        let mut names = files::below(&self.input, &["mcap"])?;
        if let Some((part, parts)) = self.part {
            let mut index = 0;
            names.retain(|_| {
                index += 1;
                (index - 1) % parts == part
            });
        }
        if names.is_empty() {
            let why = match self.part {
                Some((part, parts)) => format!("no .mcap file in it is part {part} of {parts}"),
                None => "there is no .mcap file in it".to_owned(),
            };
            let help = "`rfuse-resim generate` makes some; `--part` needs at least as many logs as parts";
            return Err(Failure::new(Exit::NotFound, format!("replay {}", self.input.display()), why, help));
        }
        Ok(names)
    }

    fn open(
        &self,
        names: &[PathBuf],
        base: &Path,
        manifest: Option<&Manifest>,
        meter: &Meter,
        problems: &mut Vec<String>,
    ) -> Result<Vec<Log>, Failure> {
        let mut logs = Vec::new();
        let mut first = None;
        for path in names {
            if self.drop_cache {
                files::forget(path)?;
            }
            let name = path.strip_prefix(base).unwrap_or(path).to_string_lossy().into_owned();
            let begun = Instant::now();
            match LogFile::open(path) {
                Ok(file) => {
                    // Head, foot and index count as one read, at the place of the index.
                    let offset = file.opening().last().map_or(0, |(offset, _)| *offset);
                    let bytes = file.opening().iter().map(|(_, length)| length).sum();
                    meter.add(begun, begun.elapsed(), logs.len(), offset, bytes);
                    let expected = manifest.and_then(|manifest| manifest.files.get(&name));
                    let expected = expected.map(|entry| entry.pieces.clone()).unwrap_or_default();
                    logs.push(Log { name, file, expected });
                }
                Err(failure) => {
                    problems.push(format!("{}: {}", failure.what, failure.why));
                    first.get_or_insert(failure);
                }
            }
        }
        match first {
            Some(failure) if logs.is_empty() => Err(failure),
            _ => Ok(logs),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one run, each borrowed apart")]
    fn play(
        &self,
        logs: &[Log],
        tasks: &[Task],
        meter: &Meter,
        stage: &mut Stage,
        results: &mut Results,
        sums: &mut Sums,
        problems: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let bar = Progress::new("replay", BAR, tasks.iter().map(|task| task.chunk.length).sum());
        let crew = Crew { logs, tasks, meter, window: &self.window, readers: self.readers, decoders: self.decoders };
        let played = crew.run(self.ahead, |feed| {
            let mut pace = Pace::new(self.speed == Speed::Realtime);
            while let Some(piece) = stage.next(feed, meter, results, logs)? {
                let Piece { log, length, checked, records } = piece;
                bar.tell(format!("log {} of {}, {}", log + 1, logs.len(), stage.busy_words(meter.elapsed())));
                bar.inc(length);
                sums.checked += u64::from(checked);
                match records {
                    Ok(records) => {
                        for record in records {
                            if let Some(wait) = pace.wait(log, record.time, Instant::now()) {
                                std::thread::sleep(wait);
                            }
                            stage.take(log, &record, logs, meter, results)?;
                        }
                    }
                    Err(error) => {
                        sums.wrong += u64::from(error.checksum);
                        problems.push(format!("{}: {}", logs[log].name, error.why));
                    }
                }
            }
            stage.drain(meter, results, logs)?;
            sums.late = (self.speed == Speed::Realtime).then_some(pace.late);
            Ok(())
        });
        bar.finish();
        played
    }

    #[expect(clippy::too_many_arguments, reason = "a verdict is made of everything")]
    fn verdict(
        &self,
        device: &Device,
        logs: &[Log],
        meter: &Meter,
        stage: Stage,
        sums: &Sums,
        problems: Vec<String>,
        failure: Option<&Failure>,
        (opened, seconds): (f64, f64),
    ) -> Verdict {
        let from_manifest = logs.iter().any(|log| !log.expected.is_empty());
        let recall = Recall { scan: stage.scorer.scan, image: stage.scorer.image };
        let run = Run {
            job: "replay",
            device,
            input: &self.input,
            page_cache_dropped: self.drop_cache,
            seconds,
            unit: "frames",
            count: stage.frames,
            files: logs.iter().map(|log| log.name.clone()).collect(),
            reads: meter.reads(),
            usage: stage.usage,
            phases: vec![("open".to_owned(), 0.0), ("replay".to_owned(), opened)],
        };
        Verdict {
            checksums: Some(Checksums {
                checked: sums.checked,
                wrong: sums.wrong,
                against: if from_manifest { "manifest" } else { "logs' own" }.to_owned(),
            }),
            recall: (recall.scan.frames + recall.image.frames > 0).then_some(recall),
            late_frames: sums.late,
            answer: Some(short_hash(stage.digest)),
            ..Verdict::of(run, problems, failure)
        }
    }
}

/// Counts of the pieces.
#[derive(Debug, Default)]
struct Sums {
    checked: u64,
    wrong: u64,
    late: Option<u64>,
}

/// Half of a hash in hexadecimal digits.
pub(crate) fn short_hash(hash: Sha256) -> String {
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
