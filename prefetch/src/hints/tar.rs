//! Tar: no directory, but each member's header says where the next one lies, so whoever lists an archive goes from
//! header to header, each a round trip away.

use rfuse_block::ByteRange;

use super::{Finding, Format, range};

const BLOCK: u64 = 512;
const MAGIC: &[u8; 5] = b"ustar";

/// The format.
#[derive(Debug)]
pub(super) struct Tar;

impl Format for Tar {
    fn endings(&self) -> &'static [&'static str] {
        &["tar"]
    }

    fn wants(&self, _size: u64, range: ByteRange) -> bool {
        range.start().is_multiple_of(BLOCK)
    }

    fn look(&self, size: u64, offset: u64, bytes: &[u8]) -> Option<Finding> {
        let (mut at, end) = (offset, offset.checked_add(bytes.len() as u64)?);
        // Through all headers that are here, to the first that is not.
        while at < end {
            let header = bytes.get(usize::try_from(at - offset).ok()?..)?.get(..BLOCK as usize)?;
            at = at.checked_add(BLOCK)?.checked_add(length(header)?.checked_next_multiple_of(BLOCK)?)?;
        }
        // In the middle of a member the first step fails already; right behind one the reader is there himself.
        (at > end && at < size).then(|| range(at, BLOCK.min(size - at)).map(Finding::Index)).flatten()
    }
}

/// Bytes of the member behind a header: octal digits, or a number of 64 bits where the first bit is set.
fn length(header: &[u8]) -> Option<u64> {
    if &header[257..262] != MAGIC {
        return None;
    }
    let field = &header[124..136];
    if field[0] & 0x80 != 0 {
        return field[4..].try_into().ok().map(u64::from_be_bytes);
    }
    let digits = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(length: u64) -> Vec<u8> {
        let mut header = vec![0; BLOCK as usize];
        header[124..135].copy_from_slice(format!("{length:011o}").as_bytes());
        header[257..262].copy_from_slice(MAGIC);
        header
    }

    #[test]
    fn a_header_leads_to_the_next() {
        assert_eq!(Tar.look(1 << 30, 0, &header(5000)), Some(Finding::Index(ByteRange::at(512 + 5120, 512))));
        let two = [header(3), vec![1; 512], header(10_000)].concat();
        assert_eq!(Tar.look(1 << 30, 512, &two), Some(Finding::Index(ByteRange::at(512 + 3 * 512 + 10_240, 512))));
        assert_eq!(Tar.look(1 << 30, 0, &[7; 512]), None, "no header");
        assert_eq!(Tar.look(6000, 0, &header(5000)), Some(Finding::Index(ByteRange::at(5632, 368))));
        assert_eq!(Tar.look(5632, 0, &header(5000)), None, "the last");
    }
}
