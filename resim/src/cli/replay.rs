//! `rfuse-resim replay`.

use std::path::PathBuf;

use super::words::{nanoseconds, part, processors};
use super::{Failure, Judging, told};
use crate::device::Choice;
use crate::log::Window;
use crate::replay::{Replay, Speed};

/// Replay drive logs through perception, compare with the recorded truth
#[derive(Debug, clap::Args)]
#[command(after_help = "Writes detections.mcap, detections.parquet, verdict.json and report.html into OUTPUT; a file \
                        that is not whole has .partial at its name.")]
pub(super) struct ReplayCommand {
    /// A folder of MCAP files, or one of them
    input: PathBuf,
    /// The folder for the results
    output: PathBuf,
    /// Where perception runs: auto, cpu, cuda:0, …
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: Choice,
    /// How fast logs are played
    #[arg(long, value_enum, default_value = "max")]
    speed: Speed,
    /// Begin this long after the start of each log
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = nanoseconds, hide_default_value = true)]
    from: u64,
    /// End this long after the start of each log
    #[arg(long, value_name = "TIME", value_parser = nanoseconds)]
    to: Option<u64>,
    /// Only this topic; may be given more than once
    #[arg(long = "topic", value_name = "NAME")]
    topics: Vec<String>,
    /// Only every COUNT-th log, for jobs that share the work: 0/20 … 19/20
    #[arg(long, value_name = "N/COUNT", value_parser = part)]
    part: Option<(usize, usize)>,
    /// Threads that read chunks
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    readers: usize,
    /// Threads that unpack chunks and decode images
    #[arg(long, value_name = "COUNT", default_value_t = processors(), hide_default_value = true)]
    decoders: usize,
    /// Chunks in memory at most
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    ahead: usize,
    /// Let the page cache forget the input first
    #[arg(long)]
    drop_cache: bool,
    /// Write what would be read, in its order, to this file and stop
    #[arg(long, value_name = "FILE")]
    write_plan: Option<PathBuf>,
    #[command(flatten)]
    judging: Judging,
}

impl ReplayCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let replay = Replay {
            input: self.input,
            output: self.output,
            window: Window { from: self.from, to: self.to.unwrap_or(u64::MAX), topics: self.topics },
            speed: self.speed,
            device: self.device,
            readers: self.readers,
            decoders: self.decoders,
            ahead: self.ahead,
            drop_cache: self.drop_cache,
            part: self.part,
        };
        if let Some(path) = self.write_plan {
            return told(&path, replay.write_plan(&path)?);
        }
        let outcome = replay.run()?;
        self.judging.tell(outcome, Some(&replay.output))
    }
}
