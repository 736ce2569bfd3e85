//! How much is remembered, in units of what.

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
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { block_size: BlockSize::MIN, memory: 512 << 20, fetch_max: 8 << 20 }
    }
}
