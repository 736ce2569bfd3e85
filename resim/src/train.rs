//! The loader of a token-training job: shuffled records of huge files, batch by batch, to the device.
//!
//! The order of an epoch follows from the seed and needs no memory, so any number of jobs agree on who reads what,
//! and the whole order can be written down beforehand as an access plan.

mod model;
mod order;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::ahead::{self, Feed};
use crate::device::{Choice, Device, DeviceError};
use crate::files::{self, Access, Input};
use crate::meter::Meter;
use crate::outcome::{Exit, Failure};
use crate::pattern;
use crate::plan;
use crate::progress::Progress;
use crate::usage::Usage;
use crate::verdict::{Checksums, Outcome, Run, Verdict};
use model::Model;
use order::{Order, Place};

/// Batches that are under way on the device at a time.
const LANES: usize = 2;
/// Batches that lie ready for each worker at most.
const AHEAD_A_WORKER: usize = 2;

/// The bar, in the words of indicatif.
const BAR: &str = "  train {bar:24} {percent:>3} %  step {pos} of {len}  {per_sec}  {eta} left";

/// What to train on, and how.
pub(crate) struct Train {
    pub(crate) input: PathBuf,
    pub(crate) record: u64,
    pub(crate) batch: usize,
    pub(crate) workers: usize,
    pub(crate) access: Access,
    pub(crate) seed: u64,
    pub(crate) epochs: u64,
    /// Steps at most, all epochs together.
    pub(crate) steps: Option<u64>,
    pub(crate) dimensions: u32,
    pub(crate) device: Choice,
    pub(crate) drop_cache: bool,
    /// This share of the records alone: the number of this job, and of all jobs.
    pub(crate) part: Option<(usize, usize)>,
}

/// A batch that was read.
struct Batch {
    bytes: Vec<u8>,
    checked: u64,
    wrong: Vec<String>,
}

impl Train {
    /// Runs it.
    ///
    /// # Errors
    /// It could not begin: no input, no device.
    pub(crate) fn run(&self) -> Result<Outcome, Failure> {
        let device = Device::open(self.device)?;
        let model: Result<Vec<_>, DeviceError> =
            (0..LANES).map(|_| Model::new(device.lane()?, self.batch, self.record, self.dimensions)).collect();
        let mut model = model?;
        let files = files::open(&self.input, &["bin"], self.access, self.drop_cache)?;
        let order = self.order(&files)?;
        let steps = self.steps_in_all(&order);
        let meter = Meter::start();
        let (mut usage, mut digest, mut problems) = (Usage::new(), Sha256::new(), Vec::new());
        let (mut checked, mut wrong, mut done) = (0, 0, 0);
        let bar = Progress::new("train", BAR, steps);
        let make = |step: usize| self.read(&files, &order, &meter, step as u64);
        let trained = ahead::run(steps as usize, self.workers * AHEAD_A_WORKER, self.workers, make, |feed| {
            let mut lane = 0;
            while let Some(batch) = next(feed, &mut model, &meter, &mut usage, &mut digest, &mut done)? {
                let batch = batch?;
                checked += batch.checked;
                wrong += batch.wrong.len() as u64;
                problems.extend(batch.wrong);
                model[lane].collect(&meter, &mut usage, &mut digest, &mut done)?;
                model[lane].submit(&batch.bytes)?;
                lane = (lane + 1) % LANES;
                bar.inc(1);
            }
            // The oldest batch is on the lane that would be next.
            for turn in 0..LANES {
                model[(lane + turn) % LANES].collect(&meter, &mut usage, &mut digest, &mut done)?;
            }
            Ok(())
        });
        bar.finish();
        let seconds = meter.elapsed().as_secs_f64();
        let failure: Option<Failure> = trained.err();
        let run = Run {
            job: "train",
            device: &device,
            input: &self.input,
            page_cache_dropped: self.drop_cache,
            seconds,
            unit: "records",
            count: done * self.batch as u64,
            files: files.iter().map(|file| file.name.clone()).collect(),
            reads: meter.reads(),
            usage,
            phases: vec![("train".to_owned(), 0.0)],
        };
        let against = "content that follows from the manifest's seed".to_owned();
        let verdict = Verdict {
            steps_per_second: Some(done as f64 / seconds),
            checksums: (checked > 0).then_some(Checksums { checked, wrong, against }),
            answer: Some(crate::replay::short_hash(digest)),
            ..Verdict::of(run, problems, failure.as_ref())
        };
        Ok(Outcome { failure: failure.or_else(|| verdict.incomplete()), verdict })
    }

