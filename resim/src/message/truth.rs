//! What was really there, as the generator knows it.

use serde::{Deserialize, Serialize};

use super::MessageError;
use crate::scene::{ImageBox, Kind};

/// The objects around the car at a moment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Truth {
    pub(crate) objects: Vec<TruthObject>,
}

/// One object, in the lidar's frame.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct TruthObject {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    /// The middle of its box in metres.
    pub(crate) centre: [f64; 3],
    /// Length, width and height in metres.
    pub(crate) size: [f64; 3],
    /// Turn about the vertical axis in radians.
    pub(crate) yaw: f64,
    /// Points of the scan that hit it above the ground.
    pub(crate) points: u32,
    /// Where it is in the images.
    pub(crate) boxes: Vec<ImageBox>,
}

impl Truth {
    /// Reads a message.
    ///
    /// # Errors
    /// It is not the JSON that [`Truth::write`] makes.
    pub(crate) fn parse(message: &[u8]) -> Result<Self, MessageError> {
        serde_json::from_slice(message).map_err(|error| MessageError::Truth(error.to_string()))
    }

    /// A message.
    ///
    /// # Errors
    /// A number is no number.
    pub(crate) fn write(&self) -> Result<Vec<u8>, MessageError> {
        serde_json::to_vec(self).map_err(|error| MessageError::Truth(error.to_string()))
    }
}
