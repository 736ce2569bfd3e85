//! The rows of the table: what must be shown, each measured beside its yardstick in the same run.

mod amplification;
mod cold_cpu;
mod damage;
mod descriptors;
mod disk_hits;
mod epochs;
mod faults;
mod hang;
mod hedge;
mod hits;
mod jobs;
mod kills;
mod memory_cap;
mod memory_limit;
mod outstanding;
mod overwrites;
mod plan;
mod reopen;
mod sequential;
mod small_files;
mod walk;
mod write;

use std::time::Duration;

use crate::lab::{InOrder, Lab, Mount, SequentialRead, objects, within};
use crate::pattern;
use crate::readers::{Descriptors, Done, How, Work, run};
use crate::table::Row;

/// The bucket of single objects.
const BUCKET: &str = "objects";

/// Rows that are measured together.
#[derive(Clone, Copy)]
pub struct Group {
    /// As `--only` takes it.
    pub name: &'static str,
    /// Measures them.
    pub measure: fn(&Lab) -> anyhow::Result<Vec<Row>>,
}

/// All of them, in the order in which they run.
pub const GROUPS: [Group; 26] = [
    Group { name: "random", measure: amplification::random },
    Group { name: "mmap", measure: amplification::mapped },
    Group { name: "cold-cpu", measure: cold_cpu::measure },
    Group { name: "outstanding", measure: outstanding::measure },
    Group { name: "hits", measure: hits::measure },
    Group { name: "disk-hits", measure: disk_hits::measure },
    Group { name: "reopen", measure: reopen::measure },
    Group { name: "descriptors", measure: descriptors::measure },
    Group { name: "sequential", measure: sequential::measure },
    Group { name: "plan", measure: plan::measure },
    Group { name: "jobs", measure: jobs::measure },
    Group { name: "find", measure: walk::measure },
    Group { name: "small-files", measure: small_files::measure },
    Group { name: "write", measure: write::in_order },
    Group { name: "write-change", measure: write::change },
    Group { name: "write-small", measure: write::small },
    Group { name: "write-memory", measure: write::at_once },
    Group { name: "memory", measure: memory_cap::measure },
    Group { name: "limit", measure: memory_limit::measure },
    Group { name: "epochs", measure: epochs::measure },
    Group { name: "damage", measure: damage::measure },
    Group { name: "kills", measure: kills::measure },
    Group { name: "overwrites", measure: overwrites::measure },
    Group { name: "faults", measure: faults::measure },
    Group { name: "hedge", measure: hedge::measure },
    Group { name: "hang", measure: hang::measure },
];

/// The names of all groups.
pub fn names() -> Vec<&'static str> {
    GROUPS.iter().map(|group| group.name).collect()
}

impl Group {
    /// Its rows, or one that says why there are none.
    pub fn rows(&self, lab: &Lab) -> Vec<Row> {
        let rows = (self.measure)(lab).unwrap_or_else(|error| vec![Row::failed(self.name, format!("{error:#}"))]);
        let named = rows.into_iter().map(|row| Row { group: self.name.to_owned(), ..row });
        named.collect()
    }
}

/// Reads `places` of an object through a mount, every byte checked, and no longer than `limit`.
fn read_checked(
    mount: &Mount,
    name: &str,
    how: How,
    descriptors: Descriptors,
    places: Vec<Vec<u64>>,
    limit: Duration,
) -> anyhow::Result<Done> {
    let path = mount.path(name);
    let seed = Some(pattern::seed_of(BUCKET, name));
    let work = Work { path: &path, how, descriptors, places, seed, limit };
    // Reads that hang are failed some time after the last one should have begun.
    Ok(within(limit + Duration::from_secs(40), &[mount.abort_handle()], || run(&work))?)
}

/// Reads the hot object whole, so that the memory tier holds it.
fn warm(mount: &Mount) -> anyhow::Result<()> {
    let (name, size) = objects::HOT;
    let blocks = size / crate::readers::BLOCK as u64;
    let places = (0..4).map(|lane| (lane * blocks / 4..(lane + 1) * blocks / 4).map(|block| block * 4096).collect());
    let limit = Duration::from_secs(60);
    let done = read_checked(mount, name, How::Direct, Descriptors::Each, places.collect(), limit)?;
    anyhow::ensure!(done.reads == blocks && done.wrong == 0, "warming read {} of {blocks} blocks right", done.reads);
    Ok(())
}

/// What the memory tier of a mount holds at most unless told.
const MEMORY: u64 = 512 << 20;

/// Reads something else, a little more than `memory`, so that the memory tier is full when the clock starts: the
/// kernel's clearing of pages that are touched for the first time ends with it, as it does in a mount's life.
fn fill(lab: &Lab, mount: &Mount, memory: u64) -> anyhow::Result<()> {
    let size = lab.extent.pick(memory + memory / 8, 16 << 20);
    SequentialRead { paths: vec![mount.path(objects::FILLER.0)], how: InOrder::Direct, size }.run(lab)?;
    Ok(())
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// `1 MiB`, `32 TiB`.
fn size_words(bytes: u64) -> String {
    let unit = (bytes.max(1).ilog2() / 10).min(4) as usize;
    format!("{} {}", bytes >> (10 * unit), ["B", "KiB", "MiB", "GiB", "TiB"][unit])
}
