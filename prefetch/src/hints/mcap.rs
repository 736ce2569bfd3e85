//! MCAP (<https://mcap.dev/spec>): the footer at the end says where the summary begins, and the summary has an entry
//! for each chunk. Readers go through the chunks in the order of their times.

use rfuse_block::ByteRange;

use super::{Finding, Format, Words, is_tail, range};

const MAGIC: &[u8; 8] = b"\x89MCAP0\r\n";
/// Opcode, length and content of the footer, and the magic behind it.
const TAIL: usize = 1 + 8 + 20 + 8;
const FOOTER: u8 = 0x02;
const CHUNK_INDEX: u8 = 0x08;

/// The format.
#[derive(Debug)]
pub(super) struct Mcap;

impl Format for Mcap {
    fn endings(&self) -> &'static [&'static str] {
        &["mcap"]
    }

    fn wants(&self, size: u64, range: ByteRange) -> bool {
        is_tail(size, range)
    }

    fn look(&self, size: u64, offset: u64, bytes: &[u8]) -> Option<Finding> {
        if offset.checked_add(bytes.len() as u64)? != size || !bytes.ends_with(MAGIC) {
            return None;
        }
        let start = summary_start(bytes)?;
        match start.checked_sub(offset) {
            // All of the summary is here.
            Some(skip) => chunks(bytes.get(usize::try_from(skip).ok()?..)?).map(Finding::Parts),
            None => Some(Finding::Index(ByteRange::new(start, size.max(start)))),
        }
    }
}

fn summary_start(bytes: &[u8]) -> Option<u64> {
    let mut words = Words(&bytes[bytes.len().checked_sub(TAIL)?..]);
    let sound = words.u8()? == FOOTER && words.u64()? == 20;
    words.u64().filter(|start| sound && *start > 0)
}

/// The chunks of a summary, by the time of their first message.
fn chunks(summary: &[u8]) -> Option<Vec<ByteRange>> {
    let mut words = Words(summary);
    let mut chunks: Vec<(u64, ByteRange)> = Vec::new();
    while let Some(opcode) = words.u8() {
        let Some(record) = words.u64().and_then(|length| words.take(usize::try_from(length).ok()?)) else { break };
        if opcode == CHUNK_INDEX {
            let mut record = Words(record);
            let (time, _end, start, length) = (record.u64()?, record.u64()?, record.u64()?, record.u64()?);
            chunks.push((time, range(start, length)?));
        }
    }
    chunks.sort_by_key(|(time, range)| (*time, range.start()));
    (!chunks.is_empty()).then(|| chunks.into_iter().map(|(_, range)| range).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(opcode: u8, content: &[u8]) -> Vec<u8> {
        [&[opcode][..], &(content.len() as u64).to_le_bytes(), content].concat()
    }

    fn words(numbers: &[u64]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// A file with two chunks, the later of which comes first in time.
    fn file() -> (Vec<u8>, u64) {
        let mut file = MAGIC.to_vec();
        file.extend(vec![7; 1000]);
        let start = file.len() as u64;
        file.extend(record(0x03, b"a schema"));
        file.extend(record(CHUNK_INDEX, &[words(&[50, 60, 8, 400]), vec![0; 20]].concat()));
        file.extend(record(CHUNK_INDEX, &[words(&[10, 20, 408, 600]), vec![0; 20]].concat()));
        file.extend(record(FOOTER, &[words(&[start, 0]), vec![0; 4]].concat()));
        file.extend(MAGIC);
        (file, start)
    }

    #[test]
    fn the_footer_leads_to_the_summary_and_that_to_the_chunks_in_time() {
        let (file, start) = file();
        let size = file.len() as u64;
        let tail = size - TAIL as u64;
        let found = Mcap.look(size, tail, &file[tail as usize..]);
        assert_eq!(found, Some(Finding::Index(ByteRange::new(start, size))));
        let chunks = vec![ByteRange::new(408, 1008), ByteRange::new(8, 408)];
        assert_eq!(Mcap.look(size, start, &file[start as usize..]), Some(Finding::Parts(chunks)));
        assert_eq!(Mcap.look(size, 0, &file[..500]), None);
        assert_eq!(Mcap.look(size + 1, tail, &file[tail as usize..]), None, "not the end");
    }
}
