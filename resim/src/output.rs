//! Files that are whole or say that they are not: written as `NAME.partial`, renamed when finished.
//!
//! A job that fails keeps what it wrote, under the name that says so. Writing is sequential, as object stores want.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::outcome::Failure;

/// Bytes gathered before they are written.
const GATHER: usize = 1 << 20;

/// A file that is being written.
pub(crate) struct Output {
    path: PathBuf,
    partial: PathBuf,
    writer: BufWriter<File>,
}

impl Output {
    /// Starts `folder/name`, replacing an unfinished one.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Failure::file("make the folder", folder, &error))?;
        }
        let partial = partial_name(path);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).open(&partial);
        let file = opened.map_err(|error| Failure::file("write", &partial, &error))?;
        Ok(Self { path: path.to_path_buf(), partial, writer: BufWriter::with_capacity(GATHER, file) })
    }

    /// The name it has until it is finished.
    pub(crate) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Writes what is gathered, makes it durable and gives it its name.
    ///
    /// # Errors
    /// The volume is full or gone; the partial file stays.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let written = self.writer.flush().and_then(|()| self.writer.get_ref().sync_all());
        written.map_err(|error| Failure::file("write", &self.partial, &error))?;
        std::fs::rename(&self.partial, &self.path).map_err(|error| Failure::file("rename", &self.partial, &error))
    }

    /// Writes a whole small file.
    ///
    /// # Errors
    /// As [`Output::create`] and [`Output::finish`].
    pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
        let mut output = Self::create(path)?;
        output.write_all(bytes).map_err(|error| Failure::file("write", &output.partial, &error))?;
        output.finish()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The name of an unfinished file.
fn partial_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/a");
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"half").unwrap();
        output.flush().unwrap();
        assert!(!path.exists());
        assert_eq!(std::fs::read(output.partial()).unwrap(), b"half");
        output.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"half");
    }

    #[test]
    fn a_full_volume_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::os::unix::fs::symlink("/dev/full", partial_name(&path)).unwrap();
        let failure = Output::write(&path, &[0; 4096]).unwrap_err();
        assert!(failure.help.contains("make room"), "{failure}");
        assert!(!path.exists());
    }
}
