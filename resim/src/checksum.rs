//! Checksums: SHA-256 a file, which `sha256sum` knows too, and CRC-32 a piece, for those who read pieces.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes a read.
const STEP: usize = 1 << 20;

/// The SHA-256 of a file in hexadecimal digits, and its length.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn sha256(path: &Path) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    let length = each_step(path, |bytes| hash.update(bytes))?;
    Ok((hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), length))
}

/// The CRC-32 of a file.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn crc32_of(path: &Path) -> io::Result<u32> {
    let mut hash = crc32fast::Hasher::new();
    each_step(path, |bytes| hash.update(bytes))?;
    Ok(hash.finalize())
}

/// Reads a file from front to back; its length.
fn each_step(path: &Path, mut use_up: impl FnMut(&[u8])) -> io::Result<u64> {
    let file = File::open(path)?;
    let mut buffer = vec![0; STEP];
    let mut length = 0;
    loop {
        let count = file.read_at(&mut buffer, length)?;
        if count == 0 {
            return Ok(length);
        }
        use_up(&buffer[..count]);
        length += count as u64;
    }
}

/// The CRC-32 of bytes.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_sha256sum_prints() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(file.path()).unwrap(), (expected.to_owned(), 3));
    }
}
