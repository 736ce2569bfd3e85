//! `sensor_msgs/CompressedImage`: JPEG.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::MessageError;
use super::cdr::{Reader, Writer};

/// An image as it lies in its message.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct CompressedImage<'a> {
    data: &'a [u8],
}

/// Decoded pixels: interleaved 8-bit RGB.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Pixels {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rgb: Vec<u8>,
}

impl<'a> CompressedImage<'a> {
    /// Finds the image in a message.
    ///
    /// # Errors
    /// It is no image, or not JPEG.
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(message)?;
        reader.stamp()?;
        let format = reader.text()?;
        let data = reader.bytes()?;
        if !format.to_ascii_lowercase().contains("jp") {
            return Err(MessageError::Format(format.to_owned()));
        }
        Ok(Self { data })
    }

    /// Decodes it.
    ///
    /// # Errors
    /// It is damaged.
    pub(crate) fn decode(&self) -> Result<Pixels, MessageError> {
        let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB).set_strict_mode(true);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(self.data), options);
        let rgb = decoder.decode().map_err(|error| MessageError::Image(error.to_string()))?;
        let info = decoder.info().ok_or_else(|| MessageError::Image("it has no size".to_owned()))?;
        Ok(Pixels { width: u32::from(info.width), height: u32::from(info.height), rgb })
    }
}

/// A message of pixels, compressed at `quality` of 100.
///
/// # Errors
/// The image is larger than JPEG can hold.
pub(crate) fn write_image(
    nanoseconds: u64,
    frame: &str,
    pixels: &Pixels,
    quality: u8,
) -> Result<Vec<u8>, MessageError> {
    let mut jpeg = Vec::new();
    let side = |side: u32| u16::try_from(side).map_err(|_| MessageError::Image("it is too large".to_owned()));
    let (width, height) = (side(pixels.width)?, side(pixels.height)?);
    jpeg_encoder::Encoder::new(&mut jpeg, quality)
        .encode(&pixels.rgb, width, height, jpeg_encoder::ColorType::Rgb)
        .map_err(|error| MessageError::Image(error.to_string()))?;
    let mut writer = Writer::new(jpeg.len() + 64);
    writer.stamp(nanoseconds, frame);
    writer.text("jpeg");
    writer.bytes(jpeg.len()).extend(jpeg);
    Ok(writer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_comes_back_nearly_as_it_was() {
        let rgb: Vec<u8> = (0..32 * 16).flat_map(|index| [(index / 4) as u8, 128, 200]).collect();
        let pixels = Pixels { width: 32, height: 16, rgb };
        let message = write_image(1, "camera", &pixels, 90).unwrap();
        let back = CompressedImage::parse(&message).unwrap().decode().unwrap();
        assert_eq!((back.width, back.height), (32, 16));
        let worst = pixels.rgb.iter().zip(&back.rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst < 24, "{worst}");
    }

    #[test]
    fn another_format_is_named() {
        let mut writer = Writer::new(0);
        writer.stamp(0, "");
        writer.text("h264");
        writer.bytes(0);
        let error = CompressedImage::parse(&writer.finish()).unwrap_err();
        assert!(error.to_string().contains("h264"));
    }
}
