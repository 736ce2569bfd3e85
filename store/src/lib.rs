//! Objects: the only room that speaks HTTP.
//!
//! One narrow trait, [`Store`], stands between rfuse and every place an object can live: Azure Blob, S3, a
//! local directory, memory. What every store needs besides — retries, a limit on requests in flight,
//! counting, faults for tests — is a store around a store, so that no implementation repeats it and a test
//! can put any of them around any other. Files and blocks are unknown here.

#[allow(dead_code, reason = "the stores that keep theirs in it are being written")]
mod credential;
mod error;
#[allow(dead_code, reason = "the stores that send through it are being written")]
mod http;
mod landing;
mod local;
mod memory;
mod open;
mod page;
pub mod pattern;
mod s3;
mod store;

pub use credential::{CredentialControl, Reloaded};
pub use error::{Operation, StoreError, StoreErrorKind};
pub use landing::{Landing, TooLong};
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use open::{Opened, open};
pub use s3::S3Store;
pub use store::{
    Fetched, Get, ListEntry, ListPage, ListRequest, ObjectMeta, PartTag, Precondition, PutOptions, Store, Token,
    UploadId, Urgency,
};
