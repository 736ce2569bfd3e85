//! The device's side of a replay: frames go in, answers come out in the same order and are scored and written.

use std::collections::VecDeque;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Log;
use super::crew::Piece;
use super::results::Results;
use crate::ahead::Feed;
use crate::log::{Content, Record};
use crate::meter::Meter;
use crate::outcome::Failure;
use crate::perception::{Answer, Perception};
use crate::scene::Camera;
use crate::score::{Scorer, Seen, Sensor};
use crate::usage::Usage;

/// A frame under way.
struct Flight {
    lane: usize,
    log: usize,
    time: u64,
    sensor: Sensor,
}

/// The frames under way, and what came of the others.
pub(super) struct Stage {
    lanes: Vec<Perception>,
    flights: VecDeque<Flight>,
    next_lane: usize,
    pub(super) scorer: Scorer,
    pub(super) digest: Sha256,
    pub(super) frames: u64,
    pub(super) overflow: u64,
    pub(super) usage: Usage,
}

impl Stage {
    pub(super) fn new(lanes: Vec<Perception>) -> Self {
        Self {
            lanes,
            flights: VecDeque::new(),
            next_lane: 0,
            scorer: Scorer::default(),
            digest: Sha256::new(),
            frames: 0,
            overflow: 0,
            usage: Usage::new(),
        }
    }

    /// The next piece. Nothing there: first the frames under way are finished; what is waited after that, the
    /// device waits too.
    pub(super) fn next(
        &mut self,
        feed: &mut Feed<'_, Piece>,
        meter: &Meter,
        results: &mut Results,
        logs: &[Log],
    ) -> Result<Option<Piece>, Failure> {
        if let Some(piece) = feed.ready() {
            return Ok(Some(piece));
        }
        self.drain(meter, results, logs)?;
        let begun = meter.elapsed();
        let piece = feed.wait();
        let took = meter.elapsed() - begun;
        if piece.is_some() {
            self.usage.waited(begun, took);
        }
        Ok(piece)
    }

    /// How busy the device was until now, for the line that shows progress.
    pub(super) fn busy_words(&self, elapsed: Duration) -> String {
        let share = self.usage.busy_seconds() / elapsed.as_secs_f64().max(1e-3);
        format!("device busy {:.0} %", (share * 100.0).min(100.0))
    }

    /// Takes a message: truths are kept, frames go to the device.
    pub(super) fn take(
        &mut self,
        log: usize,
        record: &Record,
        logs: &[Log],
        meter: &Meter,
        results: &mut Results,
    ) -> Result<(), Failure> {
        let sensor = match &record.content {
            Content::Other => return Ok(()),
            Content::Truth(truth) => {
                self.scorer.truth(log, record.time, truth.clone());
                return Ok(());
            }
            Content::Cloud(_) => Sensor::Lidar,
            Content::Image(_) => Sensor::Camera(camera(&logs[log], record.channel)),
        };
        let lane = self.next_lane;
        if self.lanes[lane].is_busy() {
            self.finish_oldest(meter, results, logs)?;
        }
        match &record.content {
            Content::Cloud(points) => self.lanes[lane].submit_cloud(points)?,
            Content::Image(pixels) => self.lanes[lane].submit_image(pixels)?,
            Content::Truth(_) | Content::Other => {}
        }
        self.flights.push_back(Flight { lane, log, time: record.time, sensor });
        self.next_lane = (lane + 1) % self.lanes.len();
        Ok(())
    }

    pub(super) fn drain(&mut self, meter: &Meter, results: &mut Results, logs: &[Log]) -> Result<(), Failure> {
        while !self.flights.is_empty() {
            self.finish_oldest(meter, results, logs)?;
        }
        assert!(self.lanes.iter().all(|lane| !lane.is_busy()), "a frame was left on its lane");
        Ok(())
    }

    fn finish_oldest(&mut self, meter: &Meter, results: &mut Results, logs: &[Log]) -> Result<(), Failure> {
        let Some(flight) = self.flights.pop_front() else { return Ok(()) };
        let Some(answer) = self.lanes[flight.lane].answer()? else { return Ok(()) };
        let Answer { detections, overflow, timing } = answer;
        self.frames += 1;
        self.overflow += u64::from(overflow);
        self.usage.worked(timing, meter.elapsed());
        self.digest.update(flight.time.to_le_bytes());
        for detection in &detections {
            for value in [detection.centre, detection.low, detection.high].as_flattened() {
                self.digest.update(value.to_bits().to_le_bytes());
            }
            self.digest.update(detection.count.to_le_bytes());
        }
        let seen = Seen { sensor: flight.sensor, detections };
        let owners = self.scorer.frame(flight.log, flight.time, seen.clone());
        results.add(&logs[flight.log].name, flight.time, &seen, &owners)
    }
}

/// Which camera a channel is, by the last word of its topic.
fn camera(log: &Log, channel: u16) -> Option<usize> {
    let topic = log.file.topics().get(&channel)?;
    let word = topic.name.strip_prefix("/camera/")?;
    Camera::NAMES.iter().position(|name| *name == word)
}
