//! Words become settings.
//!
//! Flags, environment variables, files and volume attributes are all turned into the plain structs of this
//! room once, at the door; inside, an invalid value cannot be spelled. Nothing here acts: no connection is
//! opened and no directory made.

mod cache;
pub mod connection_string;
mod fs;
mod secret;
mod store;

pub use cache::CacheConfig;
pub use fs::FsConfig;
pub use secret::Secret;
pub use store::{AwsCredential, AzureCredential, Limits, Location, StoreConfig};
