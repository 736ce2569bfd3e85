//! Sample data whose every byte follows from its position, so that a reader can check it without a copy.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use rfuse_store::pattern;

/// The token file.
pub(super) const TOKENS: &str = "tokens.bin";
/// The drive log.
pub(super) const LOG: &str = "drive-0001.mcap";
/// The seed of the token file's content.
pub(super) const TOKENS_SEED: u64 = 1;

/// What the log holds: a camera, a lidar and an inertial sensor at the rates and sizes of a test car.
const SENSORS: [Sensor; 3] = [
    Sensor { topic: "/camera/front", encoding: "jpeg", bytes: 120_000, period: Duration::from_millis(33) },
    Sensor { topic: "/lidar/top", encoding: "points", bytes: 900_000, period: Duration::from_millis(100) },
    Sensor { topic: "/imu", encoding: "imu", bytes: 320, period: Duration::from_millis(10) },
];

struct Sensor {
    topic: &'static str,
    encoding: &'static str,
    bytes: usize,
    period: Duration,
}

/// What was made, as the replayer needs it for its check.
pub(super) struct Sample {
    /// Messages in the log.
    pub(super) messages: u64,
    /// Bytes of their payloads.
    pub(super) payload: u64,
}

/// Makes both files, with a progress bar on a terminal.
pub(super) fn make(folder: &Path, tokens: u64, log: u64) -> Result<Sample> {
    let style = ProgressStyle::with_template("  {prefix:<13} {msg} {bar:20.dim} {percent} %")?;
    let bar = ProgressBar::new(tokens + log).with_style(style).with_prefix("sample data");
    bar.set_message(format!("{TOKENS} {} MiB, {LOG} {} MiB", tokens >> 20, log >> 20));
    make_tokens(&folder.join(TOKENS), tokens, &bar)?;
    let sample = make_log(&folder.join(LOG), log, &bar)?;
    bar.finish_and_clear();
    crate::shell::step("sample data", format_args!("{TOKENS} {} MiB, {LOG} {} MiB", tokens >> 20, log >> 20));
    Ok(sample)
}

fn make_tokens(path: &Path, size: u64, bar: &ProgressBar) -> Result<()> {
    let mut file = File::create(path)?;
    let mut buffer = vec![0; 1 << 20];
    for offset in (0..size).step_by(buffer.len()) {
        pattern::fill(TOKENS_SEED, offset, &mut buffer);
        let count = buffer.len().min((size - offset) as usize);
        file.write_all(&buffer[..count])?;
        bar.inc(count as u64);
    }
    Ok(())
}

/// An uncompressed, chunked and indexed MCAP file, as recorders write them.
fn make_log(path: &Path, size: u64, bar: &ProgressBar) -> Result<Sample> {
    let options = mcap::WriteOptions::new().compression(None).chunk_size(Some(4 << 20)).profile("rfuse-demo");
    let mut writer = options.create(BufWriter::new(File::create(path)?))?;
    let mut channels = Vec::new();
    for sensor in &SENSORS {
        let schema = writer.add_schema(sensor.topic, sensor.encoding, b"bytes that follow from their position")?;
        channels.push(writer.add_channel(schema, sensor.topic, sensor.encoding, &BTreeMap::new())?);
    }
    let mut sample = Sample { messages: 0, payload: 0 };
    let mut due = [Duration::ZERO; SENSORS.len()];
    while sample.payload < size {
        let Some((index, &time)) = due.iter().enumerate().min_by_key(|&(_, time)| time) else { break };
        let sensor = &SENSORS[index];
        let sequence = u32::try_from(sample.messages)?;
        let log_time = u64::try_from(time.as_nanos())?;
        let header =
            mcap::records::MessageHeader { channel_id: channels[index], sequence, log_time, publish_time: log_time };
        writer.write_to_known_channel(&header, &pattern::bytes(seed_of(sequence), 0, sensor.bytes))?;
        sample.messages += 1;
        sample.payload += sensor.bytes as u64;
        due[index] += sensor.period;
        bar.inc(sensor.bytes as u64);
    }
    writer.finish()?;
    Ok(sample)
}

/// The seed of a message's payload.
pub(super) fn seed_of(sequence: u32) -> u64 {
    u64::from(sequence) + 1_000
}
