//! `sensor_msgs/Imu` and `geometry_msgs/PoseStamped`: how the car moves.

use super::cdr::Writer;
use crate::scene::Ego;

/// An inertial measurement.
pub(crate) fn write_imu(nanoseconds: u64, frame: &str, ego: &Ego) -> Vec<u8> {
    let mut writer = Writer::new(320);
    writer.stamp(nanoseconds, frame);
    let covariance = [0.0; 9];
    let parts: [&[f64]; 6] =
        [&turned(ego.yaw), &covariance, &[0.0, 0.0, ego.yaw_rate], &covariance, &ego.acceleration, &covariance];
    for value in parts.concat() {
        writer.f64(value);
    }
    writer.finish()
}

/// A pose.
pub(crate) fn write_pose(nanoseconds: u64, frame: &str, ego: &Ego) -> Vec<u8> {
    let mut writer = Writer::new(96);
    writer.stamp(nanoseconds, frame);
    for value in [&ego.position[..], &turned(ego.yaw)].concat() {
        writer.f64(value);
    }
    writer.finish()
}

/// A turn about the vertical axis as a quaternion x, y, z, w.
fn turned(yaw: f64) -> [f64; 4] {
    let (sin, cos) = (yaw / 2.0).sin_cos();
    [0.0, 0.0, sin, cos]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_length_of_their_layout() {
        let ego = Ego { position: [1.0, 2.0, 3.0], yaw: 0.5, yaw_rate: 0.1, acceleration: [0.0, 1.0, 9.81] };
        // Head 4, stamp 8, "imu" 4 + 4, then 37 doubles of which the first is aligned to 8.
        assert_eq!(write_imu(0, "imu", &ego).len(), 4 + 16 + 37 * 8);
        assert_eq!(write_pose(0, "map", &ego).len(), 4 + 16 + 7 * 8);
    }
}
