//! Directory entries packed into the kernel's buffer.

use rfuse_fs::DirEntry;
use zerocopy::IntoBytes;

use crate::kernel::abi::{Dirent, EntryOut};
use crate::words;

/// Bytes of the shortest entry, without and with attributes.
const ENTRY_MIN: usize = size_of::<Dirent>() + 8;
const ENTRY_PLUS_MIN: usize = size_of::<EntryOut>() + ENTRY_MIN;
/// No directory buffer of the kernel is larger (1 MiB, its largest request).
const BUFFER_MAX: usize = 1 << 20;

/// A buffer of the size the kernel asked for.
#[derive(Debug)]
pub(crate) struct Listing {
    bytes: Vec<u8>,
    room: usize,
    plus: bool,
}

/// There is no room for an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

impl Listing {
    /// Room for `size` bytes of entries; `plus`: with attributes.
    pub(crate) fn new(size: u32, plus: bool) -> Self {
        let room = usize::try_from(size).unwrap_or(BUFFER_MAX).min(BUFFER_MAX);
        Self { bytes: Vec::with_capacity(room), room, plus }
    }

    /// Entries that fit at most, however short their names.
    pub(crate) fn entries_max(size: u32, plus: bool) -> usize {
        let size = usize::try_from(size).unwrap_or(BUFFER_MAX).min(BUFFER_MAX);
        size / if plus { ENTRY_PLUS_MIN } else { ENTRY_MIN }
    }

    /// Whether there is room for `entry`.
    pub(crate) fn fits(&self, entry: &DirEntry) -> bool {
        self.bytes.len() + self.length(entry) <= self.room
    }

    /// Adds `entry` if there is room.
    pub(crate) fn push(&mut self, entry: &DirEntry) -> Result<(), Full> {
        if !self.fits(entry) {
            return Err(Full);
        }
        let end = self.bytes.len() + self.length(entry);
        if self.plus {
            let mut found = words::found(&entry.attr, entry.ttl);
            if !is_counted(entry) {
                // Inode 0: the kernel enters nothing and counts nothing.
                found.nodeid = 0;
            }
            self.bytes.extend_from_slice(found.as_bytes());
        }
        let namelen = u32::try_from(entry.name.len()).unwrap_or(u32::MAX);
        let kind = words::kind(entry.attr.kind);
        let head = Dirent { ino: entry.attr.inode.0, off: entry.next, namelen, kind };
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(&entry.name);
        self.bytes.resize(end, 0);
        Ok(())
    }

    fn length(&self, entry: &DirEntry) -> usize {
        let fixed = if self.plus { ENTRY_PLUS_MIN } else { ENTRY_MIN } - 8;
        fixed + entry.name.len().next_multiple_of(8)
    }

    /// What to send.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Whether a listing with attributes counts a reference for this entry.
pub(crate) fn is_counted(entry: &DirEntry) -> bool {
    entry.name != b"." && entry.name != b".."
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;
    use rfuse_fs::{Attr, FileKind, Inode};
    use zerocopy::FromBytes;

    use super::*;

    fn entry(name: &[u8], number: u64) -> DirEntry {
        let attr = Attr {
            inode: Inode(number),
            kind: FileKind::File,
            size: 1,
            modified: UNIX_EPOCH,
            accessed: UNIX_EPOCH,
            changed: UNIX_EPOCH,
            mode: 0o444,
            uid: 0,
            gid: 0,
            links: 1,
        };
        DirEntry { name: name.to_vec(), attr, next: number + 1, ttl: Duration::from_secs(1) }
    }

    #[test]
    fn dots_count_no_reference() {
        let mut listing = Listing::new(4096, true);
        listing.push(&entry(b"..", 5)).unwrap();
        assert_eq!(EntryOut::read_from_prefix(listing.as_bytes()).unwrap().0.nodeid, 0);
    }

    proptest! {
        #[test]
        fn the_kernel_finds_every_entry_that_fitted(
            names in proptest::collection::vec(proptest::collection::vec(1_u8.., 1..=255), 0..60),
            size in 0_u32..9000,
            plus: bool,
        ) {
            let mut listing = Listing::new(size, plus);
            let entries: Vec<_> = names.iter().zip(1..).map(|(name, number)| entry(name, number)).collect();
            let fitted: Vec<_> = entries.iter().take_while(|entry| listing.push(entry).is_ok()).collect();
            prop_assert!(listing.as_bytes().len() <= size as usize);
            prop_assert!(fitted.len() <= Listing::entries_max(size, plus));
            let mut rest = listing.as_bytes();
            for entry in fitted {
                if plus {
                    rest = &rest[size_of::<EntryOut>()..];
                }
                let (head, after) = Dirent::read_from_prefix(rest).unwrap();
                prop_assert_eq!((head.ino, head.off), (entry.attr.inode.0, entry.next));
                prop_assert_eq!(&after[..head.namelen as usize], &entry.name[..]);
                rest = &after[entry.name.len().next_multiple_of(8)..];
            }
            prop_assert!(rest.is_empty());
        }
    }
}
