//! How far ahead of their readers things are done.

/// Everything the prefetch room needs to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefetchConfig {
    /// Bytes a stream is fetched ahead of its reader at most; 0 fetches nothing before it is asked for.
    pub window: u64,
    /// Bytes the kernel's page cache is filled ahead of a sequential reader at most; 0 leaves that to the kernel.
    pub push: u64,
    /// Whether what a file's own index names is fetched before it is asked for.
    pub index_hints: bool,
    /// Bytes a plan is fetched ahead of its reader at most.
    pub plan_window: u64,
}

impl Default for PrefetchConfig {
    fn default() -> Self {
        Self { window: 128 << 20, push: 8 << 20, index_hints: true, plan_window: 256 << 20 }
    }
}
