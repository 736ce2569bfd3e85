//! Zip, and what is a zip inside (NumPy's npz, PyTorch's pt): the end says where the directory lies, and the directory
//! where each member begins.

use rfuse_block::ByteRange;

use super::{Finding, Format, Words, is_tail};

const END: &[u8; 4] = b"PK\x05\x06";
const END_64: &[u8; 4] = b"PK\x06\x06";
const ENTRY: &[u8; 4] = b"PK\x01\x02";
/// A field that stands for one of 64 bits elsewhere.
const ELSEWHERE: u64 = u32::MAX as u64;

/// The format.
#[derive(Debug)]
pub(super) struct Zip;

impl Format for Zip {
    fn endings(&self) -> &'static [&'static str] {
        &["zip", "npz", "pt", "pth"]
    }

    fn wants(&self, size: u64, range: ByteRange) -> bool {
        is_tail(size, range)
    }

    fn look(&self, size: u64, offset: u64, bytes: &[u8]) -> Option<Finding> {
        if offset.checked_add(bytes.len() as u64)? != size {
            return None;
        }
        let directory = directory(bytes)?;
        match directory.start().checked_sub(offset) {
            Some(skip) => members(bytes.get(usize::try_from(skip).ok()?..)?, directory.start()).map(Finding::Parts),
            None => Some(Finding::Index(ByteRange::new(directory.start(), size))),
        }
    }
}

/// Where the directory lies, as the end of the file says.
fn directory(bytes: &[u8]) -> Option<ByteRange> {
    let at = bytes.windows(4).rposition(|window| window == END)?;
    let mut words = Words(&bytes[at + 12..]);
    let (length, start) = (words.u32()?, words.u32()?);
    if start != ELSEWHERE && length != ELSEWHERE {
        return super::range(start, length);
    }
    let at = bytes[..at].windows(4).rposition(|window| window == END_64)?;
    let mut words = Words(bytes.get(at + 40..)?);
    let (length, start) = (words.u64()?, words.u64()?);
    super::range(start, length)
}

/// The members of a directory in the order of their places, each up to the next or the directory itself.
fn members(directory: &[u8], end: u64) -> Option<Vec<ByteRange>> {
    let mut words = Words(directory);
    let mut starts = Vec::new();
    while words.take(4) == Some(ENTRY) {
        words.take(16)?;
        let (compressed, _plain) = (words.u32()?, words.u32()?);
        let (name, extra, comment) = (words.u16()?, words.u16()?, words.u16()?);
        words.take(8)?;
        let start = words.u32()?;
        words.take(name as usize)?;
        let extra = words.take(extra as usize)?;
        words.take(comment as usize)?;
        starts.push(if start == ELSEWHERE { start_64(extra, compressed)? } else { start });
    }
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().copied().skip(1).chain([end]);
    let members: Vec<ByteRange> = starts
        .iter()
        .zip(ends)
        .filter(|(start, end)| *start < end)
        .map(|(start, end)| ByteRange::new(*start, end))
        .collect();
    (!members.is_empty()).then_some(members)
}

/// The start of a member out of the field for 64 bits, where sizes come first if they are there, too.
fn start_64(extra: &[u8], compressed: u64) -> Option<u64> {
    let mut words = Words(extra);
    loop {
        let (kind, length) = (words.u16()?, words.u16()?);
        let field = words.take(length as usize)?;
        if kind == 1 {
            // The plain size is there whenever the other is.
            let skip = if compressed == ELSEWHERE { 16 } else { 0 };
            let from = field.len().checked_sub(8).filter(|last| *last >= skip)?;
            return Words(&field[from.min(skip)..]).u64();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(start: u32, name: &str) -> Vec<u8> {
        let mut entry = ENTRY.to_vec();
        entry.extend([0; 16]);
        entry.extend([9, 0, 0, 0, 9, 0, 0, 0]);
        entry.extend((name.len() as u16).to_le_bytes());
        entry.extend([0; 4 + 8]);
        entry.extend(start.to_le_bytes());
        entry.extend(name.as_bytes());
        entry
    }

    #[test]
    fn the_end_leads_to_the_directory_and_that_to_the_members() {
        let mut file = vec![1; 300];
        file.extend(entry(100, "b"));
        file.extend(entry(0, "a.npy"));
        let length = file.len() as u32 - 300;
        file.extend(END);
        file.extend([0; 8]);
        file.extend(length.to_le_bytes());
        file.extend(300u32.to_le_bytes());
        file.extend([0; 2]);
        let size = file.len() as u64;
        assert_eq!(
            Zip.look(size, size - 22, &file[file.len() - 22..]),
            Some(Finding::Index(ByteRange::new(300, size)))
        );
        let members = vec![ByteRange::new(0, 100), ByteRange::new(100, 300)];
        assert_eq!(Zip.look(size, 300, &file[300..]), Some(Finding::Parts(members)));
        assert_eq!(Zip.look(size, 0, &file[..50]), None);
    }

    #[test]
    fn a_large_one_says_it_in_64_bits() {
        let mut field = vec![1, 0, 24, 0];
        field.extend([5u64, 6, 1 << 40].iter().flat_map(|number| number.to_le_bytes()));
        assert_eq!(start_64(&field, ELSEWHERE), Some(1 << 40));
        let mut field = vec![9, 0, 1, 0, 0, 1, 0, 8, 0];
        field.extend((1u64 << 41).to_le_bytes());
        assert_eq!(start_64(&field, 7), Some(1 << 41));
    }
}
