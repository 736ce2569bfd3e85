//! The main job, shown whole with no cloud account: sample data, a store, a mount, two readers, a table.

mod reading;
mod sample;
mod store;
mod table;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use tempfile::TempDir;

use crate::mount::{Mount, build_rfuse};
use crate::shell::step;
use crate::tools;

/// How the demo runs.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What plays the bucket: a folder of this machine, or Azurite over HTTP.
    #[arg(long, value_enum, default_value = "folder")]
    store: store::Kind,
    /// Leaves the mount running, and says how to end it.
    #[arg(long)]
    keep: bool,
    /// Size of the token file in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=65536))]
    tokens: u64,
    /// Size of the drive log in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 180, value_parser = clap::value_parser!(u64).range(1..=65536))]
    log: u64,
    /// Random 4 KiB reads of the training loader.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    reads: u64,
}

impl Options {
    /// A demo of seconds, for the tests.
    pub(crate) fn small() -> Self {
        Self { store: store::Kind::Folder, keep: false, tokens: 16, log: 8, reads: 2_000 }
    }
}

/// Where the demo mounts. A fixed place, so that a person finds it again.
fn mount_point() -> PathBuf {
    std::env::temp_dir().join("rfuse-demo")
}

pub(crate) fn run(options: &Options) -> Result<()> {
    println!("rfuse demo: {}; no account needed", options.store);
    tools::fuse()?;
    let rfuse = build_rfuse()?;
    let data = TempDir::with_prefix("rfuse-demo-data-")?;
    let sample = sample::make(data.path(), options.tokens << 20, options.log << 20)?;
    let bucket = store::Bucket::open(options.store, data.path())?;
    let begun = Instant::now();
    let mount = Mount::new(&rfuse, &bucket.url(), &mount_point(), &bucket.flags())?;
    step(
        "mount",
        format_args!("{} on {}, first look {} ms", bucket.url(), mount.folder().display(), begun.elapsed().as_millis()),
    );
    step("reading", "as a training loader (4 KiB at random), as a log replayer (index, then chunks)");
    let tokens = mount.folder().join(sample::TOKENS);
    let log = mount.folder().join(sample::LOG);
    let works = [
        table::measure("training, cold", &mount, || reading::train(&tokens, options.reads))?,
        table::measure("training, again", &mount, || reading::train(&tokens, options.reads))?,
        table::measure("replay, cold", &mount, || reading::replay(&log, &sample))?,
    ];
    table::print(&works);
    println!("\n  every byte checked against its source: right");
    if options.keep {
        return keep(mount, bucket, data);
    }
    mount.unmount()?;
    println!("  next: rfuse mount s3://BUCKET DIR    or    cargo xtask demo --keep --store azurite");
    Ok(())
}

/// Stays in the foreground, because the store and its data live as long as this process.
fn keep(mount: Mount, bucket: store::Bucket, data: TempDir) -> Result<()> {
    println!("  kept: {} — look around from another terminal; press Enter here to end it", mount.folder().display());
    std::io::stdin().read_line(&mut String::new())?;
    mount.unmount()?;
    drop((bucket, data));
    Ok(())
}
