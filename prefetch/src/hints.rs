//! What a file's own index says will be read.
//!
//! Many formats say at one end where everything lies. Whoever reads that end will read the index it points to, and
//! then parts out of it: both are known one round trip before they are asked for. A format takes bytes and says what
//! they mean; it never reads. A file is taken for what its name and its first words both say, and what an index says
//! is believed only as far as it lies inside the file: a wrong one costs fetches and nothing else.

mod guide;
mod mcap;
mod parquet;
mod safetensors;
mod tar;
mod zip;

use std::fmt::Debug;

use rfuse_block::ByteRange;

pub use guide::Guide;

/// Bytes at either end of a file that are looked at.
pub const END: u64 = 64 << 10;
/// Bytes of an index at most; a longer one is left to its reader.
pub const INDEX_MAX: u64 = 64 << 20;
/// Parts of an index at most; the rest is left to their readers.
pub const PARTS_MAX: usize = 1 << 20;

/// What bytes of a file say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// There lies the index, or the next piece of one: have it here, and look at it.
    Index(ByteRange),
    /// These are the parts, in the order in which they are likely to be read.
    Parts(Vec<ByteRange>),
}

/// A format that says where its parts lie.
pub trait Format: Send + Sync + Debug {
    /// The endings of names that are taken for it, in lower case, without the dot.
    fn endings(&self) -> &'static [&'static str];

    /// Whether bytes from `offset` on of a file of `size` bytes may hold what [`Format::look`] wants to see.
    fn wants(&self, size: u64, range: ByteRange) -> bool;

    /// What `bytes`, which lie from `offset` on in a file of `size` bytes, say.
    fn look(&self, size: u64, offset: u64, bytes: &[u8]) -> Option<Finding>;
}

/// Every format that is known, each once.
static FORMATS: [&dyn Format; 5] = [&mcap::Mcap, &parquet::Parquet, &safetensors::SafeTensors, &tar::Tar, &zip::Zip];

/// The format that a name is taken for.
pub fn format_of(name: &[u8]) -> Option<&'static dyn Format> {
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    let ending = name[dot + 1..].to_ascii_lowercase();
    FORMATS.into_iter().find(|format| format.endings().iter().any(|known| known.as_bytes() == ending))
}

/// The same finding, if all of it lies in a file of `size` bytes and is of a size that is worth it.
pub fn sound(finding: Finding, size: u64) -> Option<Finding> {
    match finding {
        Finding::Index(range) if !range.is_empty() && range.end() <= size && range.length() <= INDEX_MAX => {
            Some(Finding::Index(range))
        }
        Finding::Index(_) => None,
        Finding::Parts(mut parts) => {
            parts.retain(|part| !part.is_empty() && part.end() <= size);
            parts.truncate(PARTS_MAX);
            (!parts.is_empty()).then_some(Finding::Parts(parts))
        }
    }
}

/// Whether a range comes within [`END`] of the end of a file of `size` bytes.
fn is_tail(size: u64, range: ByteRange) -> bool {
    range.end() >= size && range.start() + END >= size
}

/// The range from `start` on of `length` bytes; none where no file can have it.
fn range(start: u64, length: u64) -> Option<ByteRange> {
    Some(ByteRange::new(start, start.checked_add(length)?))
}

/// Little-endian numbers out of bytes.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u64> {
        self.take(2)?.try_into().ok().map(|bytes| u16::from_le_bytes(bytes).into())
    }

    fn u32(&mut self) -> Option<u64> {
        self.take(4)?.try_into().ok().map(|bytes| u32::from_le_bytes(bytes).into())
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_taken_for_a_format_by_its_ending() {
        for name in ["a.mcap", "b/c.MCAP", "x.parquet", "m.safetensors", "x.tar", "x.zip", "x.npz", "model.pt"] {
            assert!(format_of(name.as_bytes()).is_some(), "{name}");
        }
        for name in ["mcap", "a.bin", "", ".", "a.mcap.bak"] {
            assert!(format_of(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn what_does_not_lie_in_the_file_is_not_believed() {
        assert_eq!(sound(Finding::Index(ByteRange::new(5, 11)), 10), None);
        let parts = vec![ByteRange::new(0, 4), ByteRange::new(8, 12), ByteRange::new(3, 3)];
        assert_eq!(sound(Finding::Parts(parts), 10), Some(Finding::Parts(vec![ByteRange::new(0, 4)])));
        assert_eq!(sound(Finding::Index(ByteRange::new(0, INDEX_MAX + 1)), 1 << 40), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_format_fail(
            number in 0..FORMATS.len(),
            size in 0u64..100_000,
            offset in 0u64..100_000,
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            if let Some(finding) = FORMATS[number].look(size, offset, &bytes) {
                sound(finding, size);
            }
        }
    }
}
