//! Makes the input of the other jobs: drive logs and token files that follow from a seed, byte for byte.
//!
//! The manifest grows with each finished file, so a run that was interrupted goes on where it stopped. Files are
//! written from front to back, never patched: a bucket behind a mount takes them too.

mod drive;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::checksum;
use crate::log::LogFile;
use crate::manifest::{Entry, Manifest, Recipe};
use crate::outcome::{Exit, Failure};
use crate::pattern;
use crate::progress::Progress;

/// The bar, in the words of indicatif.
const BAR: &str = "  generate {bar:24} {percent:>3} %  {elapsed} of about {duration}";

/// What is made, and where.
pub(crate) struct Generate {
    pub(crate) folder: PathBuf,
    pub(crate) recipe: Recipe,
    pub(crate) logs: u32,
    pub(crate) token_files: u32,
    /// Files made at the same time.
    pub(crate) workers: usize,
    /// Replaces what another recipe made.
    pub(crate) force: bool,
}

/// What was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Made {
    pub(crate) files: usize,
    pub(crate) kept: usize,
    pub(crate) bytes: u64,
}

/// One file to make.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Task {
    Log { number: u32, name: String },
    Tokens { number: u32, name: String },
}

impl Task {
    fn name(&self) -> &str {
        match self {
            Self::Log { name, .. } | Self::Tokens { name, .. } => name,
        }
    }
}

impl Generate {
    /// Makes all that is not there yet.
    ///
    /// # Errors
    /// The folder cannot be written, or holds what another recipe made.
    pub(crate) fn run(&self) -> Result<Made, Failure> {
        let manifest = self.begin()?;
        let tasks: Vec<Task> = self.tasks().into_iter().filter(|task| !self.is_there(&manifest, task)).collect();
        let kept = manifest.files.len();
        let bar = Progress::new("generate", BAR, self.work(&tasks));
        let manifest = Mutex::new(manifest);
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.workers.clamp(1, tasks.len().max(1)) {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                        let made = self.make(task, &bar).and_then(|entry| self.add(&manifest, task, entry));
                        if let Err(error) = made {
                            stop.store(true, Ordering::Relaxed);
                            failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
                        }
                    }
                });
            }
        });
        bar.finish();
        if let Some(failure) = failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            return Err(failure);
        }
        let manifest = manifest.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        manifest.write(&self.folder)?;
        let bytes = manifest.files.values().map(|entry| entry.bytes).sum();
        Ok(Made { files: tasks.len(), kept, bytes })
    }

    /// The manifest to go on with.
    fn begin(&self) -> Result<Manifest, Failure> {
        let fresh = Manifest::new(self.recipe.clone());
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| Failure::file("make the folder", &self.folder, &error))?;
        let Some(mut before) = Manifest::read(&self.folder)? else { return Ok(fresh) };
        if before.recipe == self.recipe {
            let wanted = self.tasks();
            before.files.retain(|name, _| wanted.iter().any(|task| task.name() == name));
            return Ok(before);
        }
        if self.force {
            return Ok(fresh);
        }
        let why = "it holds files of another recipe (seed, seconds, sizes or rates differ)";
        let help = "use another folder, or --force to make them anew";
        Err(Failure::new(Exit::Failed, format!("generate into {}", self.folder.display()), why, help))
    }

    fn tasks(&self) -> Vec<Task> {
        let logs = (1..=self.logs).map(|number| Task::Log { number, name: format!("drive-{number:04}.mcap") });
        let tokens =
            (1..=self.token_files).map(|number| Task::Tokens { number, name: format!("tokens-{number:04}.bin") });
        logs.chain(tokens).collect()
    }

    fn is_there(&self, manifest: &Manifest, task: &Task) -> bool {
        let Some(entry) = manifest.files.get(task.name()) else { return false };
        std::fs::metadata(self.folder.join(task.name())).is_ok_and(|file| file.len() == entry.bytes)
    }

    /// Steps of the progress bar: a second of driving counts as much as eight mebibytes of tokens.
    fn work(&self, tasks: &[Task]) -> u64 {
        let steps = |task: &Task| match task {
            Task::Log { .. } => u64::from(self.recipe.seconds),
            Task::Tokens { .. } => self.recipe.token_bytes.div_ceil(tokens::STEP_BYTES),
        };
        tasks.iter().map(steps).sum()
    }

    fn make(&self, task: &Task, bar: &Progress) -> Result<Entry, Failure> {
        let path = self.folder.join(task.name());
        match task {
            Task::Log { number, .. } => {
                drive::write(&path, &self.recipe, u64::from(*number), bar)?;
                measure_log(&path)
            }
            Task::Tokens { number, .. } => {
                let seed = pattern::file_seed(self.recipe.seed, u64::from(*number));
                tokens::write(&path, seed, self.recipe.token_bytes, bar)?;
                let entry = measure(&path)?;
                Ok(Entry { content_seed: Some(seed), ..entry })
            }
        }
    }

    fn add(&self, manifest: &Mutex<Manifest>, task: &Task, entry: Entry) -> Result<(), Failure> {
        let mut manifest = manifest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        manifest.files.insert(task.name().to_owned(), entry);
        manifest.write(&self.folder)
    }
}

/// The checksum of a file as it was read back.
fn measure(path: &Path) -> Result<Entry, Failure> {
    let (sha256, bytes) = checksum::sha256(path).map_err(|error| Failure::file("read back", path, &error))?;
    Ok(Entry { bytes, sha256, content_seed: None, pieces: Vec::new() })
}

/// The same, with a checksum for each chunk of a log.
fn measure_log(path: &Path) -> Result<Entry, Failure> {
    let mut entry = measure(path)?;
    let log = LogFile::open(path)?;
    for chunk in log.chunks() {
        let bytes = log.read(chunk.offset, chunk.length)?;
        entry.pieces.push((chunk.offset, chunk.length, checksum::crc32(&bytes)));
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generate(folder: &Path, seed: u64) -> Generate {
        let recipe = Recipe {
            seed,
            seconds: 1,
            token_bytes: 100_000,
            compression: "zstd".to_owned(),
            chunk_bytes: 256 << 10,
            cameras: 1,
            camera_size: (320, 180),
            lidar: (16, 180),
        };
        Generate { folder: folder.to_path_buf(), recipe, logs: 1, token_files: 1, workers: 2, force: false }
    }

    #[test]
    fn the_same_seed_makes_the_same_bytes() {
        let (a, b, c) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (folder, seed) in [(&a, 1), (&b, 1), (&c, 2)] {
            generate(folder.path(), seed).run().unwrap();
        }
        let read = |folder: &tempfile::TempDir| Manifest::read(folder.path()).unwrap().unwrap().files;
        assert_eq!(read(&a), read(&b));
        assert_eq!(read(&a).len(), 2);
        assert!(read(&a).iter().all(|(name, entry)| read(&c)[name].sha256 != entry.sha256));
    }

    #[test]
    fn an_interrupted_run_goes_on_and_another_recipe_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        generate(folder.path(), 1).run().unwrap();
        std::fs::remove_file(folder.path().join("tokens-0001.bin")).unwrap();
        let made = generate(folder.path(), 1).run().unwrap();
        assert_eq!((made.files, made.kept), (1, 2));
        let failure = generate(folder.path(), 2).run().unwrap_err();
        assert!(failure.help.contains("--force"), "{failure}");
    }
}
