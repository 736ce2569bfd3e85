//! What the disk tier answers, beside a null file system that reads the cache's own file. Direct reads on both
//! sides of the mount, so that no page cache answers in its place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::lab::{Lab, Mount, Outstanding, PageCache, RandomRead, objects};
use crate::readers::{BLOCK, Descriptors, How};
use crate::table::Row;

use super::{BUCKET, median, read_checked};

const LEAST: f64 = 0.8;
/// Threads of the null file system: as many as reads at once, for each waits for the disk where it stands.
const THREADS: usize = 16;
/// Passes over the object at most until it is on disk.
const PASSES: usize = 8;

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let (name, size) = lab.extent.pick(objects::MEDIUM, objects::HOT);
    let dir = lab.scratch("cache");
    let dir_words = dir.to_str().context("the scratch folder has an odd name")?;
    // A segment is a 32nd of it, and one must be full.
    let cache_size = lab.extent.pick("10GiB", "512MiB");
    let settings = ["--cache-dir", dir_words, "--cache-admit", "always", "--cache-size", cache_size];
    fill(lab, &[&settings[..], &["--memory", "256MiB"]].concat(), name, size)?;
    // So little memory that next to nothing is answered from it.
    let mount = lab.mount(BUCKET, &[&settings[..], &["--memory", "4MiB"]].concat())?;
    let null = lab.mount_null_over(&segment(&dir)?, THREADS)?;
    let (ours, theirs) = (mount.path(name), Lab::null_path(&null));
    let time = lab.extent.pick(Duration::from_millis(2000), Duration::from_millis(300));
    let mut rows = Vec::new();
    let mut rates = Vec::new();
    lab.reset()?;
    for jobs in [1, 4, 16] {
        let outstanding = Outstanding::Threads(jobs);
        let read = |path| RandomRead { path, outstanding, page_cache: PageCache::Around, time, rate: None };
        let (mut our, mut their, mut ratios) = (vec![], vec![], vec![]);
        for _ in 0..lab.extent.pick(5, 1) {
            let (a, b) = (read(&ours).run(lab)?.rate, read(&theirs).run(lab)?.rate);
            our.push(a);
            their.push(b);
            ratios.push(a / b);
        }
        let (our, their) = (median(our), median(their));
        rates.push((our, their));
        rows.push(
            Row::at_least(format!("4 KiB hit in the disk tier, {jobs} jobs"), LEAST, median(ratios))
                .measured(format!("{our:.0} reads/s"))
                .beside(format!("null file system over the cache file {their:.0} reads/s")),
        );
    }
    if let (Some(one), Some(many)) = (rates.first(), rates.last()) {
        let (our, their) = (many.0 / one.0, many.1 / one.1);
        rows.push(
            Row::at_least("disk tier, 16 jobs over 1 job", LEAST, our / their)
                .measured(format!("{our:.1} times"))
                .beside(format!("null file system over the cache file {their:.1} times")),
        );
    }
    let gets = lab.stats()?.gets;
    rows.push(Row::at_most("GETs while the disk tier answers", 0.0, gets as f64).measured(format!("{gets} GETs")));
    Ok(rows)
}

/// Reads the object until a pass by a mount that has nothing in memory costs no GET.
fn fill(lab: &Lab, settings: &[&str], name: &str, size: u64) -> anyhow::Result<()> {
    for _ in 0..PASSES {
        let mount = lab.mount(BUCKET, settings)?;
        lab.reset()?;
        pass(&mount, name, size)?;
        // The writer has the last ones in hand.
        std::thread::sleep(Duration::from_millis(500));
        if lab.stats()?.gets == 0 {
            return Ok(());
        }
    }
    bail!("after {PASSES} passes the disk tier still lacks blocks")
}

/// Reads the object once, slowly enough for the disk: four readers, a block at a time.
fn pass(mount: &Mount, name: &str, size: u64) -> anyhow::Result<()> {
    let blocks = size / BLOCK as u64;
    let places = (0..4).map(|lane| (lane * blocks / 4..(lane + 1) * blocks / 4).map(|block| block * 4096).collect());
    let limit = Duration::from_secs(120);
    let done = read_checked(mount, name, How::Direct, Descriptors::Each, places.collect(), limit)?;
    ensure!(done.reads == blocks && done.wrong == 0, "filling read {} of {blocks} blocks right", done.reads);
    Ok(())
}

/// A finished segment: the cache's own file, full of blocks. Of one that is not full the rest would be answered
/// without the disk.
fn segment(dir: &Path) -> anyhow::Result<PathBuf> {
    let entries = std::fs::read_dir(dir.join("blocks"))?.collect::<Result<Vec<_>, _>>()?;
    let finished = entries.into_iter().map(|entry| entry.path());
    let mut finished = finished.filter(|path| path.extension().is_some_and(|extension| extension == "index"));
    let index = finished.next().context("there is no finished segment in the cache folder")?;
    Ok(index.with_extension("blocks"))
}
