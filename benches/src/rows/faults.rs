//! A bad store: one request in twenty fails, and no reader gets a wrong byte, an error, or a long wait.

use std::time::Duration;

use crate::lab::{Lab, objects};
use crate::readers::{Descriptors, How, distinct_places};
use crate::table::Row;

use super::{BUCKET, read_checked};

const READERS: usize = 8;
const SECONDS_MOST: f64 = 1.0;
const GETS_A_BLOCK_MOST: f64 = 10.0;
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let count = lab.extent.pick(300, 100);
    for seed in [1, 2, 3] {
        lab.behave("")?;
        let mount = lab.mount(BUCKET, &[])?;
        let (name, size) = objects::COLD;
        // The name is looked up in good weather: the row is about reads.
        std::fs::metadata(mount.path(name))?;
        lab.behave(&format!("faults=5%25&per-block=yes&seed={seed}"))?;
        let places = distinct_places(size, count, READERS, 100 + seed);
        let done = read_checked(&mount, name, How::Direct, Descriptors::Each, places, LIMIT)?;
        let stats = lab.stats()?;
        let [unavailable, internal, reset, truncated, wrong] = stats.faults;
        let right = done.reads == count as u64 && done.wrong == 0;
        let worst = done.latencies.last().copied().unwrap_or(0) / 1000;
        let words = format!(
            "{:.2} s, slowest read {worst} ms; {} requests, faults: {unavailable} × 503, {internal} × 500, {reset} resets, \
             {truncated} truncated, {wrong} wrong ranges; most GETs for a block {}; {} wrong, {} failed",
            done.seconds, stats.gets, stats.gets_per_block_max, done.wrong, done.errors
        );
        rows.push(
            Row::at_most(
                format!("5 % faults, {count} reads by {READERS} readers (seed {seed}): seconds"),
                SECONDS_MOST,
                done.seconds,
            )
            .and("every byte right", right)
            .and("≤ 10 GETs a block", stats.gets_per_block_max as f64 <= GETS_A_BLOCK_MOST)
            .measured(words)
            .beside("geesefs 3.2, mountpoint 5.1, blobfuse2 75 (another day)"),
        );
    }
    Ok(rows)
}
