//! Reading in order: beside a plain pooled client that streams the same bytes, and beside itself at other
//! latencies and bandwidths. Every round mounts anew and fills the memory tier with something else, so that all of
//! it comes from the store and finds no room.

use std::time::Duration;

use crate::lab::{InOrder, Lab, Mount, Outstanding, PageCache, RandomRead, SequentialRead, Streamed, objects};
use crate::table::Row;

use super::{BUCKET, MEMORY, fill, median};

/// Of the plain client's bytes a second.
const OF_PLAIN: f64 = 0.85;
/// Of (plain client + null file system), processor time a byte.
const CPU_MOST: f64 = 1.3;
/// Of its own speed at 0 ms.
const OF_OWN: f64 = 0.85;
/// Of its own speed with 64 MiB/s a connection.
const OF_UNTHROTTLED: f64 = 0.8;
/// Small reads of its own speed with large ones.
const SMALL_OF_LARGE: f64 = 0.8;
/// GETs outstanding of the plain client.
const OUTSTANDING: usize = 16;

/// One reading of everything.
#[derive(Clone, Copy)]
struct Round {
    rate: f64,
    /// Processor seconds of the mount a GiB.
    cpu: f64,
    bytes_a_byte: f64,
}

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for readers in [1, 4] {
        rows.extend(beside_plain(lab, readers)?);
        rows.extend(elsewhere(lab, readers)?);
    }
    rows.extend(small(lab)?);
    rows.extend(shared(lab)?);
    rows.extend(beside_random(lab)?);
    Ok(rows)
}

/// Direct and through the page cache, in turns with the plain client and the null file system.
fn beside_plain(lab: &Lab, readers: usize) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let mut rows = Vec::new();
    for (words, how) in [("around the page cache", InOrder::Direct), ("through the page cache", InOrder::Large)] {
        let (mut rates, mut cpus, mut speeds, mut plains, mut bytes) = (vec![], vec![], vec![], vec![], vec![]);
        let (mut own, mut yardstick) = (vec![], vec![]);
        for _ in 0..lab.extent.pick(5, 1) {
            let round = round(lab, readers, how)?;
            let plain = lab.stream(size(lab), OUTSTANDING)?;
            let plain_rate = plain.bytes as f64 / plain.seconds;
            let plain_cpu = plain.cpu_seconds / gib(plain.bytes);
            rates.push(round.rate / plain_rate);
            let null_cpu = null_cpu(lab, readers, how)?;
            cpus.push(round.cpu / (plain_cpu + null_cpu));
            own.push(round.cpu);
            yardstick.push((plain_cpu, null_cpu));
            speeds.push(round.rate);
            plains.push(plain_rate);
            bytes.push(round.bytes_a_byte);
        }
        let (speed, plain) = (median(speeds), median(plains));
        let what = format!("1 MiB in order {words}, {readers} readers");
        rows.push(
            Row::at_least(format!("{what}: bytes a second"), OF_PLAIN, median(rates))
                .measured(format!("{:.2} GB/s", speed / 1e9))
                .beside(format!("plain client, {OUTSTANDING} GETs of 1 MiB outstanding: {:.2} GB/s", plain / 1e9)),
        );
        rows.push(
            Row::at_most(format!("{what}: mount CPU a byte"), CPU_MOST, median(cpus))
                .measured(format!("{:.0} ms a GiB", median(own) * 1000.0))
                .beside(format!(
                    "plain client {:.0} + null file system {:.0} ms, the same reads",
                    median(yardstick.iter().map(|both| both.0).collect()) * 1000.0,
                    median(yardstick.iter().map(|both| both.1).collect()) * 1000.0
                )),
        );
        rows.push(Row::exactly(format!("{what}: bytes fetched a byte"), 1.0, median(bytes)));
    }
    Ok(rows)
}

/// At latencies and with slow connections, in turns with 0 ms.
fn elsewhere(lab: &Lab, readers: usize) -> anyhow::Result<Vec<Row>> {
    let cases = [
        ("5 ms", "latency=5ms", OF_OWN),
        ("10 ms", "latency=10ms", OF_OWN),
        ("64 MiB/s a connection", "bandwidth=64MiB", OF_UNTHROTTLED),
    ];
    let mut rows = Vec::new();
    for (words, behaviour, least) in cases {
        let (mut ratios, mut speeds, mut owns) = (vec![], vec![], vec![]);
        for _ in 0..lab.extent.pick(3, 1) {
            lab.behave("")?;
            let own = round(lab, readers, InOrder::Direct)?.rate;
            lab.behave(behaviour)?;
            let there = round(lab, readers, InOrder::Direct)?.rate;
            ratios.push(there / own);
            speeds.push(there);
            owns.push(own);
        }
        rows.push(
            Row::at_least(format!("1 MiB in order, {readers} readers, {words}"), least, median(ratios))
                .measured(format!("{:.2} GB/s", median(speeds) / 1e9))
                .beside(format!("itself at 0 ms {:.2} GB/s", median(owns) / 1e9)),
        );
    }
    Ok(rows)
}

