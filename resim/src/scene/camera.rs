//! Cameras around the car: boxes painted over sky and road, with the grain that makes JPEG work.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::{Kind, Object};
use crate::random;

/// Half of the horizontal angle of view; less than 45 degrees, so that four cameras do not overlap.
const HALF_VIEW: f64 = 0.7;
/// Smaller than this in either direction, a box need not be found.
const SMALLEST: u32 = 24;
/// How far the grain goes up and down.
const GRAIN: i32 = 9;

/// One of the cameras.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Camera {
    /// 0 looks ahead, 1 left, 2 back, 3 right.
    pub(crate) number: usize,
    /// Pixels across.
    pub(crate) width: u32,
    /// Pixels down.
    pub(crate) height: u32,
}

/// Where an object is in an image, in pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ImageBox {
    pub(crate) camera: usize,
    pub(crate) left: u32,
    pub(crate) top: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Whether it is large enough that it must be found.
    pub(crate) visible: bool,
}

impl Camera {
    /// The names, by number; no car here has more.
    pub(crate) const NAMES: [&str; 4] = ["front", "left", "rear", "right"];

    /// Where an object appears, if it does.
    pub(crate) fn see(&self, object: &Object) -> Option<ImageBox> {
        let focal = f64::from(self.width) / 2.0 / HALF_VIEW.tan();
        let (sin, cos) = (TAU / 4.0 * self.number as f64).sin_cos();
        let (mut low, mut high) = ([f64::MAX; 2], [f64::MIN; 2]);
        for [x, y, z] in object.corners() {
            let (ahead, left) = (x * cos + y * sin, y * cos - x * sin);
            if ahead < 1.0 {
                return None;
            }
            let at =
                [f64::from(self.width) / 2.0 - left / ahead * focal, f64::from(self.height) / 2.0 - z / ahead * focal];
            for axis in 0..2 {
                low[axis] = low[axis].min(at[axis]);
                high[axis] = high[axis].max(at[axis]);
            }
        }
        let clip = |value: f64, most: u32| value.round().clamp(0.0, f64::from(most)) as u32;
        let (left, right) = (clip(low[0], self.width), clip(high[0], self.width));
        let (top, bottom) = (clip(low[1], self.height), clip(high[1], self.height));
        let (width, height) = (right - left, bottom - top);
        let visible = width >= SMALLEST && height >= SMALLEST;
        (width > 0 && height > 0).then_some(ImageBox { camera: self.number, left, top, width, height, visible })
    }

    /// Paints the image number `frame` of the drive `seed`: interleaved RGB, row by row.
    pub(crate) fn paint(&self, objects: &[Object], seed: u64, frame: u64) -> Vec<u8> {
        let seed = random::at(seed, frame * 8 + self.number as u64);
        let mut pixels = Vec::with_capacity((self.width * self.height * 3) as usize);
        for y in 0..self.height {
            let colour = background(y, self.height);
            for x in 0..self.width {
                pixels.extend(grained(colour, seed, u64::from(y * self.width + x)));
            }
        }
        for object in objects {
            let Some(place) = self.see(object) else { continue };
            let colour = match object.kind {
                Kind::Car => [235, 95, 25],
                Kind::Truck => [225, 60, 40],
                Kind::Pedestrian => [240, 130, 20],
            };
            for y in place.top..place.top + place.height {
                for x in place.left..place.left + place.width {
                    let index = y * self.width + x;
                    let pixel = &mut pixels[index as usize * 3..][..3];
                    pixel.copy_from_slice(&grained(colour, seed, u64::from(index)));
                }
            }
        }
        pixels
    }
}

/// A sky that pales towards the horizon, over a grey road.
fn background(y: u32, height: u32) -> [u8; 3] {
    let half = (height / 2).max(1);
    if y < half {
        let pale = (y * 60 / half) as u8;
        [100 + pale, 140 + pale / 2, 190]
    } else {
        let near = ((y - half) * 40 / half) as u8;
        [80 + near, 80 + near, 84 + near]
    }
}

fn grained(colour: [u8; 3], seed: u64, index: u64) -> [u8; 3] {
    let grain = (random::at(seed, index) % (2 * GRAIN as u64 + 1)) as i32 - GRAIN;
    colour.map(|channel| (i32::from(channel) + grain).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn car(centre: [f64; 3]) -> Object {
        Object { id: 0, kind: Kind::Car, centre, size: [4.4, 1.9, 1.5], yaw: 0.0 }
    }

    #[test]
    fn what_is_ahead_is_in_the_middle_of_the_front_image_alone() {
        let camera = |number| Camera { number, width: 640, height: 360 };
        let seen = camera(0).see(&car([15.0, 0.0, -1.0])).unwrap();
        assert_eq!(seen.left + seen.width / 2, 320);
        assert!(seen.visible);
        assert!((1..4).all(|number| camera(number).see(&car([15.0, 0.0, -1.0])).is_none()));
    }

    #[test]
    fn what_is_left_is_in_the_left_image() {
        let seen = Camera { number: 1, width: 640, height: 360 }.see(&car([0.0, 15.0, -1.0])).unwrap();
        assert!((310..330).contains(&(seen.left + seen.width / 2)), "{seen:?}");
    }

    #[test]
    fn an_object_is_painted_where_it_is_seen() {
        let camera = Camera { number: 0, width: 320, height: 180 };
        let object = car([12.0, 0.0, -1.0]);
        let place = camera.see(&object).unwrap();
        let pixels = camera.paint(&[object], 1, 0);
        let at = ((place.top + 2) * 320 + place.left + 2) as usize * 3;
        assert!(pixels[at] > 200 && pixels[at + 2] < 60, "{:?}", &pixels[at..at + 3]);
    }
}
