//! Sixteen threads on one descriptor, beside sixteen on their own: loaders share one.

use std::time::Duration;

use crate::lab::{Lab, objects};
use crate::readers::{BLOCK, Descriptors, How, distinct_places};
use crate::table::Row;

use super::{BUCKET, median, read_checked, warm};

const THREADS: usize = 16;
/// "As fast as", as far as two runs of the same work are alike.
const LEAST: f64 = 0.95;
const LIMIT: Duration = Duration::from_secs(30);

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let mount = lab.mount(BUCKET, &[])?;
    warm(&mount)?;
    let mut rows = Vec::new();
    let (hot, size) = objects::HOT;
    let hits = lab.extent.pick(8, 1);
    let places = |seed| -> Vec<Vec<u64>> {
        let once = distinct_places(size, (size / BLOCK as u64) as usize, THREADS, seed);
        once.into_iter().map(|list| list.repeat(hits)).collect()
    };
    rows.push(row("hits", lab, |descriptors, round| {
        Ok(read_checked(&mount, hot, How::Direct, descriptors, places(round), LIMIT)?.rate())
    })?);
    lab.behave("latency=10ms")?;
    let (cold, size) = objects::COLD;
    let count = lab.extent.pick(2400, 160);
    rows.push(row("cold, 10 ms", lab, |descriptors, round| {
        let seed = 2 * round + u64::from(descriptors == Descriptors::Each);
        let places = distinct_places(size, count, THREADS, 1000 + seed);
        Ok(read_checked(&mount, cold, How::Direct, descriptors, places, LIMIT)?.rate())
    })?);
    Ok(rows)
}

fn row(words: &str, lab: &Lab, rate: impl Fn(Descriptors, u64) -> anyhow::Result<f64>) -> anyhow::Result<Row> {
    let (mut shared, mut each, mut ratios) = (vec![], vec![], vec![]);
    for round in 0..lab.extent.pick(3, 1) {
        let (one, many) = (rate(Descriptors::Shared, round)?, rate(Descriptors::Each, round)?);
        shared.push(one);
        each.push(many);
        ratios.push(one / many);
    }
    Ok(Row::at_least(format!("{THREADS} threads on one descriptor, {words}"), LEAST, median(ratios))
        .measured(format!("{:.0} reads/s", median(shared)))
        .beside(format!("on {THREADS} descriptors {:.0} reads/s", median(each))))
}
