//! What the readings cost, a line a kind of work.

use std::time::{Duration, Instant};

use anyhow::Result;
use rfuse_config::control::Statistics;

use super::reading::Readings;
use crate::mount::Mount;

/// One line of the table.
pub(super) struct Work {
    name: &'static str,
    reads: usize,
    seconds: f64,
    p50: Duration,
    p99: Duration,
    gets: u64,
    fetched: u64,
    delivered: u64,
}

/// Lets a reader run and asks the mount before and after what it asked of the store.
pub(super) fn measure(name: &'static str, mount: &Mount, read: impl FnOnce() -> Result<Readings>) -> Result<Work> {
    let before = Cost::of(&mount.stats()?);
    let begun = Instant::now();
    let mut readings = read()?;
    let seconds = begun.elapsed().as_secs_f64();
    let after = Cost::of(&mount.stats()?);
    readings.times.sort_unstable();
    let at = |share: f64| readings.times[((readings.times.len() - 1) as f64 * share) as usize];
    Ok(Work {
        name,
        reads: readings.times.len(),
        seconds,
        p50: at(0.50),
        p99: at(0.99),
        gets: after.gets - before.gets,
        fetched: after.fetched - before.fetched,
        delivered: readings.bytes,
    })
}

struct Cost {
    gets: u64,
    fetched: u64,
}

impl Cost {
    fn of(stats: &Statistics) -> Self {
        Self { gets: stats.store.count("get"), fetched: stats.store.received_bytes }
    }
}

/// Prints the table.
pub(super) fn print(works: &[Work]) {
    println!();
    println!(
        "  {:<20} {:>9} {:>9} {:>9} {:>13} {:>14}",
        "work", "reads/s", "p50 µs", "p99 µs", "GETs a read", "bytes a byte"
    );
    for work in works {
        println!(
            "  {:<20} {:>9.0} {:>9} {:>9} {:>13.2} {:>14.2}",
            work.name,
            work.reads as f64 / work.seconds,
            work.p50.as_micros(),
            work.p99.as_micros(),
            work.gets as f64 / work.reads as f64,
            work.fetched as f64 / work.delivered as f64,
        );
    }
}
