//! The plain load: every byte of the input to the device, and if wanted to a copy, as fast as it goes.
//!
//! This replaces scripts around `dd`: it says how long reads took, sums every block on the device and on this
//! processor, and reads a copy back before it calls it right.

mod copy;
mod work;

use std::path::{Path, PathBuf};

use crate::ahead;
use crate::device::{Choice, Device};
use crate::files::{self, Access, Input};
use crate::meter::Meter;
use crate::outcome::{Exit, Failure};
use crate::pattern;
use crate::plan;
use crate::progress::Progress;
use crate::random::Permutation;
use crate::verdict::{Checksums, Outcome, Run, Verdict};
use copy::Copy;
use work::Work;

/// Blocks that lie ready for each worker at most.
const AHEAD_A_WORKER: usize = 2;

/// The order of the blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Pattern {
    /// File by file, from front to back.
    Sequential,
    /// Shuffled over all files.
    Random,
}

/// What to read, and how.
pub(crate) struct Load {
    pub(crate) input: PathBuf,
    /// Where a copy is written.
    pub(crate) output: Option<PathBuf>,
    pub(crate) block: u64,
    pub(crate) pattern: Pattern,
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    pub(crate) device: Choice,
    pub(crate) drop_cache: bool,
    /// Bytes at most.
    pub(crate) bytes: Option<u64>,
    /// This share of the blocks alone: the number of this job, and of all jobs.
    pub(crate) part: Option<(usize, usize)>,
}

/// The bar, in the words of indicatif.
const BAR: &str =
    "  load {bar:24} {percent:>3} %  {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left";

/// A block: which file, where, how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Block {
    file: usize,
    offset: u64,
    length: u64,
}

/// A block that was read.
struct Piece {
    block: Block,
    bytes: Vec<u8>,
    sum: u64,
    checked: bool,
    wrong: Option<u64>,
}

impl Load {
    /// Runs it.
    ///
    /// # Errors
    /// It could not begin: no input, no device.
    pub(crate) fn run(&self) -> Result<Outcome, Failure> {
        let device = Device::open(self.device)?;
        let mut work = Work::new(&device, self.block)?;
        let files = files::open(&self.input, &[], Access::Pread, self.drop_cache)?;
        let blocks = self.blocks(&files)?;
        let mut copy = Copy::new(self.output.clone());
        let meter = Meter::start();
        let bar = Progress::new("load", BAR, blocks.iter().map(|block| block.length).sum());
        let (mut checked, mut wrong) = (0, 0);
        let make = |number: usize| read(&files, &meter, blocks[number]);
        let loaded = ahead::run(blocks.len(), self.workers * AHEAD_A_WORKER, self.workers, make, |feed| {
            while let Some(piece) = work.next(feed, &meter)? {
                let piece = piece?;
                checked += u64::from(piece.checked);
                if let Some(at) = piece.wrong {
                    wrong += 1;
                    let name = &files[piece.block.file].name;
                    work.problems.push(format!("{name}: byte {at} is not what the manifest's seed says"));
                }
                work.submit(&piece, &meter)?;
                copy.write(&files, &piece)?;
                bar.inc(piece.block.length);
            }
            work.drain(&meter)?;
            assert_eq!(work.done, work.submitted, "a block was left on its lane");
            copy.finish()
        });
        bar.finish();
        let seconds = meter.elapsed().as_secs_f64();
        let reads = meter.reads();
        let failure: Option<Failure> = loaded.err();
        if failure.is_none() {
            work.problems.extend(copy.read_back()?);
        }
        let mut phases = vec![("load".to_owned(), 0.0)];
        if self.output.is_some() {
            phases.push(("end of copy".to_owned(), seconds));
        }
        let run = Run {
            job: "load",
            device: &device,
            input: &self.input,
            page_cache_dropped: self.drop_cache,
            seconds,
            unit: "blocks",
            count: work.done as u64,
            files: files.iter().map(|file| file.name.clone()).collect(),
            reads,
            usage: work.usage,
            phases,
        };
        let against = "content that follows from the manifest's seed".to_owned();
        let verdict = Verdict {
            checksums: (checked > 0).then_some(Checksums { checked, wrong, against }),
            answer: Some(format!("{:016x}", work.total)),
            written_bytes: self.output.is_some().then_some(copy.written),
            ..Verdict::of(run, work.problems, failure.as_ref())
        };
        Ok(Outcome { failure: failure.or_else(|| verdict.incomplete()), verdict })
    }

