//! The cap on memory holds, however many different blocks are read.

use std::time::Duration;

use crate::lab::{Lab, objects};
use crate::readers::{Descriptors, How, distinct_places};
use crate::table::Row;

use super::{BUCKET, read_checked, size_words};

/// What the mount is given.
const CAP: u64 = 256 << 20;
/// What it may use besides: the program itself, its stacks and buffers.
const BESIDES: u64 = 64 << 20;
/// No read begins later.
const LIMIT: Duration = Duration::from_secs(150);

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let mount = lab.mount(BUCKET, &["--memory", "256MiB"])?;
    let (name, size) = objects::HUGE;
    let blocks = lab.extent.pick(1_000_000, 2_000);
    let places = distinct_places(size, blocks, 16, 13);
    let done = read_checked(&mount, name, How::Direct, Descriptors::Each, places, LIMIT)?;
    let peak = mount.peak_memory()?;
    let words = format!(
        "peak {} MiB after {} of {blocks} blocks, {:.0} reads/s, p99 {} µs; {} wrong, {} failed",
        peak >> 20,
        done.reads,
        done.rate(),
        done.p99_us(),
        done.wrong,
        done.errors
    );
    let what = format!("object of {}, {blocks} distinct blocks: memory ÷ (cap + 64 MiB)", size_words(size));
    Ok(vec![
        Row::at_most(what, 1.0, peak as f64 / (CAP + BESIDES) as f64)
            .and("all read", done.reads == blocks as u64)
            .and("every byte right", done.wrong == 0)
            .measured(words)
            .beside(format!("cap {} MiB + 64", CAP >> 20)),
    ])
}
