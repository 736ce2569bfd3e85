//! Random reads in an order that is known: beside the memory tier's own speed and what a bare client can fetch.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::lab::{Lab, finish_raw, objects};
use crate::readers::{Descriptors, Done, How};
use crate::table::Row;

use super::{BUCKET, fill, median, read_checked, warm};

/// Of the lesser of memory's speed and the bare client's.
const LEAST: f64 = 0.8;
/// With a wrong plan, of the speed without one.
const NO_SLOWER: f64 = 0.95;
/// Bytes of a record.
const RECORD: u64 = 4096;
/// GETs outstanding of the bare client.
const OUTSTANDING: usize = 256;
/// Memory for a plan's window, and both as settings.
const MEMORY: u64 = 1536 << 20;
const WINDOW: [&str; 4] = ["--memory", "1536MiB", "--plan-window", "1GiB"];
/// No reading begins a read later than this.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    Ok(vec![right(lab)?, epoch(lab)?, wrong(lab)?].into_iter().flatten().collect())
}

/// A random order of `count` records of an object of `size` bytes.
fn order(size: u64, count: u64, seed: u64) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.u64(0..size / RECORD) * RECORD).collect()
}

fn write(lab: &Lab, file: &str, name: &str, places: &[u64]) -> anyhow::Result<PathBuf> {
    let mut text = "# rfuse plan v1\n".to_owned();
    for place in places {
        writeln!(text, "{name}\t{place}\t{RECORD}")?;
    }
    let path = lab.scratch(file);
    std::fs::write(&path, text)?;
    Ok(path)
}

/// One reader reads `places` of the object, at 10 ms; with a plan, if there is one.
fn read(lab: &Lab, plan: Option<&PathBuf>, name: &str, places: Vec<u64>) -> anyhow::Result<Done> {
    lab.behave("")?;
    let mount = lab.mount(BUCKET, &WINDOW)?;
    fill(lab, &mount, MEMORY)?;
    lab.behave("latency=10ms")?;
    if let Some(plan) = plan {
        lab.load_plan(&mount, plan)?;
    }
    let done = read_checked(&mount, name, How::Direct, Descriptors::Each, vec![places], LIMIT)?;
    anyhow::ensure!(done.wrong == 0 && done.errors == 0, "{} wrong, {} failed", done.wrong, done.errors);
    Ok(done)
}

/// What one reader gets from the memory tier, and what a bare client fetches beside him.
fn yardsticks(lab: &Lab) -> anyhow::Result<(f64, f64)> {
    lab.behave("")?;
    let mount = lab.mount(BUCKET, &[])?;
    warm(&mount)?;
    lab.behave("latency=10ms")?;
    let (name, size) = objects::HOT;
    let time = lab.extent.pick(Duration::from_secs(2), Duration::from_millis(400));
    let hits = |count| read_checked(&mount, name, How::Direct, Descriptors::Each, vec![order(size, count, 9)], LIMIT);
    let alone = hits(lab.extent.pick(60_000, 2000))?.rate();
    let mut raw = lab.start_raw(OUTSTANDING, time)?;
    hits((alone * time.as_secs_f64()) as u64)?;
    Ok((alone, finish_raw(&mut raw, time)?.rate()))
}

/// A right plan over an object too large for any memory.
fn right(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let (name, size) = objects::COLD;
    let (mut ratios, mut rates, mut beside) = (vec![], vec![], (0.0, 0.0));
    let mut gets = 0.0;
    for round in 0..lab.extent.pick(3, 1) {
        beside = yardsticks(lab)?;
        let places = order(size, lab.extent.pick(60_000, 1500), round);
        let plan = write(lab, "right.plan", name, &places)?;
        let count = places.len();
        let rate = read(lab, Some(&plan), name, places)?.rate();
        gets = lab.stats()?.bytes as f64 / (count as u64 * RECORD) as f64;
        ratios.push(rate / beside.0.min(beside.1));
        rates.push(rate);
    }
    let (memory, raw) = beside;
    Ok(vec![
        Row::at_least("random 4 KiB at 10 ms with a right plan, one reader", LEAST, median(ratios))
            .measured(format!("{:.0} reads/s, {gets:.2} bytes fetched a byte", median(rates)))
            .beside(format!(
                "memory hits {memory:.0}/s; {OUTSTANDING} bare GETs beside them {raw:.0}/s; the lesser counts"
            )),
    ])
}

/// A shuffled epoch over all of an object.
fn epoch(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let (name, size) = objects::LOGS[0];
    let records = lab.extent.pick(size / RECORD, 2000);
    let mut places: Vec<u64> = (0..records).map(|record| record * RECORD).collect();
    fastrand::Rng::with_seed(5).shuffle(&mut places);
    let plan = write(lab, "epoch.plan", name, &places)?;
    let (mut ratios, mut rates, mut fetched, mut memory) = (vec![], vec![], 0, 0.0);
    for _ in 0..lab.extent.pick(3, 1) {
        memory = yardsticks(lab)?.0;
        let rate = read(lab, Some(&plan), name, places.clone())?.rate();
        fetched = lab.stats()?.bytes;
        ratios.push(rate / memory);
        rates.push(rate);
    }
    Ok(vec![
        Row::at_least("shuffled epoch over a file at 10 ms with its plan, one reader", LEAST, median(ratios))
            .measured(format!("{:.0} reads/s", median(rates)))
            .beside(format!("memory hits {memory:.0}/s")),
        Row::exactly("the same: bytes fetched a byte", 1.0, fetched as f64 / (records * RECORD) as f64),
    ])
}

/// The plan of another run.
fn wrong(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let (name, size) = objects::COLD;
    let plan = write(lab, "wrong.plan", name, &order(size, 60_000, 100))?;
    let (mut ratios, mut with, mut without) = (vec![], vec![], vec![]);
    for round in 0..lab.extent.pick(3, 1) {
        let places = order(size, lab.extent.pick(300, 50), 200 + round);
        let plain = read(lab, None, name, places.clone())?.rate();
        let planned = read(lab, Some(&plan), name, places)?.rate();
        ratios.push(planned / plain);
        with.push(planned);
        without.push(plain);
    }
    Ok(vec![
        Row::at_least("random 4 KiB at 10 ms with the plan of another run", NO_SLOWER, median(ratios))
            .measured(format!("{:.1} reads/s", median(with)))
            .beside(format!("without a plan {:.1}/s", median(without))),
    ])
}
