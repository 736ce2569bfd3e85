//! fsx: random reads, writes, truncations, holes and mappings of one file, each read compared with a model.

use std::time::Duration;

use anyhow::Result;

use super::case::Case;
use super::stage::{Stage, succeed};
use crate::shell::command;
use crate::tools;

/// Operations of one seed and seeds, in the whole and the short selection.
const WHOLE: (&str, u64) = ("100000", 10);
const SHORT: (&str, u64) = ("3000", 2);

/// Everything it can do that a file here can; closing and syncing are rare, because each stores the file.
const SETTINGS: &str = "
flen = 262144
[opsize]
max = 65536
[weights]
close_open = 0.1
invalidate = 0.1
mapread = 10
mapwrite = 10
read = 10
write = 10
truncate = 5
fsync = 0.1
fdatasync = 0.1
posix_fallocate = 2
punch_hole = 2
sendfile = 2
posix_fadvise = 1
copy_file_range = 2
";

/// A seed at most, on a store that answers slowly.
const LIMIT: Duration = Duration::from_secs(20 * 60);

pub(super) fn run(stage: &mut Stage<'_>) -> Result<Vec<Case>> {
    let program = tools::fsx()?;
    let settings = stage.local().join("fsx.toml");
    std::fs::write(&settings, SETTINGS)?;
    let (operations, seeds) = if stage.quick { SHORT } else { WHOLE };
    let cases = (1..=seeds).map(|seed| {
        let file = stage.mounted().join(format!("seed-{seed}"));
        let mut suite = command(&program, &["-N", operations, "-S", &seed.to_string()]);
        // What it keeps of a failed run.
        suite.arg("-P").arg(stage.local()).arg("-f").arg(&settings).arg(file);
        Case::of(format!("seed-{seed}"), succeed(&mut suite, LIMIT).map(drop))
    });
    Ok(cases.collect())
}
