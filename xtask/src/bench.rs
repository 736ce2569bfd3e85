//! The whole table: built for speed, measured, written down.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::shell::{cargo, command, run as finish, step};

/// Building with all that is optimised.
const BUILD: Duration = Duration::from_secs(60 * 60);
/// The rows bound themselves; this is for what hangs all the same.
const GRACE: Duration = Duration::from_secs(10 * 60);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where table.md, table.json and table.svg go
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    dir: PathBuf,
    /// Only these groups of rows; may be given again
    #[arg(long, value_name = "GROUP")]
    only: Vec<String>,
    /// A little of everything: shows that it works, says nothing about speed
    #[arg(long)]
    quick: bool,
    /// Minutes after which no group begins
    #[arg(long, value_name = "MINUTES", default_value_t = 40)]
    limit: u64,
}

/// Builds rfuse, the jobs and the benches, and runs the table.
pub(crate) fn run(options: &Options) -> Result<()> {
    step("build", "rfuse, rfuse-resim and rfuse-bench, optimised");
    let rooms = ["-p", "rfuse-fuse", "-p", "rfuse-resim", "-p", "rfuse-benches"];
    finish(&mut cargo(&[&["build", "--release", "--quiet"], &rooms[..]].concat()), BUILD)?;
    std::fs::create_dir_all(&options.dir).with_context(|| format!("cannot make {}", options.dir.display()))?;
    let mut bench = command("target/release/rfuse-bench", &["run"]);
    for (flag, file) in [("--markdown", "table.md"), ("--json", "table.json"), ("--svg", "table.svg")] {
        bench.arg(flag).arg(options.dir.join(file));
    }
    bench.args(["--limit", &format!("{}s", options.limit * 60)]);
    for group in &options.only {
        bench.args(["--only", group]);
    }
    if options.quick {
        bench.arg("--quick");
    }
    step("measure", format!("into {}; leave the machine alone meanwhile", options.dir.display()));
    finish(&mut bench, Duration::from_secs(options.limit * 60) + GRACE)
}
