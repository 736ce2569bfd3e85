//! A container with little memory: the kernel kills nothing, whatever is read.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::lab::{
    InOrder, Lab, MemoryGroup, Mount, Outstanding, PageCache, Process, RandomRead, SequentialRead, objects,
};
use crate::readers::{Descriptors, How, distinct_places};
use crate::table::Row;

use super::{BUCKET, read_checked};

/// What the container has.
const LIMIT: u64 = 256 << 20;
/// What the cache is given of it.
const CAP: &str = "128MiB";
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let what = "limit of 256 MiB for the mount, cap 128 MiB: kills for want of memory";
    let group = match MemoryGroup::new(LIMIT) {
        Ok(group) => group,
        Err(why) => return Ok(vec![Row::skipped(what, format!("{why:#}"))]),
    };
    let mut words = String::new();
    let mut failed = Vec::new();
    for (name, load) in LOADS {
        lab.behave("")?;
        if let Err(why) = load(lab, &group) {
            failed.push(format!("{name}: {why:#}"));
        }
        let _ = write!(words, "{}{name}", if words.is_empty() { "" } else { ", " });
    }
    let kills = group.kills()?;
    let peak = group.peak().map_or_else(|| "not told".to_owned(), |peak| format!("{} MiB", peak >> 20));
    Ok(vec![Row::at_most(what, 0.0, kills as f64).and("every load ends well", failed.is_empty()).measured(format!(
        "{words}: {kills} kills, peak {peak} with the pages of the cache folder. {}",
        failed.join("; ")
    ))])
}

type Measure = fn(&Lab, &MemoryGroup) -> anyhow::Result<()>;

/// What the other rows do, one after the other.
const LOADS: [(&str, Measure); 7] = [
    ("random", random),
    ("256 outstanding", outstanding),
    ("in order", in_order),
    ("in order beside random", together),
    ("plan", plan),
    ("cache folder", folder),
    ("find", find),
];

fn mount(lab: &Lab, group: &MemoryGroup, more: &[&str]) -> anyhow::Result<Mount> {
    lab.mount_in(group, BUCKET, &[&["--memory", CAP][..], more].concat())
}

fn random(lab: &Lab, group: &MemoryGroup) -> anyhow::Result<()> {
    let mount = mount(lab, group, &[])?;
    let (name, size) = objects::HUGE;
    for (how, seed) in [(How::Direct, 31), (How::Mapped, 32)] {
        let count = lab.extent.pick(150_000, 2000);
        // A mapping of 32 TiB is more than the machine maps beside others.
        let (name, size) = if how == How::Mapped { objects::MEDIUM } else { (name, size) };
        let done =
            read_checked(&mount, name, how, Descriptors::Each, distinct_places(size, count, 16, seed), PATIENCE)?;
        ensure!(done.wrong == 0 && done.errors == 0, "{} wrong, {:?}", done.wrong, done.first_error);
    }
    Ok(())
}

fn outstanding(lab: &Lab, group: &MemoryGroup) -> anyhow::Result<()> {
    lab.behave("latency=10ms")?;
    let mount = mount(lab, group, &[])?;
    let path = mount.path(objects::COLD.0);
    let time = lab.extent.pick(Duration::from_secs(5), Duration::from_millis(400));
    let outstanding = Outstanding::Asynchronous(256);
    RandomRead { path: &path, outstanding, page_cache: PageCache::Around, time, rate: None }.run(lab).map(drop)
}

/// Four logs at once, around the page cache and through it.
fn in_order(lab: &Lab, group: &MemoryGroup) -> anyhow::Result<()> {
    let size = lab.extent.pick(512 << 20, 32 << 20);
    for how in [InOrder::Direct, InOrder::Large, InOrder::Small] {
        let mount = mount(lab, group, &[])?;
        let paths = objects::LOGS.iter().map(|(name, _)| mount.path(name)).collect();
        SequentialRead { paths, how, size }.run(lab)?;
    }
    Ok(())
}

fn together(lab: &Lab, group: &MemoryGroup) -> anyhow::Result<()> {
    lab.behave("latency=10ms")?;
    let mount = mount(lab, group, &[])?;
    let size = lab.extent.pick(objects::LONG_LOG.1, 64 << 20);
    let log = SequentialRead { paths: vec![mount.path(objects::LONG_LOG.0)], how: InOrder::Direct, size };
    let mut streaming = log.start(lab)?;
    let cold = mount.path(objects::COLD.0);
    let time = lab.extent.pick(Duration::from_secs(2), Duration::from_millis(300));
    let outstanding = Outstanding::Threads(8);
    RandomRead { path: &cold, outstanding, page_cache: PageCache::Around, time, rate: None }.run(lab)?;
    log.finish(&mut streaming).map(drop)
}

/// A plan with more in its window than the container has.
fn plan(lab: &Lab, group: &MemoryGroup) -> anyhow::Result<()> {
    let (name, size) = objects::COLD;
    let places = distinct_places(size, lab.extent.pick(60_000, 1500), 1, 37);
    let mut text = "# rfuse plan v1\n".to_owned();
    for place in &places[0] {
        writeln!(text, "{name}\t{place}\t4096")?;
    }
    let file = lab.scratch("limit.plan");
    std::fs::write(&file, text)?;
    let file = file.to_str().context("the scratch folder has an odd name")?;
    lab.behave("latency=10ms")?;
    let mount = mount(lab, group, &["--plan", file, "--plan-window", "1GiB"])?;
    let done = read_checked(&mount, name, How::Direct, Descriptors::Each, places, PATIENCE)?;
    ensure!(done.wrong == 0 && done.errors == 0, "{} wrong, {:?}", done.wrong, done.first_error);
    Ok(())
}

fn folder(lab: &Lab, group: &MemoryGroup) -> anyhow::Result<()> {
    let dir = lab.scratch("cache-limit");
    let dir = dir.to_str().context("the scratch folder has an odd name")?;
    let settings = ["--cache-dir", dir, "--cache-admit", "always", "--cache-size", "1GiB", "--cache-reserve", "0B"];
    let (name, size) = objects::MEDIUM;
    let count = lab.extent.pick(150_000, 2000);
    for _ in 0..2 {
        let mount = mount(lab, group, &settings)?;
        let places = distinct_places(size, count, 8, 43);
        let done = read_checked(&mount, name, How::Direct, Descriptors::Each, places, PATIENCE)?;
        ensure!(done.wrong == 0 && done.errors == 0, "{} wrong, {:?}", done.wrong, done.first_error);
    }
    Ok(())
}

fn find(lab: &Lab, group: &MemoryGroup) -> anyhow::Result<()> {
    let mount = lab.mount_in(group, "tree", &["--memory", CAP])?;
    let mut find = Process::start(Command::new("find").arg(mount.dir()), &lab.scratch("find-limit.log"))?;
    find.finish(PATIENCE).map(drop)
}
