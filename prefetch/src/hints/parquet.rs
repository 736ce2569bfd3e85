//! Parquet: the last eight bytes say how long the footer before them is. What the footer says is left to its
//! reader: which columns are read is not in it.

use rfuse_block::ByteRange;

use super::{Finding, Format, Words, is_tail};

const MAGIC: &[u8; 4] = b"PAR1";

/// The format.
#[derive(Debug)]
pub(super) struct Parquet;

impl Format for Parquet {
    fn endings(&self) -> &'static [&'static str] {
        &["parquet"]
    }

    fn wants(&self, size: u64, range: ByteRange) -> bool {
        is_tail(size, range)
    }

    fn look(&self, size: u64, offset: u64, bytes: &[u8]) -> Option<Finding> {
        if offset.checked_add(bytes.len() as u64)? != size || !bytes.ends_with(MAGIC) {
            return None;
        }
        let mut words = Words(&bytes[bytes.len().checked_sub(8)?..]);
        let start = size.checked_sub(8)?.checked_sub(words.u32()?)?;
        (start < offset).then(|| Finding::Index(ByteRange::new(start, size)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_leads_to_the_footer() {
        let end = [&5000u32.to_le_bytes()[..], MAGIC].concat();
        assert_eq!(Parquet.look(9008, 9000, &end), Some(Finding::Index(ByteRange::new(4000, 9008))));
        assert_eq!(Parquet.look(4008, 4000, &end), None, "longer than the file");
        let whole = [vec![0; 6000], end].concat();
        assert_eq!(Parquet.look(10_000, 10_000 - whole.len() as u64, &whole), None, "all of it is here already");
    }
}
