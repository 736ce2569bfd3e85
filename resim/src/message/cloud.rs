//! `sensor_msgs/PointCloud2`: x, y, z and intensity as floats.

use super::MessageError;
use super::cdr::{Reader, Writer};

/// `PointField.FLOAT32`.
const FLOAT32: u8 = 7;
/// Bytes a point of ours.
const POINT: u32 = 16;

/// A cloud as it lies in its message.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Cloud<'a> {
    /// The points, `stride` bytes each; x, y and z lie at `offset`.
    data: &'a [u8],
    stride: usize,
    offset: usize,
    intensity: Option<usize>,
}

impl<'a> Cloud<'a> {
    /// Finds the points in a message.
    ///
    /// # Errors
    /// It is no cloud, or x, y and z are no floats beside each other.
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(message)?;
        reader.stamp()?;
        let (height, width) = (reader.u32()?, reader.u32()?);
        let (mut offsets, mut intensity) = ([None; 3], None);
        for _ in 0..reader.u32()? {
            let name = reader.text()?;
            let offset = reader.u32()? as usize;
            let float = reader.u8()? == FLOAT32;
            reader.u32()?;
            match name {
                "x" | "y" | "z" if float => offsets[usize::from(name.as_bytes()[0] - b'x')] = Some(offset),
                "intensity" if float => intensity = Some(offset),
                _ => {}
            }
        }
        let big_endian = reader.u8()? != 0;
        let stride = reader.u32()? as usize;
        reader.u32()?;
        let data = reader.bytes()?;
        let [Some(x), Some(y), Some(z)] = offsets else { return Err(MessageError::Fields) };
        let inside = intensity.is_none_or(|at| at + 4 <= stride);
        if big_endian || y != x + 4 || z != x + 8 || x + 12 > stride || !inside {
            return Err(MessageError::Fields);
        }
        let length = (u64::from(height) * u64::from(width)).checked_mul(stride as u64);
        let length = length.and_then(|length| usize::try_from(length).ok()).ok_or(MessageError::Short)?;
        let data = data.get(..length).ok_or(MessageError::Short)?;
        Ok(Self { data, stride, offset: x, intensity })
    }

    /// How many points there are.
    pub(crate) fn len(&self) -> usize {
        self.data.len() / self.stride
    }

    /// Writes x, y, z and intensity of each point, 16 bytes each, into `target`.
    ///
    /// # Panics
    /// `target` has not 16 bytes a point.
    pub(crate) fn copy_to(&self, target: &mut [u8]) {
        assert_eq!(target.len(), self.len() * POINT as usize);
        if self.stride == POINT as usize && self.offset == 0 && self.intensity == Some(12) {
            target.copy_from_slice(self.data);
            return;
        }
        for (point, target) in self.data.chunks_exact(self.stride).zip(target.chunks_exact_mut(POINT as usize)) {
            target[..12].copy_from_slice(&point[self.offset..self.offset + 12]);
            let intensity = self.intensity.map_or(&[0; 4][..], |at| &point[at..at + 4]);
            target[12..].copy_from_slice(intensity);
        }
    }
}

/// A message of points.
pub(crate) fn write_cloud(nanoseconds: u64, frame: &str, points: &[[f32; 4]]) -> Vec<u8> {
    let mut writer = Writer::new(points.len() * POINT as usize + 256);
    writer.stamp(nanoseconds, frame);
    writer.u32(1);
    writer.u32(points.len() as u32);
    writer.u32(4);
    for (index, name) in ["x", "y", "z", "intensity"].into_iter().enumerate() {
        writer.text(name);
        writer.u32(index as u32 * 4);
        writer.u8(FLOAT32);
        writer.u32(1);
    }
    writer.u8(0);
    writer.u32(POINT);
    writer.u32(POINT * points.len() as u32);
    let data = writer.bytes(points.len() * POINT as usize);
    data.extend(points.iter().flatten().flat_map(|value| value.to_le_bytes()));
    writer.u8(1);
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_back_as_they_were() {
        let points = [[1.0, 2.0, 3.0, 0.5], [-1.0, -2.0, -3.0, 0.25]];
        let message = write_cloud(5, "lidar", &points);
        let cloud = Cloud::parse(&message).unwrap();
        assert_eq!(cloud.len(), 2);
        let mut bytes = vec![0; 32];
        cloud.copy_to(&mut bytes);
        assert_eq!(bytes[16..20], (-1.0f32).to_le_bytes());
        assert_eq!(bytes[28..], 0.25f32.to_le_bytes());
    }

    #[test]
    fn another_layout_of_points_is_understood() {
        let data: Vec<u8> = (0..24u8).collect();
        let cloud = Cloud { data: &data, stride: 24, offset: 4, intensity: None };
        let mut bytes = vec![9; 16];
        cloud.copy_to(&mut bytes);
        assert_eq!(bytes, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0]);
    }

    #[test]
    fn a_size_that_no_message_has_is_an_error() {
        let mut message = write_cloud(5, "lidar", &[[1.0; 4]; 4]);
        // Height and width come after the stamp: two words, and a text of six bytes with its length.
        let at = 4 + 8 + 4 + 8;
        message[at..at + 8].fill(0xff);
        assert!(matches!(Cloud::parse(&message), Err(MessageError::Short)));
    }

    #[test]
    fn every_cut_of_a_message_is_an_error() {
        let message = write_cloud(5, "lidar", &[[1.0; 4]; 4]);
        let end = message.len() - 1;
        assert!((0..end).all(|cut| Cloud::parse(&message[..cut]).is_err()));
    }
}
