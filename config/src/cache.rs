//! How much is remembered, in units of what.

use std::path::PathBuf;

use rfuse_block::BlockSize;

/// Everything the cache room needs to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CacheConfig {
    /// What is remembered and evicted as one.
    pub block_size: BlockSize,
    /// Bytes of memory at most, bookkeeping and bytes in flight included.
    pub memory: u64,
    /// Bytes at most that one GET fetches; longer runs of missing blocks become several, in parallel.
    pub fetch_max: u64,
    /// The disk tier, where there is one.
    pub disk: Option<DiskConfig>,
}

/// A folder that remembers across restarts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskConfig {
    /// The folder.
    pub dir: PathBuf,
    /// Bytes of it at most, whoever shares it.
    pub size: u64,
    /// Bytes of its file system left free at least.
    pub reserve: u64,
    /// Bytes of this mount's segments in it at most, give or take one segment; `u64::MAX` is no limit of its own.
    pub quota: u64,
    /// Which blocks are written.
    pub admit: Admit,
    /// What tells this store's objects from those of another in the same folder.
    pub scope: String,
}

/// Which blocks the disk tier takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Admit {
    /// Those that were fetched before, or are used again in memory.
    #[default]
    Again,
    /// All that are fetched.
    Always,
}

impl CacheConfig {
    /// The least [`memory`](Self::memory) that works with blocks of `block_size`, in bytes: four blocks and half
    /// a MiB with what is known about them, as whole MiB, so that a person can write it.
    pub fn least_memory(block_size: BlockSize) -> u64 {
        const MIB: u64 = 1 << 20;
        const SLOT_OVERHEAD: u64 = 64;
        (4 * (block_size.bytes() + SLOT_OVERHEAD) + MIB / 2).next_multiple_of(MIB)
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { block_size: BlockSize::MIN, memory: 512 << 20, fetch_max: 8 << 20, disk: None }
    }
}
