//! Objects overwritten while they are read: a descriptor gives one version, or ESTALE, and nothing in between.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::client::control;
use crate::lab::{Lab, objects, within};
use crate::pattern;
use crate::readers::How;
use crate::table::Row;

use super::BUCKET;

/// Bytes of one read.
const PIECE: usize = 64 << 10;
/// Readers around the page cache, and as many through it.
const READERS: usize = 2;

/// What readers have met.
#[derive(Debug, Default)]
struct Met {
    /// Objects read from beginning to end.
    whole: AtomicU64,
    /// Pieces read.
    pieces: AtomicU64,
    /// Descriptors that ended with ESTALE, or opens that did.
    stale: AtomicU64,
    /// Pieces that are not of the version of their descriptor, or of none.
    mixed: AtomicU64,
    /// Failures of any other kind.
    failed: AtomicU64,
}

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let count = lab.extent.pick(10_000, 200);
    let mount = lab.mount(BUCKET, &["--metadata-ttl", "10ms"])?;
    let path = mount.path(objects::SMALL.0);
    let (met, generation, over) = (Met::default(), AtomicU64::new(0), AtomicBool::new(false));
    let limit = Duration::from_secs(240);
    within(limit, &[mount.abort_handle()], || {
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2 * READERS)
                .map(|lane| {
                    let how = if lane < READERS { How::Direct } else { How::Buffered };
                    let (path, met, generation, over) = (&path, &met, &generation, &over);
                    scope.spawn(move || read_until(path, how, met, generation, over))
                })
                .collect();
            let overwritten = overwrite(lab, count, &generation);
            over.store(true, Ordering::Relaxed);
            for reader in readers {
                reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
            overwritten
        })
    })?;
    lab.behave("")?;
    let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (whole, pieces, stale) = (get(&met.whole), get(&met.pieces), get(&met.stale));
    let (mixed, failed) = (get(&met.mixed), get(&met.failed));
    ensure!(whole > 0 && stale > 0, "{whole} objects read whole and {stale} interrupted: nothing was put to the test");
    Ok(vec![
        Row::at_most(format!("{count} overwrites of an object being read: mixed-version reads"), 0.0, mixed as f64)
            .and("no failure but ESTALE", failed == 0)
            .measured(format!(
                "{pieces} reads of 64 KiB by {} readers, half of them through the page cache; {whole} objects whole, {stale} \
                 descriptors ended by ESTALE; {mixed} mixed, {failed} failed otherwise",
                2 * READERS
            )),
    ])
}

/// Overwrites every object `count` times, about as often as one can be read.
fn overwrite(lab: &Lab, count: u64, generation: &AtomicU64) -> anyhow::Result<()> {
    let mut random = fastrand::Rng::with_seed(23);
    for next in 1..=count {
        // First told to the readers: bytes of a version nobody knows would count as mixed.
        generation.store(next, Ordering::SeqCst);
        control(lab.server(), &format!("/__set?generation={next}")).context("the load server does not overwrite")?;
        std::thread::sleep(Duration::from_micros(random.u64(200..5000)));
    }
    Ok(())
}

/// Opens the object and reads it piece by piece, again and again.
fn read_until(path: &Path, how: How, met: &Met, generation: &AtomicU64, over: &AtomicBool) {
    let mut room = vec![0; 2 * PIECE];
    let lead = room.as_ptr().align_offset(4096);
    let piece = &mut room[lead..lead + PIECE];
    let add = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
    while !over.load(Ordering::Relaxed) {
        match read_once(path, how, piece, met, generation) {
            Ok(()) => add(&met.whole),
            Err(error) if is_stale(&error, how) => add(&met.stale),
            Err(_) => add(&met.failed),
        };
    }
}

/// Through the page cache the kernel itself may turn a page it could not have into EIO.
fn is_stale(error: &io::Error, how: How) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    number == Some(Errno::STALE) || how == How::Buffered && number == Some(Errno::IO)
}

fn read_once(path: &Path, how: How, piece: &mut [u8], met: &Met, generation: &AtomicU64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true);
    if how == How::Direct {
        options.custom_flags(OFlags::DIRECT.bits() as i32);
    }
    let file: File = options.open(path)?;
    let mut version = None;
    for offset in (0..objects::SMALL.1).step_by(PIECE) {
        file.read_exact_at(piece, offset)?;
        met.pieces.fetch_add(1, Ordering::Relaxed);
        let now = generation.load(Ordering::SeqCst);
        let seed = *version.get_or_insert_with(|| seed_of(piece, now));
        if seed.is_none_or(|seed| pattern::first_difference(seed, offset, piece).is_some()) {
            met.mixed.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// The seed of the version that the object's first piece is of; none if it is of none so far.
fn seed_of(piece: &[u8], newest: u64) -> Option<u64> {
    let base = pattern::seed_of(BUCKET, objects::SMALL.0);
    let seeds = (0..=newest).rev().map(|generation| pattern::seed_in(base, generation));
    let mut seeds = seeds.filter(|seed| pattern::first_difference(*seed, 0, &piece[..8]).is_none());
    seeds.next()
}
