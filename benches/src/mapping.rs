//! A file mapped into memory, read a page at a time: the one way to make page faults.
#![expect(unsafe_code, reason = "mapping memory is an unsafe call")]

use std::fs::File;
use std::io;
use std::ptr::{NonNull, null_mut};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A whole file, read-only and shared.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory is only ever read, and belongs to nobody but this value.
unsafe impl Send for Mapping {}
// SAFETY: as above; reading from many threads is no conflict.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `length` bytes; no hint is given to the kernel.
    ///
    /// # Errors
    /// The kernel will not.
    pub fn new(file: &File, length: u64) -> io::Result<Self> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory that is in use.
        let start = unsafe { mmap(null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, length })
    }

    /// Copies what stands at `offset`; the file must not shrink meanwhile (SIGBUS).
    ///
    /// # Errors
    /// The range is not in the mapping.
    pub fn copy(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(into.len() as u64).filter(|end| *end <= self.length as u64);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        // SAFETY: `offset` lies in the mapping (checked above).
        let from = unsafe { self.start.as_ptr().add(offset as usize) };
        // SAFETY: so does the end of the source; the target is ours, and they do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and nothing borrows from it.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert!(unmapped.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_copied_is_what_the_file_holds() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 5000]).unwrap();
        let mapping = Mapping::new(&file, 5000).unwrap();
        let mut bytes = [0; 10];
        mapping.copy(4990, &mut bytes).unwrap();
        assert_eq!(bytes, [7; 10]);
        assert!(mapping.copy(4991, &mut bytes).is_err());
    }
}
