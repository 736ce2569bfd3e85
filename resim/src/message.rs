//! The messages of a drive log: those of ROS 2 in CDR, and the truth in JSON.
//!
//! The layouts are those that recorders and viewers know (`sensor_msgs`, `geometry_msgs`), so that a generated log
//! opens in their tools, and a recorded one replays here.

mod cdr;
mod cloud;
mod image;
mod motion;
mod schema;
mod truth;

pub(crate) use cloud::{Cloud, write_cloud};
pub(crate) use image::{CompressedImage, Pixels, write_image};
pub(crate) use motion::{write_imu, write_pose};
pub(crate) use schema::Layout;
pub(crate) use truth::{Truth, TruthObject};

/// What is wrong with a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    /// It ends before it is complete.
    #[error("it ends before it is complete")]
    Short,
    /// It is in another encoding than little-endian CDR.
    #[error("it is not little-endian CDR")]
    Encoding,
    /// A text is not UTF-8.
    #[error("a text in it is not UTF-8")]
    Text,
    /// A cloud without x, y and z as floats.
    #[error("its points have no x, y and z of 32-bit floats, one after another")]
    Fields,
    /// An image in a format that is not decoded here.
    #[error("its images are \"{0}\", and only JPEG is decoded here")]
    Format(String),
    /// The image cannot be decoded.
    #[error("its image cannot be decoded: {0}")]
    Image(String),
    /// The truth is not the JSON it should be.
    #[error("its truth is not what it should be: {0}")]
    Truth(String),
}
