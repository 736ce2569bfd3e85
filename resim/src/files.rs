//! The files of an input, and how they are read: by `pread`, or through a mapping as training loaders do.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap};

use crate::manifest::{Entry, Manifest};
use crate::outcome::{Exit, Failure};

/// How bytes get from a file into memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Access {
    /// One system call a read.
    Pread,
    /// A mapping: page faults.
    Mmap,
}

/// An open file of the input.
pub(crate) struct Input {
    /// Its path below the input.
    pub(crate) name: String,
    pub(crate) length: u64,
    /// The seed that its bytes follow from, if a manifest says so.
    pub(crate) content_seed: Option<u64>,
    path: PathBuf,
    source: Source,
}

enum Source {
    File(File),
    Mapped(Mmap),
}

impl Input {
    fn open(path: &Path, name: String, access: Access, entry: Option<&Entry>) -> Result<Self, Failure> {
        let failed = |error| Failure::file("open", path, &error);
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if let Some(entry) = entry.filter(|entry| entry.bytes != length) {
            let why = format!("it has {length} bytes, and the manifest says {}", entry.bytes);
            let help = "copy it again and compare its SHA-256 with the manifest's";
            return Err(Failure::new(Exit::Failed, format!("read {}", path.display()), why, help));
        }
        let source = match access {
            Access::Pread => Source::File(file),
            Access::Mmap => Source::Mapped(map(&file).map_err(failed)?),
        };
        let content_seed = entry.and_then(|entry| entry.content_seed);
        Ok(Self { name, length, content_seed, path: path.to_path_buf(), source })
    }

    /// Reads exactly `bytes.len()` bytes.
    ///
    /// # Errors
    /// The volume fails, or the file ends before them. A mapping whose volume fails ends the program with SIGBUS.
    pub(crate) fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Failure> {
        match &self.source {
            Source::File(file) => {
                file.read_exact_at(bytes, offset).map_err(|error| Failure::file("read", &self.path, &error))
            }
            Source::Mapped(map) => {
                let from = offset as usize;
                bytes.copy_from_slice(&map[from..from + bytes.len()]);
                Ok(())
            }
        }
    }
}

#[expect(unsafe_code, reason = "a mapping of a file")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: inputs are not written while a job reads them; should one be, the bytes copied out of the mapping are
    // unspecified and the checksums say so, and a truncated one ends the program with SIGBUS. No reference into the
    // mapping outlives a copy.
    let map = unsafe { Mmap::map(file)? };
    // Records are read in random order: reading ahead of a fault would only waste.
    map.advise(Advice::Random)?;
    Ok(map)
}

/// Opens the files of an input: a file, or those of a folder that have one of these extensions (all files when there
/// are none), in the order of their names.
///
/// # Errors
/// There is none, or one cannot be opened.
pub(crate) fn open(input: &Path, extensions: &[&str], access: Access, drop_cache: bool) -> Result<Vec<Input>, Failure> {
    let found = std::fs::metadata(input).map_err(|error| Failure::file("read", input, &error))?;
    let (folder, paths) = if found.is_file() {
        (input.parent().unwrap_or(input), vec![input.to_path_buf()])
    } else {
        (input, below(input, extensions)?)
    };
    let manifest = Manifest::read(folder)?;
    let mut inputs = Vec::new();
    for path in paths {
        if drop_cache {
            forget(&path)?;
        }
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
        let entry = manifest.as_ref().and_then(|manifest| manifest.files.get(&name));
        inputs.push(Input::open(&path, name, access, entry)?);
    }
    if inputs.iter().all(|input| input.length == 0) {
        let why = match extensions {
            [] => "there is no file with bytes in it".to_owned(),
            some => format!("there is no file ending in .{} with bytes in it", some.join(" or .")),
        };
        let help = "`rfuse-resim generate` makes some";
        return Err(Failure::new(Exit::NotFound, format!("read {}", input.display()), why, help));
    }
    Ok(inputs)
}

/// The files below a folder with one of these extensions (all when there are none), in the order of their names;
/// what is still being written, and the manifest, are left out.
///
/// # Errors
/// A folder cannot be listed.
pub(crate) fn below(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let failed = |error| Failure::file("list", &folder, &error);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let wanted = match extensions {
                [] => !name.ends_with(".partial") && name != crate::manifest::NAME,
                some => path.extension().is_some_and(|found| some.iter().any(|wanted| found == *wanted)),
            };
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(path);
            } else if wanted {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Asks the kernel to drop a file from the page cache.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn forget(path: &Path) -> Result<(), Failure> {
    let file = File::open(path).map_err(|error| Failure::file("open", path, &error))?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
        .map_err(|error| Failure::file("drop from the page cache", path, &error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_and_pread_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.bin"), (0..=255).collect::<Vec<u8>>()).unwrap();
        std::fs::write(folder.path().join("b.bin.partial"), "x").unwrap();
        for access in [Access::Pread, Access::Mmap] {
            let inputs = open(folder.path(), &[], access, true).unwrap();
            assert_eq!(inputs.len(), 1);
            let mut bytes = [0; 10];
            inputs[0].read(100, &mut bytes).unwrap();
            assert_eq!(bytes[0], 100);
        }
    }

    #[test]
    fn an_input_without_files_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let failure = open(folder.path(), &["bin"], Access::Pread, false).err().unwrap();
        assert_eq!(failure.exit, Exit::NotFound);
        assert!(failure.why.contains(".bin"), "{failure}");
    }
}
