//! Why a read could not be answered.

use std::sync::Arc;

use rfuse_store::StoreError;
use thiserror::Error;

/// A read that failed; cheap to clone because every waiter of a fetch gets it.
#[derive(Clone, Debug, Error)]
pub enum CacheError {
    /// The store could not deliver.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
}
