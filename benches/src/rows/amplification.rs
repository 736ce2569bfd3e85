//! What a random read of 4 KiB costs the store: one request, and no byte more than is delivered.

use std::time::Duration;

use crate::lab::{Lab, objects};
use crate::readers::{BLOCK, Descriptors, Done, How, distinct_places};
use crate::server::Stats;
use crate::table::Row;

use super::{BUCKET, read_checked, size_words};

const LIMIT: Duration = Duration::from_secs(30);

/// `pread`, direct and buffered, on three sizes of object, with no setting.
pub(super) fn random(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (how, word) in [(How::Direct, "direct"), (How::Buffered, "buffered")] {
        lab.behave("")?;
        let mount = lab.mount(BUCKET, &[])?;
        for (name, size) in [objects::SMALL, objects::MEDIUM, objects::HUGE] {
            let places = distinct_places(size, lab.extent.pick(4000, 100), 4, 11);
            lab.reset()?;
            let done = read_checked(&mount, name, how, Descriptors::Each, places, LIMIT)?;
            let what = format!("random 4 KiB, {word}, object of {}", size_words(size));
            rows.extend(judged(&what, &done, &lab.stats()?));
        }
    }
    Ok(rows)
}

/// Page faults at random, no `madvise`.
pub(super) fn mapped(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    lab.behave("")?;
    let mount = lab.mount(BUCKET, &[])?;
    for (name, size) in [objects::MEDIUM, objects::HUGE] {
        let places = distinct_places(size, lab.extent.pick(2000, 50), 2, 12);
        lab.reset()?;
        let done = read_checked(&mount, name, How::Mapped, Descriptors::Shared, places, LIMIT)?;
        rows.extend(judged(&format!("random page faults, object of {}", size_words(size)), &done, &lab.stats()?));
    }
    Ok(rows)
}

fn judged(what: &str, done: &Done, stats: &Stats) -> [Row; 2] {
    let delivered = done.reads as f64;
    let right = done.wrong == 0 && done.errors == 0;
    let gets = stats.gets as f64 / delivered;
    let bytes = stats.bytes as f64 / delivered / BLOCK as f64;
    let words = format!(
        "{} GETs, {} bytes for {} reads; {} wrong, {} failed{}",
        stats.gets,
        stats.bytes,
        done.reads,
        done.wrong,
        done.errors,
        done.first_error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default()
    );
    [
        Row::exactly(format!("{what}: GETs a read"), 1.0, gets).and("every byte right", right).measured(words.clone()),
        Row::exactly(format!("{what}: bytes fetched a byte"), 1.0, bytes).measured(words),
    ]
}