/// Small reads and faults at 4 KiB of kernel read-ahead, from the store and from memory.
fn small(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("")?;
    let mut rows = Vec::new();
    for (words, how) in [("4 KiB reads", InOrder::Small), ("page faults", InOrder::Mapped)] {
        let (mut cold, mut speeds, mut warm, mut nulls) = (vec![], vec![], vec![], vec![]);
        for _ in 0..lab.extent.pick(3, 1) {
            let large = round(lab, 1, InOrder::Large)?.rate;
            let rate = round(lab, 1, how)?.rate;
            cold.push(rate / large);
            speeds.push(rate);
            let (hit, null) = (from_memory(lab, how)?, from_null(lab, how)?);
            warm.push(hit / null);
            nulls.push(null);
        }
        rows.push(
            Row::at_least(format!("{words} in order, cold"), SMALL_OF_LARGE, median(cold))
                .measured(format!("{:.2} GB/s", median(speeds) / 1e9))
                .beside("itself with 1 MiB reads"),
        );
        rows.push(
            Row::at_least(format!("{words} in order, from the memory tier"), 0.6, median(warm))
                .beside(format!("null file system at 1 MiB of read-ahead {:.2} GB/s", median(nulls) / 1e9)),
        );
    }
    Ok(rows)
}

/// Many readers of one log.
fn shared(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("latency=10ms")?;
    let mount = lab.mount(BUCKET, &[])?;
    lab.reset()?;
    let (name, size) = objects::LOGS[0];
    let readers = SequentialRead { paths: vec![mount.path(name); 20], how: InOrder::Direct, size };
    readers.run(lab)?;
    let fetched = lab.stats()?.bytes;
    Ok(vec![
        Row::exactly("20 readers of one log: bytes fetched a byte of it", 1.0, fetched as f64 / size as f64)
            .measured(format!("{fetched} bytes fetched, {} read", 20 * size)),
    ])
}

/// What a reader in order does to random readers.
fn beside_random(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("latency=10ms")?;
    let time = lab.extent.pick(Duration::from_secs(2), Duration::from_millis(400));
    let (mut ratios, mut alone, mut beside) = (vec![], vec![], vec![]);
    for _ in 0..lab.extent.pick(3, 1) {
        let mount = lab.mount(BUCKET, &[])?;
        fill(lab, &mount, MEMORY)?;
        let cold = mount.path(objects::COLD.0);
        let outstanding = Outstanding::Threads(8);
        let random = RandomRead { path: &cold, outstanding, page_cache: PageCache::Around, time, rate: None };
        let by_itself = random.run(lab)?.p99_us;
        let (name, size) = objects::LONG_LOG;
        let log = SequentialRead { paths: vec![mount.path(name)], how: InOrder::Direct, size };
        let mut streaming = log.start(lab)?;
        let together = random.run(lab)?.p99_us;
        log.finish(&mut streaming)?;
        ratios.push(together / by_itself);
        alone.push(by_itself);
        beside.push(together);
    }
    Ok(vec![
        Row::at_most("8 random readers beside one in order, 10 ms: p99", 2.0, median(ratios))
            .measured(format!("{:.1} ms", median(beside) / 1000.0))
            .beside(format!("alone {:.1} ms", median(alone) / 1000.0)),
    ])
}

fn size(lab: &Lab) -> u64 {
    lab.extent.pick(objects::LONG_LOG.1, 256 << 20)
}

/// What `readers` read: one long log, or four short ones.
fn reading(lab: &Lab, mount: &Mount, readers: usize, how: InOrder) -> SequentialRead {
    let names: Vec<&str> = match readers {
        1 => vec![objects::LONG_LOG.0],
        _ => objects::LOGS.iter().take(readers).map(|(name, _)| *name).collect(),
    };
    let paths = names.into_iter().map(|name| mount.path(name)).collect();
    SequentialRead { paths, how, size: size(lab) / readers as u64 }
}

fn round(lab: &Lab, readers: usize, how: InOrder) -> anyhow::Result<Round> {
    let mount = lab.mount(BUCKET, &[])?;
    fill(lab, &mount, MEMORY)?;
    lab.reset()?;
    let before = mount.cpu()?;
    let Streamed { bytes, rate } = reading(lab, &mount, readers, how).run(lab)?;
    let cpu = (mount.cpu()? - before).as_secs_f64() / gib(bytes);
    // What is under way at the end of a reading that stops before the end of the object is not in it.
    Ok(Round { rate, cpu, bytes_a_byte: lab.stats()?.bytes as f64 / bytes as f64 })
}

fn null_cpu(lab: &Lab, readers: usize, how: InOrder) -> anyhow::Result<f64> {
    let size = size(lab);
    let null = lab.mount_null_with(size, 512 << 20, "4KiB")?;
    let before = null.cpu()?;
    let paths = vec![Lab::null_path(&null); readers];
    let streamed = SequentialRead { paths, how, size: size / readers as u64 }.run(lab)?;
    Ok((null.cpu()? - before).as_secs_f64() / gib(streamed.bytes))
}

/// Bytes a second that memory gives; the page cache is empty and the memory tier is not.
fn from_memory(lab: &Lab, how: InOrder) -> anyhow::Result<f64> {
    let mount = lab.mount(BUCKET, &["--memory", "1GiB"])?;
    let (name, size) = objects::LOGS[0];
    let read = |how| SequentialRead { paths: vec![mount.path(name)], how, size }.run(lab);
    read(InOrder::Direct)?;
    lab.reset()?;
    let rate = read(how)?.rate;
    let fetched = lab.stats()?.bytes;
    anyhow::ensure!(fetched == 0, "{fetched} bytes were fetched of what memory should have held");
    Ok(rate)
}

fn from_null(lab: &Lab, how: InOrder) -> anyhow::Result<f64> {
    let size = objects::LOGS[0].1;
    let null = lab.mount_null_with(size, size, "128KiB")?;
    crate::lab::raise_read_ahead(&null, 1024)?;
    Ok(SequentialRead { paths: vec![Lab::null_path(&null)], how, size }.run(lab)?.rate)
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
