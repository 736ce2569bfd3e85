//! A cache over a folder that outlives it, and one object larger than its memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rfuse_block::{BlockSize, ByteRange};
use rfuse_cache::{BlockCache, DiskStats, PinnedObject};
use rfuse_config::{Admit, CacheConfig, DiskConfig};
use rfuse_store::pattern;

use crate::support::{Probe, pin_pattern, probe};

const SEED: u64 = 77;

/// A folder, and how it is to be used.
#[derive(Clone)]
pub(crate) struct Folder {
    pub(crate) dir: PathBuf,
    pub(crate) size: u64,
    pub(crate) reserve: u64,
    pub(crate) quota: u64,
    pub(crate) scope: &'static str,
    pub(crate) admit: Admit,
    pub(crate) block: u64,
    /// Bytes of the object.
    pub(crate) object: u64,
    /// Blocks in memory.
    pub(crate) memory: u64,
}

/// One process's view of it.
pub(crate) struct Open {
    pub(crate) store: Arc<Probe>,
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) object: PinnedObject,
}

impl Folder {
    /// 64 MiB at `dir` for an object of `object` bytes, and little memory.
    pub(crate) fn new(dir: &Path, object: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            size: 64 << 20,
            reserve: 0,
            quota: u64::MAX,
            scope: "a store",
            admit: Admit::Always,
            block: 4096,
            object,
            memory: 600,
        }
    }

    /// Opens it as a new process would, and waits until it is known.
    pub(crate) fn open(&self) -> Open {
        let store = probe();
        let block_size = BlockSize::new(self.block).unwrap();
        let memory = BlockCache::least_memory(block_size) + self.memory * (self.block + 64);
        let disk = DiskConfig {
            dir: self.dir.clone(),
            size: self.size,
            reserve: self.reserve,
            quota: self.quota,
            admit: self.admit,
            scope: self.scope.into(),
        };
        let config = CacheConfig { block_size, memory, fetch_max: 8 << 20, disk: Some(disk) };
        let cache = BlockCache::new(store.clone(), &config);
        cache.flush();
        let object = pin_pattern(&store, &cache, "object", self.object, SEED);
        Open { store, cache, object }
    }

    /// Bytes of all its files.
    pub(crate) fn bytes(&self) -> u64 {
        files(&self.dir.join("blocks")).iter().map(|file| std::fs::metadata(file).map_or(0, |meta| meta.len())).sum()
    }
}

/// The files of a folder, in order of their names.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}

impl Open {
    /// Reads `length` bytes at `offset` and checks each.
    pub(crate) async fn check(&self, offset: u64, length: u64) {
        let range = ByteRange::at(offset, length).clamp_to(self.object.size);
        let slices = self.cache.read(&self.object, range).await.unwrap();
        let right = pattern::bytes(SEED, range.start(), range.length() as usize);
        assert!(slices.to_vec() == right, "wrong bytes in {length} at {offset}");
    }

    /// Reads all of it, `step` bytes at a time, as fast as it can be written.
    pub(crate) async fn pass(&self, step: u64) {
        for offset in (0..self.object.size).step_by(step as usize) {
            self.check(offset, step).await;
            self.cache.flush();
        }
    }

    pub(crate) fn disk(&self) -> DiskStats {
        self.cache.stats().disk
    }
}
