//! Words become settings.
//!
//! Flags, environment variables, files and volume attributes are all turned into the plain structs of this
//! room once, at the door; inside, an invalid value cannot be spelled. Every setting stands once in the table
//! [`SETTINGS`]; [`Layers`] collects what was said, and [`MountConfig::resolve`] makes the structs. Nothing
//! here acts: no connection is opened and no directory made, only files of settings are read.

pub mod blobfuse2;
mod bytesize;
mod cache;
pub mod connection_string;
pub mod control;
mod duration;
mod error;
mod file;
mod fs;
mod layers;
mod location;
mod mount;
mod number;
mod prefetch;
mod profile;
mod resolve;
mod secret;
mod setting;
mod source;
mod store;

pub use bytesize::{ByteSize, SizeError};
pub use cache::{Admit, CacheConfig, DiskConfig};
pub use duration::{DurationError, format_duration, parse_duration};
pub use error::ConfigError;
pub use file::{ConfigFile, FileValues, NamedMount};
pub use fs::FsConfig;
pub use layers::{Effective, Layers, nearest};
pub use location::ParsedUrl;
pub use mount::{LogFormat, LogOptions, MountConfig, MountOptions};
pub use prefetch::PrefetchConfig;
pub use profile::{PROFILES, Profile};
pub use resolve::Surroundings;
pub use secret::Secret;
pub use setting::{ALIASES, Cloud, Group, Kind, SETTINGS, Setting, parse_switch};
pub use source::Source;
pub use store::{AwsCredential, AzureCredential, Limits, Location, StoreConfig};
