//! One block table shared by every open file.
//!
//! Remembers blocks of objects in memory up to a hard cap and in a folder up to another, fetches what is missing exactly once whoever asks,
//! and lands it straight in the memory that keeps it. Blocks are named by key and version, so what is
//! remembered is never wrong, only useful or not. Knows stores, but neither files nor the kernel.

mod ahead;
mod block_cache;
mod disk;
mod door;
mod error;
mod fetch;
mod fill;
mod gather;
mod inflight;
mod memory;
mod metrics;
mod object;
mod patchwork;
mod slices;
mod warm;

pub use ahead::{Ahead, AheadFetch};
pub use block_cache::BlockCache;
pub use disk::is_disk_thread;
pub use door::poll_at_door;
pub use error::{CacheError, PinError};
pub use metrics::{CacheStats, DiskStats};
pub use object::{ObjectTag, PinnedObject};
pub use slices::Slices;
pub use warm::Warmed;
