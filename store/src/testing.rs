//! What demonstrations and the tests of other rooms need of a store, and a mount never does.

mod s3_server;
mod watched;

use std::time::SystemTime;

use rfuse_config::{Location, Secret, StoreConfig};

pub use s3_server::S3Server;
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

/// A SAS for the container that `config` names, good for `permissions` (letters, such as `rl`) until `expiry`.
///
/// # Errors
/// `Unsupported` where `config` opens nothing of Azure with an account key.
pub async fn container_sas(config: &StoreConfig, permissions: &str, expiry: SystemTime) -> Result<Secret, StoreError> {
    let sas = AzureStore::open(config).await?.0.container_sas(permissions, expiry);
    let text = "only an account key makes a SAS";
    sas.ok_or_else(|| StoreError::new(StoreErrorKind::Unsupported, Operation::Credential, text))
}
