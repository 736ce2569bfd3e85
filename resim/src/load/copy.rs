//! A copy of the input, written from front to back and read back before it is called right.

use std::io::Write;
use std::path::PathBuf;

use super::Piece;
use crate::checksum;
use crate::files::Input;
use crate::outcome::Failure;
use crate::output::Output;

/// A copy that is being written, file by file.
pub(super) struct Copy {
    folder: Option<PathBuf>,
    open: Option<(usize, Output)>,
    /// What was written of each file: its path and the CRC-32 of its bytes.
    files: Vec<(PathBuf, crc32fast::Hasher)>,
    pub(super) written: u64,
}

impl Copy {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, open: None, files: Vec::new(), written: 0 }
    }

    pub(super) fn write(&mut self, files: &[Input], piece: &Piece) -> Result<(), Failure> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = folder.join(&files[piece.block.file].name);
        if self.open.as_ref().is_none_or(|(file, _)| *file != piece.block.file) {
            if let Some((_, before)) = self.open.take() {
                before.finish()?;
            }
            self.open = Some((piece.block.file, Output::create(&path)?));
            self.files.push((path, crc32fast::Hasher::new()));
        }
        if let (Some((_, output)), Some((_, hash))) = (&mut self.open, self.files.last_mut()) {
            hash.update(&piece.bytes);
            output.write_all(&piece.bytes).map_err(|error| Failure::file("write", output.partial(), &error))?;
            self.written += piece.bytes.len() as u64;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.open.take().map_or(Ok(()), |(_, output)| output.finish())
    }

    /// Reads the copy and says what is wrong with it.
    pub(super) fn read_back(&mut self) -> Result<Vec<String>, Failure> {
        let mut wrong = Vec::new();
        for (path, hash) in self.files.drain(..) {
            let found = checksum::crc32_of(&path).map_err(|error| Failure::file("read back", &path, &error))?;
            if found != hash.finalize() {
                wrong.push(format!("{}: what is read back is not what was written", path.display()));
            }
        }
        Ok(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_changed_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "changed").unwrap();
        let mut copy = Copy::new(None);
        copy.files.push((path, crc32fast::Hasher::new()));
        assert_eq!(copy.read_back().unwrap().len(), 1);
    }
}
