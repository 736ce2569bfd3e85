//! The two readers. They open files like any user's program; nothing in them knows rfuse.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mcap::sans_io::{IndexedReadEvent, IndexedReader, SummaryReadEvent, SummaryReader};
use rfuse_store::pattern;

use super::sample::{Sample, TOKENS_SEED, seed_of};

/// A record of the token file.
const RECORD: u64 = 4096;
/// Readers of a loader with as many workers.
const WORKERS: u64 = 16;

/// What a reader saw.
pub(super) struct Readings {
    /// Time of each read, from the call to the bytes.
    pub(super) times: Vec<Duration>,
    /// Bytes delivered.
    pub(super) bytes: u64,
}

/// Reads `reads` records in a shuffled order with 16 workers, as a training loader does, and checks each.
pub(super) fn train(path: &Path, reads: u64) -> Result<Readings> {
    let file = File::open(path)?;
    let records = file.metadata()?.len() / RECORD;
    let order = shuffled(records, reads.min(records));
    let next = AtomicU64::new(0);
    let times = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| worker(&file, &order, &next))).collect();
        let mut times = Vec::with_capacity(order.len());
        for worker in workers {
            times.extend(worker.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??);
        }
        anyhow::Ok(times)
    })?;
    Ok(Readings { bytes: times.len() as u64 * RECORD, times })
}

fn worker(file: &File, order: &[u64], next: &AtomicU64) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut buffer = [0; RECORD as usize];
    // Relaxed: the counter orders nothing but itself.
    while let Some(&record) = order.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
        let begun = Instant::now();
        file.read_exact_at(&mut buffer, record * RECORD)?;
        times.push(begun.elapsed());
        if let Some(at) = pattern::first_difference(TOKENS_SEED, record * RECORD, &buffer) {
            bail!("the mount delivered a wrong byte at offset {at} of the token file");
        }
    }
    Ok(times)
}

/// `count` different records, the same ones each time.
fn shuffled(records: u64, count: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..records).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut order);
    order.truncate(count as usize);
    order
}

/// Replays a log: the summary at its end, then each chunk in the order of time; checks every message.
pub(super) fn replay(path: &Path, sample: &Sample) -> Result<Readings> {
    let mut file = File::open(path)?;
    let mut readings = Readings { times: Vec::new(), bytes: 0 };
    let summary = read_summary(&mut file, &mut readings)?;
    let mut reader = IndexedReader::new(&summary)?;
    let mut chunk = Vec::new();
    let (mut messages, mut payload) = (0, 0);
    while let Some(event) = reader.next_event() {
        match event? {
            IndexedReadEvent::ReadChunkRequest { offset, length } => {
                chunk.resize(length, 0);
                timed(&mut readings, length, || file.read_exact_at(&mut chunk, offset))?;
                reader.insert_chunk_record_data(offset, &chunk)?;
            }
            IndexedReadEvent::Message { header, data } => {
                if pattern::first_difference(seed_of(header.sequence), 0, data).is_some() {
                    bail!("message {} of the log holds wrong bytes", header.sequence);
                }
                messages += 1;
                payload += data.len() as u64;
            }
        }
    }
    if (messages, payload) != (sample.messages, sample.payload) {
        bail!(
            "the replay saw {messages} messages of {payload} bytes, the log has {} of {}",
            sample.messages,
            sample.payload
        );
    }
    Ok(readings)
}

fn read_summary(file: &mut File, readings: &mut Readings) -> Result<mcap::Summary> {
    let mut reader = SummaryReader::new();
    while let Some(event) = reader.next_event() {
        match event? {
            SummaryReadEvent::ReadRequest(wanted) => {
                let buffer = reader.insert(wanted);
                let begun = Instant::now();
                let count = file.read(buffer)?;
                readings.times.push(begun.elapsed());
                readings.bytes += count as u64;
                reader.notify_read(count);
            }
            SummaryReadEvent::SeekRequest(to) => reader.notify_seeked(file.seek(to)?),
        }
    }
    reader.finish().context("the log has no summary")
}

fn timed(readings: &mut Readings, bytes: usize, read: impl FnOnce() -> std::io::Result<()>) -> Result<()> {
    let begun = Instant::now();
    read()?;
    readings.times.push(begun.elapsed());
    readings.bytes += bytes as u64;
    Ok(())
}
