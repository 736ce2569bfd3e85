//! The encoding of ROS 2: little-endian, each value aligned to its size from the end of a four-byte head.

use super::MessageError;

/// The head: plain CDR, little-endian, no options.
const HEAD: [u8; 4] = [0, 1, 0, 0];

/// Writes a message.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(room: usize) -> Self {
        let mut bytes = Vec::with_capacity(room + 64);
        bytes.extend(HEAD);
        Self(bytes)
    }

    fn align(&mut self, size: usize) {
        let length = (self.0.len() - HEAD.len()).next_multiple_of(size) + HEAD.len();
        self.0.resize(length, 0);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn f64(&mut self, value: f64) {
        self.align(8);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn text(&mut self, value: &str) {
        self.u32(value.len() as u32 + 1);
        self.0.extend(value.as_bytes());
        self.0.push(0);
    }

    /// A sequence of bytes: its length, then room that the caller fills.
    pub(super) fn bytes(&mut self, count: usize) -> &mut Vec<u8> {
        self.u32(count as u32);
        &mut self.0
    }

    /// The head of every stamped message.
    pub(super) fn stamp(&mut self, nanoseconds: u64, frame: &str) {
        self.u32((nanoseconds / 1_000_000_000) as u32);
        self.u32((nanoseconds % 1_000_000_000) as u32);
        self.text(frame);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a message.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, MessageError> {
        let head = bytes.get(..HEAD.len()).ok_or(MessageError::Short)?;
        if head[1] != HEAD[1] {
            return Err(MessageError::Encoding);
        }
        Ok(Self { bytes: &bytes[HEAD.len()..], at: 0 })
    }

    fn take(&mut self, count: usize, align: usize) -> Result<&'a [u8], MessageError> {
        let from = self.at.next_multiple_of(align);
        let to = from.checked_add(count).ok_or(MessageError::Short)?;
        let taken = self.bytes.get(from..to).ok_or(MessageError::Short)?;
        self.at = to;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, MessageError> {
        Ok(self.take(1, 1)?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, MessageError> {
        let bytes = self.take(4, 4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, MessageError> {
        let length = self.u32()? as usize;
        let bytes = self.take(length, 1)?;
        let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        std::str::from_utf8(text).map_err(|_| MessageError::Text)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], MessageError> {
        let length = self.u32()? as usize;
        self.take(length, 1)
    }

    /// Nanoseconds and frame of a stamped message.
    pub(super) fn stamp(&mut self) -> Result<(u64, &'a str), MessageError> {
        let nanoseconds = u64::from(self.u32()?) * 1_000_000_000 + u64::from(self.u32()?);
        Ok((nanoseconds, self.text()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned_from_the_end_of_the_head() {
        let mut writer = Writer::new(0);
        writer.u8(7);
        writer.f64(1.0);
        writer.text("ab");
        let bytes = writer.finish();
        assert_eq!(bytes.len(), 4 + 8 + 8 + 4 + 3);
        assert_eq!(bytes[4 + 8..4 + 16], 1.0f64.to_le_bytes());
        let mut reader = Reader::new(&bytes).unwrap();
        assert_eq!(reader.u8().unwrap(), 7);
        reader.take(8, 8).unwrap();
        assert_eq!(reader.text().unwrap(), "ab");
        assert!(reader.u8().is_err());
    }

    #[test]
    fn a_length_that_lies_is_an_error() {
        let mut writer = Writer::new(0);
        writer.u32(u32::MAX);
        let bytes = writer.finish();
        assert!(matches!(Reader::new(&bytes).unwrap().bytes(), Err(MessageError::Short)));
        assert!(matches!(Reader::new(&[0, 0, 0, 0]), Err(MessageError::Encoding)));
    }
}
