//! From a configuration to a store that is ready to use.

use std::sync::Arc;

use rfuse_config::{Location, StoreConfig};

use crate::{LocalStore, MemoryStore, Operation, Store, StoreError, StoreErrorKind};

/// A store with everything around it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
}

/// Opens the place that `config` names.
///
/// # Errors
/// `Unsupported` for a location that this build cannot open; what opening itself meets otherwise.
pub async fn open(config: &StoreConfig) -> Result<Opened, StoreError> {
    match &config.location {
        Location::Memory => Ok(Opened { store: Arc::new(MemoryStore::new()) }),
        Location::Local(directory) => Ok(Opened { store: Arc::new(LocalStore::open(directory)?) }),
        _ => {
            let text = "this kind of location cannot be opened yet";
            Err(StoreError::new(StoreErrorKind::Unsupported, Operation::Head, text))
        }
    }
}
