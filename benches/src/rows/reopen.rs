//! An unchanged file opened again: nothing is asked of the store, and what the page cache holds is as fast as
//! in tmpfs.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;

use crate::lab::{Lab, Outstanding, PageCache, RandomRead, objects};
use crate::table::Row;

use super::{BUCKET, median};

const LEAST: f64 = 0.95;

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let mount = lab.mount(BUCKET, &[])?;
    let (name, size) = objects::HOT;
    let hot = mount.path(name);
    ensure!(read_whole(&hot)? == size, "the first reading did not give the whole file");
    lab.reset()?;
    ensure!(read_whole(&hot)? == size, "the second reading did not give the whole file");
    let stats = lab.stats()?;
    let mut rows = vec![
        Row::at_most("reopen of an unchanged file: requests", 0.0, stats.requests() as f64)
            .measured(format!("{} GETs, {} HEADs, {} lists", stats.gets, stats.heads, stats.lists)),
    ];
    let tmpfs = tempfile::Builder::new().prefix("rfuse-bench-").tempdir_in("/dev/shm")?;
    let copy = tmpfs.path().join(name);
    std::fs::copy(&hot, &copy)?;
    let time = lab.extent.pick(Duration::from_millis(1200), Duration::from_millis(300));
    for jobs in [1, 2] {
        let outstanding = Outstanding::Threads(jobs);
        let read = |path| RandomRead { path, outstanding, page_cache: PageCache::Through, time, rate: None };
        let (mut ours, mut theirs, mut ratios) = (vec![], vec![], vec![]);
        for _ in 0..lab.extent.pick(5, 1) {
            let (our, their) = (read(&hot).run(lab)?.rate, read(&copy).run(lab)?.rate);
            ours.push(our);
            theirs.push(their);
            ratios.push(our / their);
        }
        rows.push(
            Row::at_least(format!("page-cache hit after reopening, {jobs} jobs"), LEAST, median(ratios))
                .measured(format!("{:.0} reads/s", median(ours)))
                .beside(format!("tmpfs {:.0} reads/s", median(theirs))),
        );
    }
    Ok(rows)
}

fn read_whole(path: &Path) -> std::io::Result<u64> {
    let mut file = File::open(path)?;
    let mut room = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match file.read(&mut room)? {
            0 => return Ok(total),
            length => total += length as u64,
        }
    }
}
