//! Why a read could not be answered.

use std::sync::Arc;

use rfuse_store::{Operation, StoreError, StoreErrorKind};
use thiserror::Error;

/// A read that failed; cheap to clone because every waiter of a fetch gets it.
#[derive(Clone, Debug, Error)]
pub enum CacheError {
    /// The store could not deliver.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
}

impl CacheError {
    /// The disk hangs with the memory that was for its blocks, and all other memory is taken.
    pub(crate) fn no_memory() -> Self {
        let message = "the disk of the cache folder hangs, and no memory is free to read past it: look at that disk";
        Self::Store(Arc::new(StoreError::new(StoreErrorKind::Other, Operation::Get, message)))
    }
}
