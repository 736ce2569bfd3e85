//! A spinning lidar on the roof: rays against boxes and the ground.

use std::f64::consts::TAU;

use super::Object;
use crate::random;

/// The ground below the lidar, in metres.
pub(crate) const GROUND_M: f64 = -1.8;
/// Lower than this above the ground, a point is taken for the ground's.
const ABOVE_GROUND_M: f64 = 0.4;
/// Farther than this nothing comes back.
const REACH_M: f64 = 50.0;
/// Ranges are off by this much at most.
const NOISE_M: f64 = 0.02;
/// The lowest and highest beam.
const ELEVATION: (f64, f64) = (-0.42, 0.06);

/// A lidar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lidar {
    /// Beams above each other.
    pub(crate) beams: u32,
    /// Steps a turn.
    pub(crate) steps: u32,
}

/// One turn.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Scan {
    /// x, y, z in metres and the intensity of each point.
    pub(crate) points: Vec<[f32; 4]>,
    /// How many points above the ground hit each object, in the objects' order.
    pub(crate) hits: Vec<u32>,
}

impl Lidar {
    /// The turn number `frame` of the drive `seed`. One ray in a hundred is lost, one in two thousand lies.
    pub(crate) fn scan(&self, objects: &[Object], seed: u64, frame: u64) -> Scan {
        let seed = random::at(seed, frame);
        let mut scan = Scan { points: Vec::new(), hits: vec![0; objects.len()] };
        scan.points.reserve((self.beams * self.steps) as usize);
        let elevations: Vec<(f64, f64)> = (0..self.beams).map(|beam| self.elevation(beam).sin_cos()).collect();
        for step in 0..self.steps {
            let azimuth = TAU * f64::from(step) / f64::from(self.steps);
            let (sin, cos) = azimuth.sin_cos();
            let seen = objects.iter().position(|object| {
                let away = (object.centre[1].atan2(object.centre[0]) - azimuth).rem_euclid(TAU);
                away.min(TAU - away) <= object.half_angle()
            });
            for (beam, &(up, level)) in elevations.iter().enumerate() {
                let luck = random::at(seed, u64::from(step) * u64::from(self.beams) + beam as u64);
                if luck.is_multiple_of(100) {
                    continue;
                }
                let direction = [level * cos, level * sin, up];
                let range = (luck >> 8) % 1_000_000;
                let noise = (range as f64 / 1e6 - 0.5) * 2.0 * NOISE_M;
                if luck % 2000 == 1 && up > -0.02 {
                    let lie = 3.0 + range as f64 / 1e6 * 40.0;
                    push(&mut scan, direction, lie, 0.05);
                    continue;
                }
                let hit = seen.and_then(|index| distance(&objects[index], direction).map(|at| (index, at)));
                let ground = if up < 0.0 { GROUND_M / up } else { f64::MAX };
                match hit {
                    Some((index, at)) if at < ground => {
                        push(&mut scan, direction, at + noise, 0.8);
                        if direction[2] * at > GROUND_M + ABOVE_GROUND_M {
                            scan.hits[index] += 1;
                        }
                    }
                    _ if ground < REACH_M => push(&mut scan, direction, ground + noise, 0.2),
                    _ => {}
                }
            }
        }
        scan
    }

    fn elevation(&self, beam: u32) -> f64 {
        let (low, high) = ELEVATION;
        low + (high - low) * (f64::from(beam) + 0.5) / f64::from(self.beams)
    }
}

fn push(scan: &mut Scan, direction: [f64; 3], range: f64, intensity: f32) {
    let at = |axis: usize| (direction[axis] * range) as f32;
    scan.points.push([at(0), at(1), at(2), intensity]);
}

/// Where a ray from the lidar enters an object's box.
fn distance(object: &Object, direction: [f64; 3]) -> Option<f64> {
    let (sin, cos) = object.yaw.sin_cos();
    let turn = |v: [f64; 3]| [v[0] * cos + v[1] * sin, v[1] * cos - v[0] * sin, v[2]];
    let origin = turn(object.centre.map(|c| -c));
    let direction = turn(direction);
    let (mut near, mut far) = (0.0f64, REACH_M);
    for axis in 0..3 {
        let half = object.size[axis] / 2.0;
        let (a, b) = ((-half - origin[axis]) / direction[axis], (half - origin[axis]) / direction[axis]);
        near = near.max(a.min(b));
        far = far.min(a.max(b));
    }
    (near <= far && near > 0.0).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Scene};
    use super::*;

    #[test]
    fn a_ray_ahead_meets_the_face_of_a_box() {
        let object = Object { id: 0, kind: Kind::Car, centre: [10.0, 0.0, 0.0], size: [4.0, 2.0, 2.0], yaw: 0.0 };
        assert_eq!(distance(&object, [1.0, 0.0, 0.0]), Some(8.0));
        assert_eq!(distance(&object, [0.0, 1.0, 0.0]), None);
        assert_eq!(distance(&object, [-1.0, 0.0, 0.0]), None);
    }

    #[test]
    fn a_turn_is_the_same_twice_and_hits_every_object() {
        let scene = Scene::new(5);
        let lidar = Lidar { beams: 32, steps: 512 };
        let scan = lidar.scan(&scene.objects(2.0), 5, 20);
        assert_eq!(scan, lidar.scan(&scene.objects(2.0), 5, 20));
        assert!(scan.hits.iter().all(|&hits| hits > 5), "{:?}", scan.hits);
        assert!(scan.points.len() > 4000, "{}", scan.points.len());
    }
}
