//! What was seen against what was there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::message::{Truth, TruthObject};
use crate::perception::Detection;
use crate::scene::ImageBox;

/// An object with fewer points need not be found.
const POINTS_WANTED: u32 = 20;
/// A detection may lie this far outside of the box it belongs to.
const SCAN_SLACK_M: f64 = 0.6;
const IMAGE_SLACK: f64 = 8.0;
/// Frames that wait for their truth, or truths for their frames, at most; the oldest goes unscored.
const WAITING_MOST: usize = 256;

/// How often something was to be found, was found, and was found where nothing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Objects that had to be found.
    pub(crate) wanted: u64,
    /// Those of them that were.
    pub(crate) found: u64,
    /// Detections where nothing is.
    pub(crate) false_objects: u64,
    /// Further detections of an object that was found already: a roof that is seen apart from its side.
    pub(crate) split_objects: u64,
    /// Frames that were compared.
    pub(crate) frames: u64,
}

impl Tally {
    /// Adds another.
    pub(crate) fn add(&mut self, other: Self) {
        self.wanted += other.wanted;
        self.found += other.found;
        self.false_objects += other.false_objects;
        self.split_objects += other.split_objects;
        self.frames += other.frames;
    }
}

/// Which sensor a frame is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Sensor {
    Lidar,
    /// A camera by its number; none when its topic has no known name.
    Camera(Option<usize>),
}

/// A frame that was seen.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Seen {
    pub(crate) sensor: Sensor,
    pub(crate) detections: Vec<Detection>,
}

/// Brings frames and truths of the same moment together, in whatever order they come.
#[derive(Debug, Default)]
pub(crate) struct Scorer {
    truths: BTreeMap<(usize, u64), Truth>,
    waiting: BTreeMap<(usize, u64), Vec<Seen>>,
    pub(crate) scan: Tally,
    pub(crate) image: Tally,
}

impl Scorer {
    /// The truth of log `log` at `time`.
    pub(crate) fn truth(&mut self, log: usize, time: u64, truth: Truth) {
        for seen in self.waiting.remove(&(log, time)).unwrap_or_default() {
            self.score(&truth, &seen);
        }
        self.truths.insert((log, time), truth);
        if self.truths.len() > WAITING_MOST {
            self.truths.pop_first();
        }
    }

    /// A frame of log `log` at `time`. Gives back the object that each detection belongs to, where that is known.
    pub(crate) fn frame(&mut self, log: usize, time: u64, seen: Seen) -> Vec<Option<u32>> {
        if let Some(truth) = self.truths.get(&(log, time)).cloned() {
            return self.score(&truth, &seen);
        }
        let unknown = vec![None; seen.detections.len()];
        self.waiting.entry((log, time)).or_default().push(seen);
        if self.waiting.len() > WAITING_MOST {
            self.waiting.pop_first();
        }
        unknown
    }

    fn score(&mut self, truth: &Truth, seen: &Seen) -> Vec<Option<u32>> {
        let (tally, owners) = match seen.sensor {
            Sensor::Lidar => compare(&truth.objects, &seen.detections, |object| object.points >= POINTS_WANTED, in_box),
            Sensor::Camera(Some(camera)) => {
                let place = |object: &TruthObject| object.boxes.iter().find(|place| place.camera == camera).copied();
                compare(
                    &truth.objects,
                    &seen.detections,
                    |object| place(object).is_some_and(|place| place.visible),
                    |object, detection| place(object).is_some_and(|place| in_image(&place, detection)),
                )
            }
            Sensor::Camera(None) => return vec![None; seen.detections.len()],
        };
        let of_sensor = if seen.sensor == Sensor::Lidar { &mut self.scan } else { &mut self.image };
        of_sensor.add(tally);
        owners
    }
}

/// Gives each detection to the first object it fits, best to one that has none yet.
fn compare(
    objects: &[TruthObject],
    detections: &[Detection],
    wanted: impl Fn(&TruthObject) -> bool,
    fits: impl Fn(&TruthObject, &Detection) -> bool,
) -> (Tally, Vec<Option<u32>>) {
    let mut tally = Tally { frames: 1, ..Tally::default() };
    let mut taken = vec![false; objects.len()];
    let mut owners = Vec::new();
    for detection in detections {
        let fitting: Vec<usize> = (0..objects.len()).filter(|&index| fits(&objects[index], detection)).collect();
        match (fitting.iter().find(|&&index| !taken[index]), fitting.first()) {
            (Some(&index), _) => taken[index] = true,
            (None, Some(_)) => tally.split_objects += 1,
            (None, None) => tally.false_objects += 1,
        }
        owners.push(fitting.first().map(|&index| objects[index].id));
    }
    for (object, taken) in objects.iter().zip(taken) {
        tally.wanted += u64::from(wanted(object));
        tally.found += u64::from(wanted(object) && taken);
    }
    (tally, owners)
}

/// Whether the middle of a cluster lies in an object's box.
fn in_box(object: &TruthObject, detection: &Detection) -> bool {
    let (sin, cos) = object.yaw.sin_cos();
    let [x, y, z] = std::array::from_fn(|axis| detection.centre[axis] - object.centre[axis]);
    let turned = [x * cos + y * sin, y * cos - x * sin, z];
    (0..3).all(|axis| turned[axis].abs() <= object.size[axis] / 2.0 + SCAN_SLACK_M)
}

fn in_image(place: &ImageBox, detection: &Detection) -> bool {
    let inside = |at: f64, from: u32, length: u32| {
        at >= f64::from(from) - IMAGE_SLACK && at <= f64::from(from + length) + IMAGE_SLACK
    };
    inside(detection.centre[0], place.left, place.width) && inside(detection.centre[1], place.top, place.height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Kind;

    fn object(id: u32, x: f64, points: u32) -> TruthObject {
        let boxes = Vec::new();
        TruthObject { id, kind: Kind::Car, centre: [x, 0.0, 0.0], size: [4.0, 2.0, 1.5], yaw: 0.0, points, boxes }
    }

    fn seen(xs: &[f64]) -> Seen {
        let at = |x: &f64| Detection { centre: [*x, 0.0, 0.0], low: [0.0; 3], high: [0.0; 3], count: 9 };
        Seen { sensor: Sensor::Lidar, detections: xs.iter().map(at).collect() }
    }

    #[test]
    fn found_missed_false_and_split_are_told_apart() {
        let mut scorer = Scorer::default();
        scorer.truth(0, 1, Truth { objects: vec![object(7, 10.0, 99), object(8, 20.0, 99), object(9, 30.0, 5)] });
        assert_eq!(scorer.frame(0, 1, seen(&[10.5, 9.5, 50.0, 30.0])), [Some(7), Some(7), None, Some(9)]);
        assert_eq!(scorer.scan, Tally { wanted: 2, found: 1, false_objects: 1, split_objects: 1, frames: 1 });
    }

    #[test]
    fn a_frame_may_come_before_its_truth_and_without_one_is_not_counted() {
        let mut scorer = Scorer::default();
        scorer.frame(0, 1, seen(&[10.0]));
        scorer.frame(1, 1, seen(&[10.0]));
        scorer.truth(0, 1, Truth { objects: vec![object(7, 10.0, 99)] });
        assert_eq!(scorer.scan, Tally { wanted: 1, found: 1, frames: 1, ..Tally::default() });
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut scorer = Scorer::default();
        for time in 0..10_000 {
            scorer.frame(0, time, seen(&[1.0]));
            scorer.truth(1, time, Truth::default());
        }
        assert!(scorer.waiting.len() <= WAITING_MOST && scorer.truths.len() <= WAITING_MOST);
    }
}
