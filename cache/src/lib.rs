//! One block table shared by every open file.

mod block_cache;
mod error;
mod slices;

pub use block_cache::{BlockCache, ObjectTag, PinnedObject};
pub use error::CacheError;
pub use slices::Slices;
