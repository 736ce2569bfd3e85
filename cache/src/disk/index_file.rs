//! The index file of a segment: a head that says which shape it has, then an entry a slot.
//!
//! Entries are written after their blocks and never changed. Nothing here is protected by itself: a damaged
//! entry points to a block whose checksum does not fit it, and is found then.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crate::disk::index::Entry;
use crate::disk::shape::{ENTRY, HEAD, Shape};

/// Changes when what fingerprints and checksums are made of does.
const MAGIC: &[u8; 8] = b"rfuse\0d1";

/// Writes the head.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_head(file: &File, shape: Shape) -> io::Result<()> {
    file.write_all_at(&head(shape), 0)
}

/// Writes `entries` from `slot` on.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(file: &File, slot: u32, entries: &[Entry]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY as usize);
    for entry in entries {
        bytes.extend_from_slice(&entry.fingerprint.to_le_bytes());
        bytes.extend_from_slice(&entry.checksum.to_le_bytes());
    }
    file.write_all_at(&bytes, HEAD + u64::from(slot) * ENTRY)
}

/// The entries of `file`, slot after slot; empty slots have fingerprint zero, and a file that is cut ends early.
///
/// # Errors
/// The file cannot be read, was never begun (`UnexpectedEof`), or is no index file of `shape` (`InvalidData`).
pub(crate) fn read(mut file: &File, shape: Shape) -> io::Result<Vec<Entry>> {
    let most = HEAD + u64::from(shape.slots) * ENTRY;
    let mut bytes = Vec::with_capacity(most as usize);
    (&mut file).take(most).read_to_end(&mut bytes)?;
    if bytes.len() < HEAD as usize || bytes[..HEAD as usize] == [0; HEAD as usize] {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let Some((_, entries)) = bytes.split_at_checked(HEAD as usize).filter(|(start, _)| *start == head(shape)) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an index file has no head of ours"));
    };
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    let entry = |bytes: &[u8]| Entry { fingerprint: word(&bytes[..8]), checksum: word(&bytes[8..]) };
    Ok(entries.chunks_exact(ENTRY as usize).map(entry).collect())
}

fn head(shape: Shape) -> [u8; HEAD as usize] {
    let mut head = [0; HEAD as usize];
    head[..8].copy_from_slice(MAGIC);
    head[8..16].copy_from_slice(&shape.block_size.bytes().to_le_bytes());
    head[16..20].copy_from_slice(&shape.slots.to_le_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use rfuse_block::BlockSize;

    #[test]
    fn entries_come_back_and_a_cut_file_ends_early() {
        let file = tempfile::tempfile().unwrap();
        let shape = Shape { block_size: BlockSize::MIN, slots: 8 };
        assert!(read(&file, shape).is_err(), "without a head");
        write_head(&file, shape).unwrap();
        let entries: Vec<Entry> = (1..4).map(|i| Entry { fingerprint: i << 40 | 7, checksum: u64::MAX - i }).collect();
        write(&file, 2, &entries).unwrap();
        let fresh = || {
            let mut file = file.try_clone().unwrap();
            io::Seek::rewind(&mut file).unwrap();
            file
        };
        let empty = Entry { fingerprint: 0, checksum: 0 };
        assert_eq!(read(&fresh(), shape).unwrap(), [&[empty; 2], &entries[..]].concat());
        file.set_len(HEAD + 3 * ENTRY + 5).unwrap();
        assert_eq!(read(&fresh(), shape).unwrap().len(), 3);
        assert!(read(&fresh(), Shape { slots: 16, ..shape }).is_err(), "of another shape");
        file.set_len(60).unwrap();
        assert!(read(&fresh(), shape).is_err());
    }
}