    /// Writes what a run would read, in its order.
    ///
    /// # Errors
    /// There is no input, or the plan cannot be written.
    pub(crate) fn write_plan(&self, path: &Path) -> Result<u64, Failure> {
        let files = files::open(&self.input, &["bin"], Access::Pread, false)?;
        let order = self.order(&files)?;
        let remark = format!("train: seed {}, {} epochs, records of {} bytes", self.seed, self.epochs, self.record);
        let records = self.steps_in_all(&order) * self.batch as u64;
        let steps = (0..records).map(|index| {
            let (epoch, position) = self.position(&order, index);
            let place = order.place(epoch, position);
            plan::Step { path: &files[place.file].name, offset: place.offset, length: self.record }
        });
        plan::write(path, &remark, steps)
    }

    fn order(&self, files: &[Input]) -> Result<Order, Failure> {
        let order = Order::new(files, self.record, self.seed, self.part);
        if order.mine < self.batch as u64 {
            let why = format!("it has {} records for this job, and a batch takes {}", order.mine, self.batch);
            let help = "make --batch smaller, or give more data";
            return Err(Failure::new(Exit::Failed, format!("train on {}", self.input.display()), why, help));
        }
        Ok(order)
    }

    /// Whole batches of all epochs, or as many as were asked for.
    fn steps_in_all(&self, order: &Order) -> u64 {
        let all = order.mine / self.batch as u64 * self.epochs;
        self.steps.map_or(all, |steps| steps.min(all))
    }

    /// Epoch and position of the `index`-th record of the run.
    fn position(&self, order: &Order, index: u64) -> (u64, u64) {
        let an_epoch = order.mine / self.batch as u64 * self.batch as u64;
        (index / an_epoch, index % an_epoch)
    }

    fn read(&self, files: &[Input], order: &Order, meter: &Meter, step: u64) -> Result<Batch, Failure> {
        let mut batch = Batch { bytes: vec![0; self.batch * self.record as usize], checked: 0, wrong: Vec::new() };
        for (index, bytes) in batch.bytes.chunks_exact_mut(self.record as usize).enumerate() {
            let (epoch, position) = self.position(order, step * self.batch as u64 + index as u64);
            let Place { file, offset } = order.place(epoch, position);
            meter.time(file, offset, self.record, || files[file].read(offset, bytes))?;
            let Some(seed) = files[file].content_seed else { continue };
            batch.checked += 1;
            if let Some(at) = pattern::first_wrong(seed, offset, bytes) {
                batch.wrong.push(format!("{}: byte {at} is not what the manifest's seed says", files[file].name));
            }
        }
        Ok(batch)
    }
}

/// The next batch. Nothing there: first the batches under way are finished; what is waited after that, the device
/// waits too.
fn next(
    feed: &mut Feed<'_, Result<Batch, Failure>>,
    model: &mut [Model],
    meter: &Meter,
    usage: &mut Usage,
    digest: &mut Sha256,
    done: &mut u64,
) -> Result<Option<Result<Batch, Failure>>, Failure> {
    if let Some(batch) = feed.ready() {
        return Ok(Some(batch));
    }
    let oldest = *done as usize;
    for turn in 0..LANES {
        model[(oldest + turn) % LANES].collect(meter, usage, digest, done)?;
    }
    let begun: Duration = meter.elapsed();
    let batch = feed.wait();
    if batch.is_some() {
        usage.waited(begun, meter.elapsed() - begun);
    }
    Ok(batch)
}
