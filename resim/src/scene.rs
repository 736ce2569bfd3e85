//! A made-up drive: a car among moving objects, of which everything is known.
//!
//! Each object stays in a sector of its own around the car, at a distance at which it fits into the sector with
//! room to spare. So none hides another, neither from the lidar nor from a camera, and a perception that works
//! finds every one: recall 1.00 is a fair demand.

mod camera;
mod lidar;

pub(crate) use camera::{Camera, ImageBox};
pub(crate) use lidar::{GROUND_M, Lidar};

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use crate::random;

/// What an object is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Car,
    Truck,
    Pedestrian,
}

impl Kind {
    /// Length, width and height in metres.
    fn size_m(self) -> [f64; 3] {
        match self {
            Self::Car => [4.4, 1.9, 1.5],
            Self::Truck => [8.0, 2.5, 3.0],
            Self::Pedestrian => [0.6, 0.6, 1.75],
        }
    }

    /// The nearest and farthest distance in metres: it fits into its sector, and many points hit it.
    fn distance_m(self) -> (f64, f64) {
        match self {
            Self::Car => (11.0, 32.0),
            Self::Truck => (22.0, 38.0),
            Self::Pedestrian => (7.0, 18.0),
        }
    }
}

/// An object at a moment, in the lidar's frame: x ahead, y left, z up, metres and radians.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Object {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    pub(crate) centre: [f64; 3],
    pub(crate) size: [f64; 3],
    pub(crate) yaw: f64,
}

impl Object {
    /// The corners of its box.
    fn corners(&self) -> [[f64; 3]; 8] {
        let (sin, cos) = self.yaw.sin_cos();
        std::array::from_fn(|index| {
            let half = |axis: usize| self.size[axis] / 2.0 * if index >> axis & 1 == 0 { -1.0 } else { 1.0 };
            let (x, y) = (half(0), half(1));
            [self.centre[0] + x * cos - y * sin, self.centre[1] + x * sin + y * cos, self.centre[2] + half(2)]
        })
    }

    /// Half of the angle it fills, seen from the car.
    fn half_angle(&self) -> f64 {
        let distance = self.centre[0].hypot(self.centre[1]);
        (self.size[0].hypot(self.size[1]) / 2.0 / distance).min(1.0).asin()
    }
}

/// The car itself at a moment, in the world's frame.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Ego {
    pub(crate) position: [f64; 3],
    pub(crate) yaw: f64,
    pub(crate) yaw_rate: f64,
    pub(crate) acceleration: [f64; 3],
}

/// One drive.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    seed: u64,
    objects: u32,
}

impl Scene {
    /// Sectors around the car.
    const SECTORS: u32 = 8;
    /// The car drives circles of this radius at this speed.
    const RADIUS_M: f64 = 120.0;
    const SPEED_M_S: f64 = 12.0;

    /// The drive that belongs to a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, objects: 4 + (random::at(seed, 0) % u64::from(Self::SECTORS - 3)) as u32 }
    }

    /// All objects, `seconds` after the start.
    pub(crate) fn objects(&self, seconds: f64) -> Vec<Object> {
        (0..self.objects).map(|id| self.object(id, seconds)).collect()
    }

    fn object(&self, id: u32, seconds: f64) -> Object {
        let seed = random::at(self.seed, 1000 + u64::from(id));
        let kind = match random::at(seed, 0) % 4 {
            0 => Kind::Truck,
            1 => Kind::Pedestrian,
            _ => Kind::Car,
        };
        let wave = |index: u64, period: f64| (TAU * (seconds / period + random::unit(seed, index))).sin();
        let (near, far) = kind.distance_m();
        let distance = (near + far) / 2.0 + (far - near) / 2.0 * wave(1, random::between(seed, 2, 30.0, 60.0));
        let sector = TAU / f64::from(Self::SECTORS);
        let angle = sector * (f64::from(id) + 0.5) + 3f64.to_radians() * wave(3, 20.0);
        let size = kind.size_m();
        Object {
            id,
            kind,
            centre: [distance * angle.cos(), distance * angle.sin(), GROUND_M + size[2] / 2.0],
            size,
            // Seen over a corner: along a side that is seen at a grazing angle, points lie too far apart to join.
            yaw: angle + TAU / 4.0 * (random::at(seed, 4) % 4) as f64 + TAU / 8.0 + 0.3 * wave(5, 25.0),
        }
    }

    /// The car, `seconds` after the start.
    pub(crate) fn ego(&self, seconds: f64) -> Ego {
        let yaw_rate = Self::SPEED_M_S / Self::RADIUS_M;
        let yaw = yaw_rate * seconds;
        Ego {
            position: [Self::RADIUS_M * yaw.sin(), Self::RADIUS_M * (1.0 - yaw.cos()), 0.0],
            yaw,
            yaw_rate,
            acceleration: [0.0, Self::SPEED_M_S * yaw_rate, 9.81],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_object_hides_another() {
        for seed in 0..50 {
            let scene = Scene::new(seed);
            for second in 0..60 {
                let objects = scene.objects(f64::from(second));
                assert!(objects.len() >= 4);
                for (a, b) in objects.iter().zip(&objects[1..]) {
                    let angle = |object: &Object| object.centre[1].atan2(object.centre[0]).rem_euclid(TAU);
                    let gap = angle(b) - angle(a) - a.half_angle() - b.half_angle();
                    assert!(gap > 4f64.to_radians(), "seed {seed} at {second} s: {a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn objects_stand_on_the_ground() {
        let object = Scene::new(3).objects(1.0)[0];
        let lowest = object.corners().iter().map(|corner| corner[2]).fold(f64::MAX, f64::min);
        assert!((lowest - GROUND_M).abs() < 1e-9);
    }
}
