//! `rfuse warm`: have it here before the job starts.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rfuse_config::control::{FileRange, Reply, Request, WarmNumbers};
use serde::Serialize;

use super::pin::pin_all;
use crate::ask::{ask, registered_name};
use crate::outcome::{Exit, Failure, one_line};
use crate::process::say;
use crate::screen::bytes;
use crate::selection::{Selection, count, total, words};

/// Bring files into the cache, behind every reader.
///
/// What is on disk already costs nothing: run it again and it goes on where it was left. Without a cache folder
/// (--cache-dir of the mount) memory keeps what it has room for.
#[derive(Debug, Args)]
pub(crate) struct WarmCommand {
    /// The mounted folder
    dir: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// Keep it in the cache folder until `rfuse unpin`
    #[arg(long)]
    pin: bool,
    /// Pieces of 4 MiB under way at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=8))]
    jobs: u8,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Bytes of one question to the mount.
const PIECE: u64 = 4 << 20;
/// Longer than the mount gives itself.
const PATIENCE: Duration = Duration::from_secs(310);
/// How often a line is printed where there is no terminal.
const TOLD: Duration = Duration::from_secs(10);
/// Failures that are kept to be told.
const TOLD_FAILURES: usize = 10;

/// What came of it; bytes where nothing else is said.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    files: usize,
    bytes: u64,
    present: u64,
    brought: u64,
    unkept: u64,
    failed_files: usize,
    /// Pinned now, of what was asked for.
    pinned: Option<u64>,
    seconds: f64,
    failures: Vec<String>,
}

/// What is done, as far as it is.
#[derive(Debug, Default)]
struct Done {
    numbers: Mutex<WarmNumbers>,
    failed: Mutex<Vec<(String, String)>>,
    bytes: AtomicU64,
}

impl WarmCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let dir = registered_name(&self.dir);
        let ranges = self.selection.ranges(&dir)?;
        let pinned = if self.pin { Some(pin_all(&dir, &ranges)?) } else { None };
        let begun = Instant::now();
        let done = warm(&dir, &ranges, self.jobs.into());
        let outcome = done.outcome(&ranges, pinned, begun.elapsed());
        if self.json {
            say(serde_json::to_string(&outcome).unwrap_or_default());
        } else {
            say(outcome.words());
        }
        outcome.judge(&self.dir)
    }
}

/// Brings `ranges` to the mount on `dir`, `jobs` pieces at once.
fn warm(dir: &Path, ranges: &[FileRange], jobs: usize) -> Done {
    let (done, next) = (Done::default(), AtomicUsize::new(0));
    let pieces: Vec<FileRange> = ranges.iter().flat_map(pieces).collect();
    let bar = bar(total(ranges));
    std::thread::scope(|scope| {
        let worker = || {
            while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.piece(piece, ask(dir, &Request::Warm(piece.clone()), PATIENCE));
                bar.set_position(done.bytes.load(Ordering::Relaxed));
            }
        };
        let workers: Vec<_> = (0..jobs.min(pieces.len())).map(|_| scope.spawn(worker)).collect();
        let mut told = Instant::now();
        while bar.is_hidden() && workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            if told.elapsed() >= TOLD {
                told = Instant::now();
                let here = done.bytes.load(Ordering::Relaxed);
                eprintln!("rfuse warm: {} of {}", bytes(here), words(ranges));
            }
        }
    });
    bar.finish_and_clear();
    done
}

/// `range` in pieces that end where pieces of the file do.
fn pieces(range: &FileRange) -> impl Iterator<Item = FileRange> {
    let (path, end) = (range.path.clone(), range.offset + range.length);
    let starts = std::iter::successors(Some(range.offset), |start| Some((start / PIECE + 1) * PIECE));
    starts.take_while(move |start| *start < end).map(move |offset| {
        let length = ((offset / PIECE + 1) * PIECE).min(end) - offset;
        FileRange { path: path.clone(), offset, length }
    })
}

