//! Writing: in order beside a plain client that uploads the same parts, a change inside a large object, many small
//! files, and memory while many files are written at once. The server judges whether every byte arrived.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::client::ask;
use crate::lab::{Lab, Mount, objects, within};
use crate::pattern;
use crate::table::Row;

use super::median;

/// Of the plain client's bytes a second.
const OF_PLAIN: f64 = 0.85;
/// Of the plain client's processor time.
const CPU_MOST: f64 = 1.3;
/// Parts under way of the plain client: as many as fit the mount's default `upload-memory`.
const OUTSTANDING: usize = 16;
/// The default `part-size`.
const PART: u64 = 8 << 20;
/// Writers of small files, and of their limit.
const WRITERS: usize = 8;
const OF_LIMIT: f64 = 0.8;
/// Files that are written at once, and what the mount may use for all of them.
const AT_ONCE: usize = 64;
const BUDGET: u64 = (256 + 128) << 20;
/// The program itself, its stacks and buffers.
const BESIDES: u64 = 64 << 20;
/// Bytes of one write.
const CHUNK: usize = 1 << 20;

/// One file written whole, in turns with the plain client, both out of a file in the page cache.
pub(super) fn in_order(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let (size, name) = (lab.extent.pick(1 << 30, 64 << 20), "in-order");
    let source = lab.scratch("source");
    generate(&source, name, size)?;
    let mut rows = Vec::new();
    for (words, behaviour) in [("0 ms", ""), ("10 ms", "latency=10ms")] {
        lab.behave(behaviour)?;
        let (mut rates, mut cpus, mut speeds, mut plains, mut costs) = (vec![], vec![], vec![], vec![], vec![]);
        let mut is_intact = true;
        for _ in 0..lab.extent.pick(5, 1) {
            let mount = mount(lab, &[])?;
            let before = mount.cpu()?;
            let seconds =
                within(Duration::from_secs(60), &[mount.abort_handle()], || copy(&source, &mount.path(name)))?;
            let cpu = (mount.cpu()? - before).as_secs_f64();
            drop(mount);
            is_intact &= take_away(lab, name, size)?;
            let plain = lab.upload(&source, &format!("{}/{name}", objects::WRITTEN), PART, OUTSTANDING)?;
            ensure!(take_away(lab, name, size)?, "the plain client sent other bytes");
            rates.push(plain.seconds / seconds);
            cpus.push(cpu / plain.cpu_seconds);
            speeds.push(size as f64 / seconds);
            plains.push(size as f64 / plain.seconds);
            costs.push(cpu * f64::from(1 << 30) / size as f64);
        }
        let what = format!("{} MiB in order, fsync, close, {words}", size >> 20);
        let beside = format!("plain client, {OUTSTANDING} parts of 8 MiB under way: {:.2} GB/s", median(plains) / 1e9);
        rows.push(
            Row::at_least(format!("{what}: bytes a second"), OF_PLAIN, median(rates))
                .and("intact", is_intact)
                .measured(format!("{:.2} GB/s", median(speeds) / 1e9))
                .beside(beside),
        );
        rows.push(
            Row::at_most(format!("{what}: mount CPU a byte"), CPU_MOST, median(cpus))
                .measured(format!("{:.2} s a GiB", median(costs)))
                .beside("the plain client"),
        );
    }
    std::fs::remove_file(source)?;
    Ok(rows)
}

/// 4 KiB in the middle of a large object.
pub(super) fn change(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let (name, size) = objects::CHANGED;
    let mount = mount(lab, &[])?;
    lab.reset()?;
    within(Duration::from_secs(60), &[mount.abort_handle()], || -> anyhow::Result<()> {
        let file = File::options().write(true).open(mount.path(name))?;
        file.write_all_at(&[b'x'; 4096], size / 2 + 4096)?;
        file.sync_all()?;
        Ok(())
    })?;
    let stats = lab.stats()?;
    drop(mount);
    let read = ask(lab.server(), "GET", &format!("/{}/{name}", objects::WRITTEN), &range(size / 2, 12_288))?.body;
    let seed = pattern::seed_of(objects::WRITTEN, name);
    let mut expected = vec![0; 12_288];
    pattern::fill(seed, size / 2, &mut expected);
    expected[4096..8192].fill(b'x');
    let words = format!(
        "{} part sent, {} bytes; {} bytes in {} GETs fetched; {} copies by the store",
        stats.parts, stats.bytes_received, stats.bytes, stats.gets, stats.copies
    );
    Ok(vec![
        Row::exactly("4 KiB changed in 10 GiB: parts sent", 1.0, stats.parts as f64)
            .and("no byte fetched beyond its part", stats.bytes <= PART)
            .and("right", read == expected)
            .measured(words),
    ])
}

