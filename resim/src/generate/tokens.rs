//! A token file: bytes that follow from their position.

use std::io::Write;
use std::path::Path;

use crate::outcome::Failure;
use crate::output::Output;
use crate::pattern;
use crate::progress::Progress;

/// Bytes a write, and a step of the progress bar.
pub(super) const STEP_BYTES: u64 = 8 << 20;

/// Writes `bytes` bytes of the content `seed`.
pub(super) fn write(path: &Path, seed: u64, bytes: u64, bar: &Progress) -> Result<(), Failure> {
    let mut output = Output::create(path)?;
    let mut buffer = vec![0; bytes.min(STEP_BYTES) as usize];
    let mut offset = 0;
    while offset < bytes {
        let count = (bytes - offset).min(STEP_BYTES) as usize;
        pattern::fill(seed, offset, &mut buffer[..count]);
        output.write_all(&buffer[..count]).map_err(|error| Failure::file("write", output.partial(), &error))?;
        offset += count as u64;
        bar.inc(1);
    }
    output.finish()
}