/// A bar on a terminal, nothing elsewhere.
fn bar(total: u64) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left");
    let bar = ProgressBar::with_draw_target(Some(total), target);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Done {
    fn piece(&self, piece: &FileRange, answer: Result<Reply, Failure>) {
        self.bytes.fetch_add(piece.length, Ordering::Relaxed);
        match answer {
            Ok(Reply::Warmed(warmed)) => {
                let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
                numbers.present += warmed.present;
                numbers.brought += warmed.brought;
                numbers.unkept += warmed.unkept;
                numbers.limit = warmed.limit;
            }
            Ok(_) => self.failed(piece, "the mount answered something else".to_owned()),
            Err(failure) => self.failed(piece, failure.why),
        }
    }

    /// One failure a file is enough.
    fn failed(&self, piece: &FileRange, why: String) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed.iter().any(|(path, _)| *path == piece.path) {
            failed.push((piece.path.clone(), why));
        }
    }

    fn outcome(self, ranges: &[FileRange], pinned: Option<u64>, time: Duration) -> Outcome {
        let numbers = self.numbers.into_inner().unwrap_or_else(PoisonError::into_inner);
        let failed = self.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Of what was only put into memory, what is more than it keeps has left again.
        let here = numbers.present + numbers.brought;
        let gone = numbers.limit.map_or(0, |limit| here.saturating_sub(limit)).min(numbers.brought);
        Outcome {
            files: count(ranges),
            bytes: total(ranges),
            present: numbers.present,
            brought: numbers.brought - gone,
            unkept: numbers.unkept + gone,
            failed_files: failed.len(),
            pinned,
            seconds: time.as_secs_f64(),
            failures: failed.into_iter().take(TOLD_FAILURES).map(|(_, why)| why).collect(),
        }
    }
}

impl Outcome {
    fn words(&self) -> String {
        let Self { files, present, brought, seconds, .. } = self;
        let rate = *brought as f64 / seconds.max(1e-3);
        let mut line = format!(
            "{files} files, {}: {} brought in {seconds:.1} s ({}/s), {} here already",
            bytes(self.bytes),
            bytes(*brought),
            bytes(rate as u64),
            bytes(*present)
        );
        if self.unkept > 0 {
            line += &format!(", {} not kept", bytes(self.unkept));
        }
        if let Some(pinned) = self.pinned {
            line += &format!(", {} pinned", bytes(pinned));
        }
        line
    }

    fn judge(&self, dir: &Path) -> Result<(), Failure> {
        let what = format!("warm all of it on {}", dir.display());
        if let Some(first) = self.failures.first() {
            let why = format!("{} files failed; the first: {}", self.failed_files, one_line(first));
            return Err(Failure::new(Exit::Failed, &what, why, "run it again: what is here is not brought twice"));
        }
        if self.unkept > 0 {
            let why = format!("{} found no place", bytes(self.unkept));
            let help =
                "mount with a --cache-dir and a --cache-size that hold it; `rfuse stats` shows faults of the folder";
            return Err(Failure::new(Exit::Failed, &what, why, help));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_range_and_end_at_their_borders() {
        let range = FileRange { path: "a".into(), offset: PIECE - 10, length: 2 * PIECE };
        let all: Vec<_> = pieces(&range).map(|piece| (piece.offset, piece.length)).collect();
        assert_eq!(all, [(PIECE - 10, 10), (PIECE, PIECE), (2 * PIECE, PIECE - 10)]);
    }

    #[test]
    fn what_memory_cannot_hold_counts_as_not_kept() {
        let done = Done::default();
        let warmed = WarmNumbers { present: 10, brought: 100, unkept: 0, limit: Some(60) };
        let piece = FileRange { path: "a".into(), offset: 0, length: 110 };
        done.piece(&piece, Ok(Reply::Warmed(warmed)));
        let outcome = done.outcome(&[piece], None, Duration::from_secs(1));
        assert_eq!((outcome.brought, outcome.unkept), (50, 50));
        assert!(outcome.judge(Path::new("/m")).is_err());
    }
}
