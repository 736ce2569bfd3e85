//! A mount that is killed under load, again and again: what it had on disk is of use to the next.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::lab::{Lab, Mount, objects};
use crate::pattern;
use crate::readers::{BLOCK, Descriptors, Done, How, Work, distinct_places, run};
use crate::table::Row;

use super::{BUCKET, median, read_checked};

/// Time at most from the start of a process to its first right answer.
const READY_MOST: f64 = 5.0;
/// Share of the probe that must come from disk.
const REUSED: f64 = 0.9;
/// Blocks read after each start to see where they come from.
const PROBE: usize = 512;
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let dir = lab.scratch("cache-kills");
    let words = dir.to_str().context("the scratch folder has an odd name")?;
    let settings = ["--cache-dir", words, "--cache-size", "256MiB", "--cache-reserve", "0B", "--cache-admit", "always"];
    // Little memory, so that blocks are read from disk and written to it all the time.
    let settings = [&settings[..], &["--memory", "8MiB"]].concat();
    let size = lab.extent.pick(objects::HOT.1, 8 << 20);
    fill(lab, &settings, size)?;
    let mut random = fastrand::Rng::with_seed(17);
    let (mut wrong, mut reads, mut ready, mut reused) = (0, 0, vec![], vec![]);
    let rounds = lab.extent.pick(100, 3);
    for round in 0..rounds {
        let started = Instant::now();
        let mount = lab.mount(BUCKET, &settings)?;
        let first = probe(&mount, vec![vec![0]])?;
        ready.push(started.elapsed().as_secs_f64());
        lab.reset()?;
        let probed = probe(&mount, distinct_places(size, PROBE, 1, round))?;
        reused.push(1.0 - lab.stats()?.bytes as f64 / (probed.reads.max(1) * BLOCK as u64) as f64);
        let load = killed_under_load(&mount, size, round, Duration::from_millis(random.u64(50..400)))?;
        for done in [first, probed, load] {
            (reads, wrong) = (reads + done.reads, wrong + done.wrong);
        }
    }
    let slowest = ready.iter().copied().fold(0.0, f64::max);
    let least = reused.iter().copied().fold(1.0, f64::min);
    let what = format!("{rounds} times SIGKILL under load and mounted again");
    Ok(vec![
        Row::at_most(format!("{what}: wrong bytes"), 0.0, wrong as f64)
            .measured(format!("{reads} reads of 4 KiB, {wrong} wrong")),
        Row::at_least(format!("{what}: share of a probe that comes from the cache folder"), REUSED, median(reused))
            .measured(format!("{PROBE} blocks after each start; the least of all rounds {least:.2}")),
        Row::at_most(format!("{what}: seconds to the first right answer, the slowest"), READY_MOST, slowest)
            .measured(format!("{slowest:.2} s; half of them within {:.2} s", median(ready))),
    ])
}

/// Reads all of the object some times, with pauses for the writer, so that the folder has it.
fn fill(lab: &Lab, settings: &[&str], size: u64) -> anyhow::Result<()> {
    let mount = lab.mount(BUCKET, settings)?;
    for pass in 0..4 {
        lab.reset()?;
        let places = distinct_places(size, (size / BLOCK as u64) as usize, 2, pass);
        read_checked(&mount, objects::HOT.0, How::Direct, Descriptors::Each, places, LIMIT)?;
        std::thread::sleep(Duration::from_millis(300));
    }
    Ok(())
}

/// Reads `places`; each must be right and none may fail.
fn probe(mount: &Mount, places: Vec<Vec<u64>>) -> anyhow::Result<Done> {
    let done = read_checked(mount, objects::HOT.0, How::Direct, Descriptors::Each, places, LIMIT)?;
    anyhow::ensure!(done.errors == 0, "a mount that was just started failed a read: {:?}", done.first_error);
    Ok(done)
}

/// Kills the mount while four readers read it; what they had read until then.
fn killed_under_load(mount: &Mount, size: u64, seed: u64, after: Duration) -> anyhow::Result<Done> {
    let path = mount.path(objects::HOT.0);
    let places = distinct_places(size, (size / BLOCK as u64) as usize, 4, seed);
    let seed = Some(pattern::seed_of(BUCKET, objects::HOT.0));
    let work = Work { path: &path, how: How::Direct, descriptors: Descriptors::Each, places, seed, limit: LIMIT };
    std::thread::scope(|scope| {
        let load = scope.spawn(|| run(&work));
        std::thread::sleep(after);
        mount.kill()?;
        let done = load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(done?)
    })
}
