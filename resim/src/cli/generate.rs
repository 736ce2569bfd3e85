//! `rfuse-resim generate`.

use std::path::PathBuf;

use super::words::{pair, processors, size};
use super::{Exit, Failure, print_line};
use crate::generate::Generate;
use crate::manifest::Recipe;
use crate::scene::Camera;

/// Make drive logs and token files that follow from a seed
#[derive(Debug, clap::Args)]
#[command(after_help = "Writes manifest.json beside the files: their recipe, SHA-256 and the checksum of each chunk. \
                        Run it again to go on where it was interrupted.")]
pub(super) struct GenerateCommand {
    /// The folder to fill
    folder: PathBuf,
    /// What everything follows from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Drive logs (MCAP)
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    logs: u32,
    /// Seconds of driving in a log
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Token files
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    token_files: u32,
    /// Size of a token file
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    token_size: u64,
    /// Compression of the chunks
    #[arg(long, value_name = "KIND", default_value = "zstd", value_parser = ["zstd", "none"])]
    compression: String,
    /// Bytes gathered before a chunk is closed
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = size)]
    chunk_size: u64,
    /// Cameras around the car
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = cameras)]
    cameras: usize,
    /// Width and height of an image
    #[arg(long, value_name = "WxH", default_value = "960x540", value_parser = pair)]
    camera_size: (u32, u32),
    /// Beams and steps a turn of the lidar
    #[arg(long, value_name = "BxS", default_value = "64x1024", value_parser = pair)]
    lidar: (u32, u32),
    /// Files made at the same time
    #[arg(long, value_name = "COUNT", default_value_t = processors(), hide_default_value = true)]
    workers: usize,
    /// Replace what another recipe made
    #[arg(long)]
    force: bool,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

fn cameras(text: &str) -> Result<usize, String> {
    let most = Camera::NAMES.len();
    text.parse().ok().filter(|count| *count <= most).ok_or_else(|| format!("write a number from 0 to {most}"))
}

impl GenerateCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.logs == 0 && self.token_files == 0 {
            let help = "ask for some with --logs or --token-files";
            return Err(Failure::new(Exit::Usage, "generate", "nothing is asked for", help));
        }
        let (width, height) = self.camera_size;
        if self.cameras > 0 && (width < 64 || height < 64) {
            let help = "give a --camera-size of 64x64 or more";
            return Err(Failure::new(Exit::Usage, "generate", "the images are too small to see anything", help));
        }
        let generate = Generate {
            folder: self.folder.clone(),
            recipe: Recipe {
                seed: self.seed,
                seconds: self.seconds,
                token_bytes: self.token_size,
                compression: self.compression,
                chunk_bytes: self.chunk_size,
                cameras: self.cameras,
                camera_size: self.camera_size,
                lidar: self.lidar,
            },
            logs: self.logs,
            token_files: self.token_files,
            workers: self.workers,
            force: self.force,
        };
        let made = generate.run()?;
        if self.json {
            let told = serde_json::json!({ "made": made.files, "kept": made.kept, "bytes": made.bytes });
            print_line(&told.to_string());
        } else {
            let kept = if made.kept > 0 { format!(", {} were there", made.kept) } else { String::new() };
            print_line(&format!(
                "made {} files{kept}; {} holds {:.2} GB, checksums in manifest.json",
                made.files,
                self.folder.display(),
                made.bytes as f64 / 1e9
            ));
        }
        Ok(())
    }
}
