//! A slow tail, and second requests against it within their budget.

use std::time::Duration;

use anyhow::ensure;

use crate::lab::{Lab, objects};
use crate::readers::{Descriptors, Done, How, distinct_places};
use crate::table::Row;

use super::{BUCKET, median, read_checked};

/// Requests more than without, at most; the default of `--hedge-budget` where it is on.
const EXTRA_MOST: f64 = 0.02;
/// The time that 995 of 1000 reads do not exceed, of the same without.
const TAIL_MOST: f64 = 0.5;
/// One GET in a hundred takes 25 times as long as the others.
const STORE: &str = "latency=4ms&tail=1%25&tail-latency=100ms";
const READERS: usize = 8;
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let (mut extra, mut ratios, mut with, mut without) = (vec![], vec![], vec![], vec![]);
    for round in 0..lab.extent.pick(3, 1) {
        let (plain, plain_gets) = read(lab, "0%", round)?;
        let (hedged, hedged_gets) = read(lab, "2%", round)?;
        extra.push(hedged_gets as f64 / plain_gets as f64 - 1.0);
        ratios.push(tail_ms(&hedged) / tail_ms(&plain));
        with.push(tail_ms(&hedged));
        without.push(tail_ms(&plain));
    }
    let what = "1 GET in 100 slow, 8 cold readers, --hedge-budget 2%";
    Ok(vec![
        Row::at_most(format!("{what}: extra requests, share"), EXTRA_MOST, median(extra)),
        Row::at_most(format!("{what}: p99.5 of a read"), TAIL_MOST, median(ratios))
            .measured(format!("{:.1} ms", median(with)))
            .beside(format!("without {:.1} ms", median(without))),
    ])
}

/// Cold reads on a fresh mount, and the GETs they were.
fn read(lab: &Lab, budget: &str, round: u64) -> anyhow::Result<(Done, u64)> {
    lab.behave(&format!("{STORE}&seed={}", round + 1))?;
    let mount = lab.mount(BUCKET, &["--hedge-budget", budget])?;
    lab.reset()?;
    let places = distinct_places(objects::COLD.1, lab.extent.pick(12_000, 400), READERS, 50 + round);
    let done = read_checked(&mount, objects::COLD.0, How::Direct, Descriptors::Each, places, LIMIT)?;
    ensure!(done.wrong == 0 && done.errors == 0, "{} wrong, {:?}", done.wrong, done.first_error);
    Ok((done, lab.stats()?.gets))
}

fn tail_ms(done: &Done) -> f64 {
    let at = done.latencies.len() * 995 / 1000;
    done.latencies.get(at).map_or(f64::NAN, |micros| f64::from(*micros) / 1e3)
}
