//! Epochs over half as much again as the cache holds, in order and shuffled: how much of each is still there,
//! beside a plain LRU of as many blocks, which an epoch in order empties before it comes round.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::lab::{Lab, Mount, objects};
use crate::readers::{BLOCK, Descriptors, How};
use crate::table::Row;

use super::{BUCKET, read_checked};

/// Share of the reads after the first epochs that the store must not see.
const LEAST: f64 = 0.4;
/// Epochs before it counts, and while it does.
const EPOCHS: (usize, usize) = (3, 4);
const LIMIT: Duration = Duration::from_secs(90);

/// Where blocks are remembered.
struct Tier {
    words: &'static str,
    /// Bytes.
    capacity: u64,
    settings: Vec<String>,
}

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let capacity = lab.extent.pick(64 << 20, 32 << 20);
    let mut rows = Vec::new();
    for shuffled in [false, true] {
        for tier in tiers(lab, capacity, shuffled)? {
            rows.push(row(lab, &tier, shuffled)?);
        }
    }
    Ok(rows)
}

fn tiers(lab: &Lab, capacity: u64, shuffled: bool) -> anyhow::Result<[Tier; 2]> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    // Nothing early: what is counted is whom the cache keeps.
    let plain = ["--prefetch-window", "0B", "--page-push", "0B"];
    let dir = lab.scratch(&format!("cache-epochs-{shuffled}"));
    let dir = dir.to_str().context("the scratch folder has an odd name")?;
    let (all, most) = (capacity.to_string(), (capacity / 16 * 15).to_string());
    let memory = (capacity / 16).max(2 << 20).to_string();
    let disk = ["--memory", &memory, "--cache-dir", dir, "--cache-size", &most, "--cache-reserve", "0B"];
    Ok([
        Tier { words: "memory", capacity, settings: words(&[&plain[..], &["--memory", &all]].concat()) },
        Tier { words: "disk", capacity, settings: words(&[&plain[..], &disk].concat()) },
    ])
}

fn row(lab: &Lab, tier: &Tier, shuffled: bool) -> anyhow::Result<Row> {
    let settings: Vec<&str> = tier.settings.iter().map(String::as_str).collect();
    let mount = lab.mount(BUCKET, &settings)?;
    let blocks = tier.capacity / BLOCK as u64;
    let span = blocks * 3 / 2;
    let mut order: Vec<u64> = (0..span).collect();
    let mut random = fastrand::Rng::with_seed(29);
    let slots = NonZeroUsize::new(blocks as usize).context("a cache has blocks")?;
    let mut lru = lru::LruCache::<u64, ()>::new(slots);
    let (mut fetched, mut lru_hits) = (0, 0);
    for epoch in 0..EPOCHS.0 + EPOCHS.1 {
        if shuffled {
            random.shuffle(&mut order);
        }
        lab.reset()?;
        read(&mount, &order)?;
        let hits = order.iter().filter(|block| lru.put(**block, ()).is_some()).count();
        if epoch >= EPOCHS.0 {
            fetched += lab.stats()?.bytes / BLOCK as u64;
            lru_hits += hits as u64;
        }
    }
    let reads = span * EPOCHS.1 as u64;
    let (ratio, plain) = (1.0 - fetched as f64 / reads as f64, lru_hits as f64 / reads as f64);
    let how = if shuffled { "shuffled" } else { "in order" };
    let what = format!("epochs {how} over 1.5 × the cache ({}): hit ratio", tier.words);
    Ok(Row::at_least(what, LEAST, ratio)
        .and("not below plain LRU", ratio >= plain)
        .measured(format!("{fetched} of {reads} blocks fetched again in {} epochs", EPOCHS.1))
        .beside(format!("plain LRU of as many blocks {plain:.2}; none can have more than 0.67")))
}

/// One reader, so that the order is what it says.
fn read(mount: &Mount, order: &[u64]) -> anyhow::Result<()> {
    let places = vec![order.iter().map(|block| block * BLOCK as u64).collect()];
    let done = read_checked(mount, objects::MEDIUM.0, How::Direct, Descriptors::Each, places, LIMIT)?;
    ensure!(done.reads == order.len() as u64 && done.wrong == 0, "{} of {} read right", done.reads, order.len());
    Ok(())
}
