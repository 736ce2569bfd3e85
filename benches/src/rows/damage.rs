//! Somebody's hand in the cache folder: bits flipped and files cut while a mount reads from them.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::lab::{Lab, objects};
use crate::readers::{BLOCK, Descriptors, How};
use crate::table::Row;

use super::{BUCKET, read_checked};

/// Bytes of the object that are read again and again: dense enough that most of what is damaged is read.
const SPAN: u64 = 16 << 20;
/// Damages between two readings.
const AT_ONCE: usize = 20;
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let dir = lab.scratch("cache-damage");
    let words = dir.to_str().context("the scratch folder has an odd name")?;
    let settings = ["--cache-dir", words, "--cache-size", "64MiB", "--cache-reserve", "0B", "--cache-admit", "always"];
    let settings = [&settings[..], &["--memory", "4MiB"]].concat();
    let mut random = fastrand::Rng::with_seed(41);
    let (mut wrong, mut failed, mut reads, mut noticed, mut hits) = (0, 0, 0, 0, 0);
    let rounds = lab.extent.pick(50, 3);
    let mut mount = lab.mount(BUCKET, &settings)?;
    for round in 0..=rounds {
        let places = lanes(SPAN);
        let done = read_checked(&mount, objects::HOT.0, How::Direct, Descriptors::Each, places, LIMIT)?;
        (reads, wrong, failed) = (reads + done.reads, wrong + done.wrong, failed + done.errors);
        if round < rounds {
            (0..AT_ONCE).try_for_each(|_| damage(&dir.join("blocks"), &mut random))?;
        }
        // Every other time what is damaged is met by a mount that has to find its way in the folder again.
        if round % 2 == 1 || round == rounds {
            let disk = lab.statistics(&mount)?["cache"]["disk"].clone();
            let count = |what: &str| disk[what].as_u64().with_context(|| format!("the mount does not count {what}"));
            (noticed, hits) = (noticed + count("corrupt")?, hits + count("hits")?);
            drop(mount);
            mount = lab.mount(BUCKET, &settings)?;
        }
    }
    ensure!(hits > 0, "nothing was read from the folder at all");
    let count = rounds * AT_ONCE;
    Ok(vec![
        Row::at_most(
            format!("{count} random bit flips and truncations of cache files: wrong bytes"),
            0.0,
            wrong as f64,
        )
        .and("no read fails", failed == 0)
        .and("some are noticed", noticed > 0)
        .measured(format!(
            "{reads} reads of 4 KiB, {hits} blocks from the folder, those fetched ahead too; {wrong} wrong, {failed} failed; {noticed} damaged blocks met"
        )),
    ])
}

/// Every block of the first `span` bytes, by four readers.
fn lanes(span: u64) -> Vec<Vec<u64>> {
    let blocks = span / BLOCK as u64;
    (0..4)
        .map(|lane| (lane * blocks / 4..(lane + 1) * blocks / 4).map(|block| block * BLOCK as u64).collect())
        .collect()
}

/// Flips a bit, or one time in twenty cuts the end off, somewhere in the segments and their indexes.
fn damage(dir: &Path, random: &mut fastrand::Rng) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let is_cache = |path: &PathBuf| path.extension().is_some_and(|end| end == "blocks" || end == "index");
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_cache).collect();
    files.sort();
    let path = random.choice(&files).context("there is nothing to damage")?;
    // The owner may remove it at any moment; then there is nothing to damage there.
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else { return Ok(()) };
    let length = file.metadata()?.len();
    if random.u8(0..20) == 0 {
        file.set_len(random.u64(0..=length))?;
    } else if length > 0 {
        let at = random.u64(0..length);
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        byte[0] ^= 1 << random.u32(0..8);
        file.write_all_at(&byte, at)?;
    }
    Ok(())
}
