//! Why a read could not be answered.

use std::sync::Arc;

use rfuse_config::ByteSize;
use rfuse_store::{Operation, StoreError, StoreErrorKind};
use thiserror::Error;

/// A read that failed; cheap to clone because every waiter of a fetch gets it.
#[derive(Clone, Debug, Error)]
pub enum CacheError {
    /// The store could not deliver.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
}

/// Why something is not pinned, or not unpinned.
#[derive(Debug, Error)]
pub enum PinError {
    /// There is no disk tier.
    #[error("there is no cache folder to pin in: mount with --cache-dir")]
    NoFolder,
    /// The folder does not let us.
    #[error("the cache folder cannot be written: {0}")]
    Folder(#[from] std::io::Error),
    /// Three quarters of the folder, or of this mount's quota, may be pinned.
    #[error(
        "{} would be pinned in the cache folder and {} may be: pin less, unpin something, or mount with a larger --cache-size",
        ByteSize(*wanted), ByteSize(*most)
    )]
    TooMuch {
        /// Bytes that would be pinned.
        wanted: u64,
        /// Bytes that may be.
        most: u64,
    },
}

impl CacheError {
    /// The disk hangs with the memory that was for its blocks, and all other memory is taken.
    pub(crate) fn no_memory() -> Self {
        let message = "the disk of the cache folder hangs, and no memory is free to read past it: look at that disk";
        Self::Store(Arc::new(StoreError::new(StoreErrorKind::Other, Operation::Get, message)))
    }
}
