//! `rfuse-resim train`.

use std::path::PathBuf;

use super::words::{part, processors, size};
use super::{Exit, Failure, Judging, told};
use crate::device::Choice;
use crate::files::Access;
use crate::train::Train;

/// Read shuffled records of token files into a training step
#[derive(Debug, clap::Args)]
#[command(after_help = "Reads the .bin files of INPUT. With a manifest.json beside them every record is checked.")]
pub(super) struct TrainCommand {
    /// A folder of .bin files, or one file
    input: PathBuf,
    /// The folder for verdict.json and report.html
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Where the step runs: auto, cpu, cuda:0, …
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: Choice,
    /// Bytes of a record: an even number
    #[arg(long, value_name = "SIZE", default_value = "4KiB", value_parser = size)]
    record: u64,
    /// Records of a step
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Threads that load batches
    #[arg(long, value_name = "COUNT", default_value_t = processors(), hide_default_value = true)]
    workers: usize,
    /// How records are read
    #[arg(long, value_enum, default_value = "mmap")]
    access: Access,
    /// What the order follows from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Passes over the data
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    epochs: u64,
    /// Steps at most
    #[arg(long, value_name = "COUNT")]
    steps: Option<u64>,
    /// Width of the model
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    dimensions: u32,
    /// Only every COUNT-th record, for jobs that share the work: 0/2, 1/2
    #[arg(long, value_name = "N/COUNT", value_parser = part)]
    part: Option<(usize, usize)>,
    /// Let the page cache forget the input first
    #[arg(long)]
    drop_cache: bool,
    /// Write what would be read, in its order, to this file and stop
    #[arg(long, value_name = "FILE")]
    write_plan: Option<PathBuf>,
    #[command(flatten)]
    judging: Judging,
}

impl TrainCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        if !self.record.is_multiple_of(2) || self.record > 1 << 30 {
            let help = "give an even --record of at most 1GiB";
            return Err(Failure::new(Exit::Usage, "train", "a record holds tokens of two bytes", help));
        }
        let train = Train {
            input: self.input,
            record: self.record,
            batch: self.batch as usize,
            workers: self.workers.max(1),
            access: self.access,
            seed: self.seed,
            epochs: self.epochs,
            steps: self.steps,
            dimensions: self.dimensions,
            device: self.device,
            drop_cache: self.drop_cache,
            part: self.part,
        };
        if let Some(path) = self.write_plan {
            return told(&path, train.write_plan(&path)?);
        }
        let outcome = train.run()?;
        self.judging.tell(outcome, self.output.as_deref())
    }
}
