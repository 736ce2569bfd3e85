//! The loader of a token-training job: shuffled records of huge files, batch by batch, to the device.
//!
//! The order of an epoch follows from the seed and needs no memory, so any number of jobs agree on who reads what,
//! and the whole order can be written down beforehand as an access plan.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use crate::ahead::{self, Feed};
use crate::device::{Argument, Buffer, Choice, Device, DeviceError, Kernel, Lane};
use crate::files::{self, Access, Input};
use crate::meter::Meter;
use crate::outcome::{Exit, Failure};
use crate::pattern;
use crate::plan;
use crate::random::{self, Permutation};
use crate::usage::Usage;
use crate::verdict::{Checksums, Outcome, Run, Verdict};
use crate::weights;

/// Batches that are under way on the device at a time.
const LANES: usize = 2;
/// Batches that lie ready for each worker at most.
const AHEAD_A_WORKER: usize = 2;
/// Entries of the embedding table; tokens are taken modulo this.
const VOCABULARY: u32 = 4096;
/// Dense layers after the embedding.
const LAYERS: usize = 2;
/// The seed of the model's weights.
const WEIGHTS_SEED: u64 = 77;

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

/// Which records are read, in which order.
struct Order {
    /// Records before each file, and all of them at the end.
    starts: Vec<u64>,
    record: u64,
    seed: u64,
    part: (u64, u64),
    /// Records of this job an epoch.
    mine: u64,
}

/// A record: which file, and where in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    file: usize,
    offset: u64,
}

impl Order {
    fn new(files: &[Input], record: u64, seed: u64, part: Option<(usize, usize)>) -> Self {
        let mut starts = vec![0];
        for file in files {
            starts.push(starts[starts.len() - 1] + file.length / record);
        }
        let total = starts[files.len()];
        let (part, parts) = part.map_or((0, 1), |(part, parts)| (part as u64, parts as u64));
        let mine = total / parts + u64::from(part < total % parts);
        Self { starts, record, seed, part: (part, parts), mine }
    }

    fn total(&self) -> u64 {
        self.starts[self.starts.len() - 1]
    }

    /// The record that this job reads at `position` of `epoch`.
    fn place(&self, epoch: u64, position: u64) -> Place {
        let permutation = Permutation::new(self.total(), random::at(self.seed, epoch));
        let record = permutation.get(position * self.part.1 + self.part.0);
        let file = self.starts.partition_point(|start| *start <= record) - 1;
        Place { file, offset: (record - self.starts[file]) * self.record }
    }
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
        let bar = progress(steps);
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
        bar.finish_and_clear();
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

/// The model on one lane.
struct Model {
    lane: Lane,
    batch: u32,
    tokens: u32,
    dimensions: u32,
    records: Buffer,
    table: Buffer,
    dense: Buffer,
    values: [Buffer; 2],
    busy: bool,
}

impl Model {
    fn new(mut lane: Lane, batch: usize, record: u64, dimensions: u32) -> Result<Self, DeviceError> {
        let values = batch * dimensions as usize * 4;
        let mut upload = |seed: u64, count: usize| {
            let weights = weights::random_layer(seed, count);
            let buffer = lane.buffer(count * 4)?;
            for (target, weight) in lane.stage(count * 4)?.chunks_exact_mut(4).zip(&weights) {
                target.copy_from_slice(&weight.to_le_bytes());
            }
            lane.upload(0, count * 4, buffer)?;
            lane.uploaded()?;
            lane.download(buffer, 4)?;
            lane.finish()?;
            Ok(buffer)
        };
        let table = upload(WEIGHTS_SEED, (VOCABULARY * dimensions) as usize)?;
        let dense = upload(WEIGHTS_SEED + 1, (dimensions * dimensions) as usize)?;
        Ok(Self {
            records: lane.buffer(batch * record as usize)?,
            values: [lane.buffer(values)?, lane.buffer(values)?],
            lane,
            batch: batch as u32,
            tokens: (record / 2) as u32,
            dimensions,
            table,
            dense,
            busy: false,
        })
    }

    /// Starts on a batch: the mean of the embeddings of each record, then the dense layers.
    fn submit(&mut self, bytes: &[u8]) -> Result<(), DeviceError> {
        use Argument::{Buffer as Pointer, U32};
        let lane = &mut self.lane;
        lane.stage(bytes.len())?.copy_from_slice(bytes);
        lane.upload(0, bytes.len(), self.records)?;
        lane.uploaded()?;
        let (batch, dimensions) = (U32(self.batch), U32(self.dimensions));
        let threads = self.batch * self.dimensions;
        let arguments = [
            Pointer(self.records),
            batch,
            U32(self.tokens),
            U32(VOCABULARY - 1),
            Pointer(self.table),
            dimensions,
            Pointer(self.values[0]),
        ];
        lane.launch(Kernel::EmbedMean, threads, &arguments)?;
        for layer in 0..LAYERS {
            let (from, to) = (Pointer(self.values[layer % 2]), Pointer(self.values[(layer + 1) % 2]));
            lane.launch(Kernel::Dense, threads, &[from, batch, dimensions, Pointer(self.dense), to])?;
        }
        lane.download(self.values[LAYERS % 2], threads as usize * 4)?;
        self.busy = true;
        Ok(())
    }

    /// Waits for the batch under way, if there is one.
    fn collect(
        &mut self,
        meter: &Meter,
        usage: &mut Usage,
        digest: &mut Sha256,
        done: &mut u64,
    ) -> Result<(), Failure> {
        if !std::mem::take(&mut self.busy) {
            return Ok(());
        }
        let (values, timing) = self.lane.finish()?;
        digest.update(values);
        usage.worked(timing, meter.elapsed());
        *done += 1;
        Ok(())
    }
}

fn progress(steps: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("  train {bar:24} {percent:>3} %  step {pos} of {len}  {per_sec}  {eta} left");
    ProgressBar::new(steps).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(total: u64, part: (u64, u64)) -> Order {
        let mine = total / part.1 + u64::from(part.0 < total % part.1);
        Order { starts: vec![0, total / 3, total], record: 4096, seed: 5, part, mine }
    }

    #[test]
    fn all_jobs_together_read_every_record_once_an_epoch() {
        let mut seen = Vec::new();
        for part in 0..3 {
            let order = order(100, (part, 3));
            seen.extend((0..order.mine).map(|position| {
                let place = order.place(2, position);
                order.starts[place.file] + place.offset / 4096
            }));
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..100));
    }

    #[test]
    fn each_epoch_has_its_own_order() {
        let order = order(100, (0, 1));
        let epoch = |epoch| (0..100).map(|position| order.place(epoch, position).offset).collect::<Vec<_>>();
        assert_ne!(epoch(0), epoch(1));
    }

    #[test]
    fn a_model_gives_the_same_values_on_both_lanes() {
        let device = Device::open(Choice::Cpu).unwrap();
        let mut digests = Vec::new();
        for _ in 0..2 {
            let mut model = Model::new(device.lane().unwrap(), 2, 4096, 16).unwrap();
            let bytes: Vec<u8> = (0..8192u32).map(|index| (index % 251) as u8).collect();
            model.submit(&bytes).unwrap();
            let (mut usage, mut digest, mut done) = (Usage::new(), Sha256::new(), 0);
            model.collect(&Meter::start(), &mut usage, &mut digest, &mut done).unwrap();
            digests.push(digest.finalize());
        }
        assert_eq!(digests[0], digests[1]);
    }
}
