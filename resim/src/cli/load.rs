//! `rfuse-resim load`.

use std::path::PathBuf;

use super::words::{part, processors, size};
use super::{Exit, Failure, Judging, told};
use crate::device::Choice;
use crate::load::{Load, Pattern};

/// Read every byte to the device, and to a copy if wanted
#[derive(Debug, clap::Args)]
#[command(after_help = "Every block is summed on the device and on the processor; a copy is read back and compared.")]
pub(super) struct LoadCommand {
    /// A folder, or one file
    input: PathBuf,
    /// The folder for verdict.json and report.html
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Write a copy of the files into this folder
    #[arg(long, value_name = "FOLDER")]
    copy: Option<PathBuf>,
    /// Where blocks are summed: auto, cpu, cuda:0, …
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: Choice,
    /// Bytes of a block
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = size)]
    block: u64,
    /// The order of the blocks
    #[arg(long, value_enum, default_value = "sequential")]
    pattern: Pattern,
    /// What a random order follows from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Threads that read
    #[arg(long, value_name = "COUNT", default_value_t = processors(), hide_default_value = true)]
    workers: usize,
    /// Bytes at most, in whole blocks
    #[arg(long, value_name = "SIZE", value_parser = size)]
    bytes: Option<u64>,
    /// Only every COUNT-th block, for jobs that share the work: 0/20 … 19/20
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

impl LoadCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.block > 1 << 30 {
            return Err(Failure::new(
                Exit::Usage,
                "load",
                "the blocks are too large",
                "give a --block of at most 1GiB",
            ));
        }
        if self.copy.is_some() && (self.pattern == Pattern::Random || self.part.is_some() || self.bytes.is_some()) {
            let why = "a copy is written from front to back and whole";
            let help = "leave out --pattern random, --part and --bytes, or --copy";
            return Err(Failure::new(Exit::Usage, "load", why, help));
        }
        let load = Load {
            input: self.input,
            output: self.copy,
            block: self.block,
            pattern: self.pattern,
            seed: self.seed,
            workers: self.workers.max(1),
            device: self.device,
            drop_cache: self.drop_cache,
            bytes: self.bytes,
            part: self.part,
        };
        if let Some(path) = self.write_plan {
            return told(&path, load.write_plan(&path)?);
        }
        let outcome = load.run()?;
        self.judging.tell(outcome, self.output.as_deref())
    }
}
