//! `find` over a tree of many directories, on a fresh mount.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::lab::{Lab, Process};
use crate::table::Row;

const REQUESTS_MOST: f64 = 12.0;
const SECONDS_MOST: f64 = 0.7;

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("latency=10ms")?;
    let mount = lab.mount("tree", &[])?;
    let mounting = lab.stats()?.requests();
    lab.reset()?;
    let started = Instant::now();
    let log = lab.scratch("find.log");
    let mut find = Process::start(Command::new("find").arg(mount.dir()), &log)?;
    let output = find.finish(Duration::from_secs(60))?;
    let seconds = started.elapsed().as_secs_f64();
    let stats = lab.stats()?;
    let (files, directories) = lab.extent.pick((5000, 1111), (100, 111));
    let found = output.lines().count();
    ensure!(found == files + directories, "find gave {found} names, not {}", files + directories);
    let words = format!("{} lists, {} HEADs, {} GETs in {seconds:.2} s", stats.lists, stats.heads, stats.gets);
    let what = format!("find over {files} files in {directories} directories, 10 ms, fresh mount");
    Ok(vec![
        Row::at_most(format!("{what}: requests"), REQUESTS_MOST, (mounting + stats.requests()) as f64)
            .measured(format!("{words}; and {mounting} by mounting"))
            .beside("geesefs 12 (another day)"),
        Row::at_most(format!("{what}: seconds"), SECONDS_MOST, seconds)
            .measured(words)
            .beside("geesefs 1.39, all others 14 (another day)"),
    ])
}
