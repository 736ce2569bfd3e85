//! safetensors: eight bytes with the length of a header, the header in JSON, then the tensors. Loaders read them in
//! the order of their places.

use rfuse_block::ByteRange;

use super::{Finding, Format, Words, range};

/// The longest header the format allows.
const HEADER_MAX: u64 = 100_000_000;

/// The format.
#[derive(Debug)]
pub(super) struct SafeTensors;

impl Format for SafeTensors {
    fn endings(&self) -> &'static [&'static str] {
        &["safetensors"]
    }

    fn wants(&self, _size: u64, range: ByteRange) -> bool {
        range.start() == 0
    }

    fn look(&self, _size: u64, offset: u64, bytes: &[u8]) -> Option<Finding> {
        if offset != 0 {
            return None;
        }
        let length = Words(bytes).u64().filter(|length| (2..=HEADER_MAX).contains(length))?;
        let Some(header) = bytes.get(8..8 + usize::try_from(length).ok()?) else {
            return Some(Finding::Index(range(0, 8 + length)?));
        };
        let mut tensors: Vec<ByteRange> =
            offsets(header).filter_map(|(start, end)| range(start.checked_add(8 + length)?, end - start)).collect();
        tensors.sort_unstable_by_key(|tensor| tensor.start());
        (!tensors.is_empty()).then_some(Finding::Parts(tensors))
    }
}

/// Both numbers behind each `"data_offsets"` of a header: what else stands in it is of no interest here.
fn offsets(header: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    const KEY: &[u8] = b"\"data_offsets\"";
    let places = header.windows(KEY.len()).enumerate().filter(|(_, window)| *window == KEY);
    places.filter_map(|(at, _)| {
        let rest = header.get(at + KEY.len()..)?;
        let open = rest.iter().take(8).position(|&byte| byte == b'[')?;
        let inside = rest.get(open + 1..)?;
        let close = inside.iter().take(64).position(|&byte| byte == b']')?;
        let (start, end) = std::str::from_utf8(&inside[..close]).ok()?.split_once(',')?;
        let (start, end): (u64, u64) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
        (start < end).then_some((start, end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_leads_to_the_header_and_that_to_the_tensors() {
        let header = br#"{"b":{"dtype":"F32","shape":[2],"data_offsets":[8, 16]},"a":{"data_offsets":[0,8]},"e":{"data_offsets":[16,16]}}"#;
        let file = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 16]].concat();
        let (size, start) = (file.len() as u64, 8 + header.len() as u64);
        assert_eq!(SafeTensors.look(size, 0, &file[..100]), Some(Finding::Index(ByteRange::new(0, start))));
        let tensors = vec![ByteRange::at(start, 8), ByteRange::at(start + 8, 8)];
        assert_eq!(SafeTensors.look(size, 0, &file), Some(Finding::Parts(tensors)));
        assert_eq!(SafeTensors.look(size, 8, &file[8..]), None);
    }
}
