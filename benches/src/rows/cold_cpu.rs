//! Processor time of the mount for one cold 4 KiB read, beside the least it could be: a bare client's GET and
//! a null file system's read, at the same concurrency, in turns. The memory tier is full when the clock starts,
//! so every read also makes room; the kernel's clearing of memory that is touched for the first time, which ends
//! with it, is not in the figure.

use std::path::Path;
use std::time::Duration;

use crate::lab::{Lab, Outstanding, PageCache, RandomRead, objects};
use crate::table::Row;

use super::{BUCKET, median};

const MOST: f64 = 2.5;

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let mount = lab.mount(BUCKET, &["--memory", "64MiB"])?;
    let null = lab.mount_null(objects::HOT.1)?;
    let (cold, nothing) = (mount.path(objects::COLD.0), Lab::null_path(&null));
    let time = lab.extent.pick(Duration::from_millis(1500), Duration::from_millis(300));
    let mut rows = Vec::new();
    fill(lab, &cold)?;
    for threads in [1, 16, 64] {
        let outstanding = Outstanding::Threads(threads);
        let read = |path| RandomRead { path, outstanding, page_cache: PageCache::Around, time, rate: None };
        let (mut mounts, mut raws, mut nulls, mut rate, mut raw_rate) = (vec![], vec![], vec![], 0.0, 0.0);
        for _ in 0..lab.extent.pick(3, 1) {
            let before = mount.cpu()?;
            let result = read(&cold).run(lab)?;
            mounts.push(micros(mount.cpu()? - before, result.reads));
            rate = result.rate;
            let raw = lab.raw(threads, time)?;
            raws.push(raw.cpu_us);
            raw_rate = raw.rate();
            let before = null.cpu()?;
            let result = read(&nothing).run(lab)?;
            nulls.push(micros(null.cpu()? - before, result.reads));
        }
        let (mount, raw, null) = (median(mounts), median(raws), median(nulls));
        let row = Row::at_most(format!("mount CPU a cold 4 KiB read, {threads} readers"), MOST, mount / (raw + null));
        rows.push(
            row.measured(format!("{mount:.1} µs a read at {rate:.0} reads/s"))
                .beside(format!("raw GET {raw:.1} µs at {raw_rate:.0}/s + null read {null:.1} µs")),
        );
    }
    Ok(rows)
}

/// Reads more than the memory tier holds.
fn fill(lab: &Lab, path: &Path) -> anyhow::Result<()> {
    let time = lab.extent.pick(Duration::from_secs(3), Duration::from_millis(300));
    RandomRead { path, outstanding: Outstanding::Threads(16), page_cache: PageCache::Around, time, rate: None }
        .run(lab)?;
    Ok(())
}

fn micros(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}
