//! Many small files, opened, read and closed by many readers.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::lab::{Lab, within};
use crate::pattern;
use crate::table::Row;

const READERS: usize = 16;
const SIZE: usize = 100 << 10;
const FILES_A_SECOND: f64 = 1200.0;
/// The folder's listing, however many pages it has.
const LISTS_MOST: u64 = 3;

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("latency=10ms")?;
    let mount = lab.mount("files", &[])?;
    lab.reset()?;
    let limit = Duration::from_secs(60);
    let (paths, seconds) = within(limit, &[mount.abort_handle()], || -> anyhow::Result<_> {
        let started = Instant::now();
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(mount.dir())? {
            paths.push(entry?.path());
        }
        // Names come in order, but no loader reads in it.
        fastrand::Rng::with_seed(5).shuffle(&mut paths);
        read_all(&paths, |_, bytes| ensure_length(bytes))?;
        Ok((paths, started.elapsed().as_secs_f64()))
    })?;
    let stats = lab.stats()?;
    let count = lab.extent.pick(2000, 50);
    ensure!(paths.len() == count, "the folder holds {} names, not {count}", paths.len());
    // Every byte is checked, but not while the clock runs.
    within(limit, &[mount.abort_handle()], || read_all(&paths, check))?;
    let rate = count as f64 / seconds;
    let words = format!("{} GETs, {} HEADs, {} lists in {seconds:.2} s", stats.gets, stats.heads, stats.lists);
    let what = format!("{count} files of 100 KiB, {READERS} readers, 10 ms");
    Ok(vec![
        Row::exactly(format!("{what}: requests a file"), 1.0, (stats.requests() - stats.lists) as f64 / count as f64)
            .and("≤ 3 lists", stats.lists <= LISTS_MOST)
            .measured(words.clone()),
        Row::at_least(format!("{what}: files/s"), FILES_A_SECOND, rate)
            .measured(words)
            .beside("limit 16 ÷ 10 ms = 1,600; rclone and geesefs 870, blobfuse2 75 (another day)"),
    ])
}

fn ensure_length(bytes: &[u8]) -> anyhow::Result<()> {
    ensure!(bytes.len() == SIZE, "a file gave {} bytes, not {SIZE}", bytes.len());
    Ok(())
}

fn check(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    ensure_length(bytes)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let wrong = pattern::first_difference(pattern::seed_of("files", &name), 0, bytes);
    ensure!(wrong.is_none(), "{name} has a wrong byte at {wrong:?}");
    Ok(())
}

/// Opens, reads and closes each file once, by sixteen readers.
fn read_all(paths: &[PathBuf], judge: impl Fn(&Path, &[u8]) -> anyhow::Result<()> + Sync) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let reader = || -> anyhow::Result<()> {
            let mut bytes = vec![0; SIZE + 1];
            while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut file = File::open(path)?;
                let mut length = 0;
                loop {
                    match file.read(&mut bytes[length..])? {
                        0 => break,
                        more => length += more,
                    }
                }
                judge(path, &bytes[..length])?;
            }
            Ok(())
        };
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(reader)).collect();
        for reader in readers {
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(())
    })
}