/// Many small files by some writers, each opened, written and closed.
pub(super) fn small(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("latency=10ms")?;
    let count = lab.extent.pick(2000, 50);
    let mount = mount(lab, &[])?;
    lab.reset()?;
    let (next, started) = (AtomicUsize::new(0), Instant::now());
    within(Duration::from_secs(120), &[mount.abort_handle()], || {
        side_by_side(WRITERS, || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                let name = format!("small-{number:05}");
                let mut bytes = vec![0; 4096];
                pattern::fill(pattern::seed_of(objects::WRITTEN, &name), 0, &mut bytes);
                let mut file = File::create_new(mount.path(&name))?;
                file.write_all(&bytes)?;
                // Whether closing it worked, the server says below.
                drop(file);
            }
        })
    })?;
    let (seconds, stats) = (started.elapsed().as_secs_f64(), lab.stats()?);
    drop(mount);
    lab.behave("")?;
    let mut is_intact = true;
    for number in 0..count {
        is_intact &= take_away(lab, &format!("small-{number:05}"), 4096)?;
    }
    let rate = count as f64 / seconds;
    let limit = WRITERS as f64 / 0.010;
    let what = format!("{count} files of 4 KiB, {WRITERS} writers, 10 ms");
    let words = format!(
        "{rate:.0} files/s; {} PUTs, {} HEADs, {} lists, {} others",
        stats.puts,
        stats.heads,
        stats.lists,
        stats.requests() - stats.puts - stats.heads - stats.lists
    );
    Ok(vec![
        Row::at_least(format!("{what}: files/s of writers ÷ latency"), OF_LIMIT, rate / limit)
            .and("intact", is_intact)
            .measured(words.clone())
            .beside(format!("{limit:.0}/s; latency really injected {:.2} ms", stats.latency_us / 1000.0)),
        Row::exactly(format!("{what}: PUTs a file"), 1.0, stats.puts as f64 / count as f64).measured(words),
    ])
}

/// Memory while many files are written at once; the spool is smaller than they are together.
pub(super) fn at_once(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let (files, size) = lab.extent.pick((AT_ONCE, 1_u64 << 30), (8, 32 << 20));
    let mount = mount(lab, &["--memory", "256MiB", "--upload-memory", "128MiB", "--spool-max", "4GiB"])?;
    let (next, started) = (AtomicUsize::new(0), Instant::now());
    within(Duration::from_secs(400), &[mount.abort_handle()], || {
        side_by_side(files, || {
            let name = format!("at-once-{}", next.fetch_add(1, Ordering::Relaxed));
            let seed = pattern::seed_of(objects::WRITTEN, &name);
            let mut file = File::create_new(mount.path(&name))?;
            let mut bytes = vec![0; CHUNK];
            for offset in (0..size).step_by(CHUNK) {
                pattern::fill(seed, offset, &mut bytes);
                file.write_all(&bytes)?;
            }
            drop(file);
            Ok(())
        })
    })?;
    let (seconds, peak) = (started.elapsed().as_secs_f64(), mount.peak_memory()?);
    drop(mount);
    let mut is_intact = true;
    for number in 0..files {
        is_intact &= take_away(lab, &format!("at-once-{number}"), size)?;
    }
    let rate = files as f64 * size as f64 / seconds / 1e9;
    Ok(vec![
        Row::at_most(
            format!("{files} files of {} MiB at once: memory ÷ (budget + 64 MiB)", size >> 20),
            1.0,
            peak as f64 / (BUDGET + BESIDES) as f64,
        )
        .and("intact", is_intact)
        .measured(format!("peak {} MiB, {rate:.2} GB/s", peak >> 20))
        .beside("memory 256 MiB, upload-memory 128 MiB, spool-max 4 GiB"),
    ])
}

fn mount(lab: &Lab, settings: &[&str]) -> anyhow::Result<Mount> {
    let spool = lab.scratch("spool");
    let spool = spool.to_str().context("the scratch folder has a name of text")?;
    lab.mount(objects::WRITTEN, &[&["--spool", spool], settings].concat())
}

/// Makes the file that the object `name` is to be.
fn generate(path: &Path, name: &str, size: u64) -> anyhow::Result<()> {
    let (mut file, mut bytes) = (File::create(path)?, vec![0; CHUNK]);
    for offset in (0..size).step_by(CHUNK) {
        pattern::fill(pattern::seed_of(objects::WRITTEN, name), offset, &mut bytes);
        file.write_all(&bytes)?;
    }
    // So that its way to the disk is not measured with what is.
    Ok(file.sync_all()?)
}

/// As `cp` and `sync` do; the seconds.
fn copy(from: &Path, to: &Path) -> anyhow::Result<f64> {
    let (source, started) = (File::open(from)?, Instant::now());
    let mut target = File::create_new(to)?;
    let (mut bytes, mut at) = (vec![0; CHUNK], 0);
    loop {
        let length = source.read_at(&mut bytes, at)?;
        if length == 0 {
            break;
        }
        target.write_all(&bytes[..length])?;
        at += length as u64;
    }
    target.sync_all()?;
    drop(target);
    Ok(started.elapsed().as_secs_f64())
}

/// Deletes the object; whether it was as it should be.
fn take_away(lab: &Lab, name: &str, size: u64) -> anyhow::Result<bool> {
    let target = format!("/{}/{name}", objects::WRITTEN);
    let head = ask(lab.server(), "HEAD", &target, "")?;
    ask(lab.server(), "DELETE", &target, "")?;
    let has_size = head.head.contains(&format!("content-length: {size}\r\n"));
    Ok(head.status == 200 && has_size && head.head.contains("x-generated: yes"))
}

fn range(offset: u64, length: u64) -> String {
    format!("range: bytes={offset}-{}\r\n", offset + length - 1)
}

/// Does `work` in `count` threads; the first error.
fn side_by_side(count: usize, work: impl Fn() -> anyhow::Result<()> + Sync) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&work)).collect();
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(())
    })
}
