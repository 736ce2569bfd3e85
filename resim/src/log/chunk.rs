//! A chunk taken apart: checked, decompressed, its messages decoded to what perception takes.

use std::collections::BTreeMap;

use mcap::McapError;
use mcap::read::{ChunkReader, parse_record};
use mcap::records::{Record as McapRecord, op};

use super::{Topic, Window};
use crate::checksum;
use crate::message::{Cloud, CompressedImage, Layout, MessageError, Pixels, Truth};

/// Bytes before a record's body: what it is, and its length.
const RECORD_HEAD: usize = 9;
/// A chunk that would unpack to more than this is not unpacked.
const UNPACKED_MOST: u64 = 4 << 30;

/// A message of a log.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Record {
    /// Log time in nanoseconds.
    pub(crate) time: u64,
    /// Its channel.
    pub(crate) channel: u16,
    pub(crate) content: Content,
}

/// What a message holds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Content {
    /// x, y, z and intensity of each point as floats.
    Cloud(Vec<u8>),
    /// Decoded pixels.
    Image(Pixels),
    /// What was really there.
    Truth(Truth),
    /// Something that is read and counted, and not looked into.
    Other,
}

/// Why a chunk was not taken apart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// Its bytes are not those of the manifest.
    #[error("the checksum of its {length} bytes at {offset} is {found:08x}, and the manifest says {expected:08x}")]
    Checksum {
        /// Where the chunk begins.
        offset: u64,
        /// Its bytes.
        length: u64,
        /// What was computed.
        found: u32,
        /// What should be.
        expected: u32,
    },
    /// Its own checksum is wrong, or it is damaged in another way.
    #[error("its chunk at {0} is damaged: {1}")]
    Damaged(u64, McapError),
    /// It is no chunk.
    #[error("its index names a chunk at {0}, and there is none")]
    NoChunk(u64),
    /// A message cannot be decoded.
    #[error("a message of {topic} at {time} ns cannot be decoded: {error}")]
    Message {
        /// Its topic.
        topic: String,
        /// Its log time.
        time: u64,
        /// What is wrong.
        error: MessageError,
    },
}

/// Takes the chunk record `bytes` from `offset` apart: the messages that `window` wants, in their order.
///
/// # Errors
/// It is not what the manifest, its own checksum or its messages' layouts say.
pub(crate) fn take_apart(
    bytes: &[u8],
    offset: u64,
    expected: Option<u32>,
    topics: &BTreeMap<u16, Topic>,
    window: &Window,
    start: u64,
) -> Result<Vec<Record>, ContentError> {
    let found = expected.map_or(0, |_| checksum::crc32(bytes));
    if let Some(expected) = expected
        && expected != found
    {
        return Err(ContentError::Checksum { offset, length: bytes.len() as u64, found, expected });
    }
    let damaged = |error| ContentError::Damaged(offset, error);
    let body = bytes.get(RECORD_HEAD..).ok_or(ContentError::NoChunk(offset))?;
    if bytes[0] != op::CHUNK {
        return Err(ContentError::NoChunk(offset));
    }
    let McapRecord::Chunk { header, data } = parse_record(op::CHUNK, body).map_err(damaged)? else {
        return Err(ContentError::NoChunk(offset));
    };
    if header.uncompressed_size > UNPACKED_MOST {
        return Err(damaged(McapError::ChunkTooLarge(header.uncompressed_size)));
    }
    let (from, to) = (start.saturating_add(window.from), start.saturating_add(window.to));
    // The chunk's own checksum is known at its end: nothing is decoded before.
    let mut wanted = Vec::new();
    for record in ChunkReader::new(header, &data).map_err(damaged)? {
        let McapRecord::Message { header, data } = record.map_err(damaged)? else { continue };
        let Some(topic) = topics.get(&header.channel_id) else { continue };
        if header.log_time >= from && header.log_time < to && window.wants(&topic.name) {
            wanted.push((topic, header, data));
        }
    }
    let decoded = wanted.into_iter().map(|(topic, header, data)| {
        let (time, channel) = (header.log_time, header.channel_id);
        let content = decode(topic.layout, &data);
        let content = content.map_err(|error| ContentError::Message { topic: topic.name.clone(), time, error })?;
        Ok(Record { time, channel, content })
    });
    decoded.collect()
}

fn decode(layout: Option<Layout>, data: &[u8]) -> Result<Content, MessageError> {
    match layout {
        Some(Layout::Cloud) => {
            let cloud = Cloud::parse(data)?;
            let mut bytes = vec![0; cloud.len() * 16];
            cloud.copy_to(&mut bytes);
            Ok(Content::Cloud(bytes))
        }
        Some(Layout::Image) => CompressedImage::parse(data)?.decode().map(Content::Image),
        Some(Layout::Truth) => Truth::parse(data).map(Content::Truth),
        Some(Layout::Imu | Layout::Pose) | None => Ok(Content::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LogFile, tests::sample};
    use super::*;

    #[test]
    fn a_chunk_gives_its_messages_and_a_changed_byte_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mcap");
        sample(&path, 4, mcap::WriteOptions::new());
        let log = LogFile::open(&path).unwrap();
        let chunk = &log.chunks()[0];
        let mut bytes = log.read(chunk.offset, chunk.length).unwrap();
        let crc = checksum::crc32(&bytes);
        let parts = |bytes: &[u8], expected| {
            take_apart(bytes, chunk.offset, expected, log.topics(), &Window::all(), log.start())
        };
        assert_eq!(parts(&bytes, Some(crc)).unwrap().len(), 2);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        assert!(matches!(parts(&bytes, Some(crc)), Err(ContentError::Checksum { .. })));
        assert!(matches!(parts(&bytes, None), Err(ContentError::Damaged(..))));
        assert!(matches!(parts(&bytes[1..], None), Err(ContentError::NoChunk(_))));
    }
}
