//! What demonstrations and the tests of other rooms need of a store, and a mount never does.

mod watched;

use rfuse_config::{Location, StoreConfig};

pub use watched::{Asked, Watch, Watched};

use crate::{AzureStore, Operation, S3Store, StoreError, StoreErrorKind};

/// Makes the container or bucket that `config` names.
///
/// # Errors
/// What the server says; `Unsupported` where there is nothing to make.
pub async fn create_container(config: &StoreConfig) -> Result<(), StoreError> {
    match &config.location {
        Location::S3 { .. } => S3Store::open(config).await?.0.create_bucket().await,
        Location::Azure { .. } => AzureStore::open(config).await?.0.create_container().await,
        Location::Local(_) | Location::Memory => {
            Err(StoreError::new(StoreErrorKind::Unsupported, Operation::Put, "this place has no containers"))
        }
    }
}