    /// Writes which blocks a run reads, in its order.
    ///
    /// # Errors
    /// There is no input, or the plan cannot be written.
    pub(crate) fn write_plan(&self, path: &Path) -> Result<u64, Failure> {
        let files = files::open(&self.input, &[], Access::Pread, false)?;
        let blocks = self.blocks(&files)?;
        let steps = blocks.iter().map(|block| plan::Step {
            path: &files[block.file].name,
            offset: block.offset,
            length: block.length,
        });
        plan::write(path, &format!("load: blocks of {} bytes", self.block), steps)
    }

    /// The blocks of this job, in the order in which they are read.
    fn blocks(&self, files: &[Input]) -> Result<Vec<Block>, Failure> {
        let mut blocks = Vec::new();
        for (file, input) in files.iter().enumerate() {
            let cut = (0..input.length).step_by(self.block as usize);
            blocks.extend(cut.map(|offset| Block { file, offset, length: self.block.min(input.length - offset) }));
        }
        if self.pattern == Pattern::Random {
            let order = Permutation::new(blocks.len() as u64, self.seed);
            blocks = (0..blocks.len()).map(|index| blocks[order.get(index as u64) as usize]).collect();
        }
        if let Some((part, parts)) = self.part {
            blocks = blocks.into_iter().skip(part).step_by(parts).collect();
        }
        let mut left = self.bytes.unwrap_or(u64::MAX);
        blocks.retain(|block| {
            let fits = left > 0;
            left = left.saturating_sub(block.length);
            fits
        });
        if blocks.is_empty() {
            let why = "this part of it has no blocks";
            let help = "use fewer parts or smaller blocks";
            return Err(Failure::new(Exit::Failed, format!("load {}", self.input.display()), why, help));
        }
        Ok(blocks)
    }
}

fn read(files: &[Input], meter: &Meter, block: Block) -> Result<Piece, Failure> {
    let mut bytes = vec![0; block.length as usize];
    let file = &files[block.file];
    meter.time(block.file, block.offset, block.length, || file.read(block.offset, &mut bytes))?;
    let wrong = file.content_seed.and_then(|seed| pattern::first_wrong(seed, block.offset, &bytes));
    Ok(Piece { block, sum: word_sum(&bytes), checked: file.content_seed.is_some(), wrong, bytes })
}

/// The sum of 32-bit words, the last one filled up with zeros; what the kernel computes.
fn word_sum(bytes: &[u8]) -> u64 {
    bytes.chunks(4).fold(0u64, |sum, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        sum.wrapping_add(u64::from(u32::from_le_bytes(word)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(input: PathBuf) -> Load {
        Load {
            input,
            output: None,
            block: 1000,
            pattern: Pattern::Random,
            seed: 1,
            workers: 2,
            device: Choice::Cpu,
            drop_cache: false,
            bytes: None,
            part: None,
        }
    }

    #[test]
    fn every_byte_is_summed_once_in_any_order_and_by_all_parts_together() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..12_345u32).map(|index| (index * 7 % 256) as u8).collect();
        std::fs::write(folder.path().join("a"), &bytes).unwrap();
        let run = |change: fn(&mut Load)| {
            let mut load = load(folder.path().to_path_buf());
            change(&mut load);
            let outcome = load.run().unwrap();
            assert_eq!(outcome.failure, None);
            outcome.verdict
        };
        let random = run(|_| {});
        assert_eq!((random.bytes, random.count), (12_345, 13));
        assert_eq!(random.answer, run(|load| load.pattern = Pattern::Sequential).answer);
        let parts = [run(|load| load.part = Some((0, 2))), run(|load| load.part = Some((1, 2)))];
        assert_eq!(parts.iter().map(|part| part.bytes).sum::<u64>(), 12_345);
        let sum = |run: &Verdict| u64::from_str_radix(run.answer.as_ref().unwrap(), 16).unwrap();
        assert_eq!(sum(&parts[0]) + sum(&parts[1]), sum(&random));
        assert_eq!(run(|load| load.bytes = Some(2500)).count, 3);
    }

    #[test]
    fn a_copy_is_the_same_as_its_source() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(from.path().join("a"), [1; 2500]).unwrap();
        std::fs::write(from.path().join("b"), [2; 10]).unwrap();
        let output = Some(to.path().to_path_buf());
        let load = Load { output, pattern: Pattern::Sequential, ..load(from.path().to_path_buf()) };
        let outcome = load.run().unwrap();
        assert_eq!((outcome.failure, outcome.verdict.written_bytes), (None, Some(2510)));
        assert_eq!(std::fs::read(to.path().join("a")).unwrap(), [1; 2500]);
        assert_eq!(std::fs::read(to.path().join("b")).unwrap(), [2; 10]);
    }
}
