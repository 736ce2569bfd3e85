//! What the memory tier answers, beside the null file system. Direct reads, so that the kernel's page cache
//! does not answer in its place.

use std::time::Duration;

use crate::lab::{Lab, Outstanding, PageCache, RandomRead, objects};
use crate::table::Row;

use super::{BUCKET, median, warm};

const LEAST: f64 = 0.9;

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let mount = lab.mount(BUCKET, &[])?;
    let null = lab.mount_null(objects::HOT.1)?;
    warm(&mount)?;
    let (hot, nothing) = (mount.path(objects::HOT.0), Lab::null_path(&null));
    let time = lab.extent.pick(Duration::from_millis(1500), Duration::from_millis(300));
    let mut rows = Vec::new();
    lab.reset()?;
    for jobs in [1, 4, 16] {
        let outstanding = Outstanding::Threads(jobs);
        let read = |path| RandomRead { path, outstanding, page_cache: PageCache::Around, time, rate: None };
        let (mut ours, mut theirs, mut ratios) = (vec![], vec![], vec![]);
        for _ in 0..lab.extent.pick(5, 1) {
            let (our, their) = (read(&hot).run(lab)?.rate, read(&nothing).run(lab)?.rate);
            ours.push(our);
            theirs.push(their);
            ratios.push(our / their);
        }
        rows.push(
            Row::at_least(format!("4 KiB hit in the memory tier, {jobs} jobs"), LEAST, median(ratios))
                .measured(format!("{:.0} reads/s", median(ours)))
                .beside(format!("null file system {:.0} reads/s", median(theirs))),
        );
    }
    let gets = lab.stats()?.gets;
    rows.push(Row::at_most("GETs while the memory tier answers", 0.0, gets as f64).measured(format!("{gets} GETs")));
    Ok(rows)
}
