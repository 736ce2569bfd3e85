//! Objects: the only room that speaks HTTP.
//!
//! One narrow trait, [`Store`], stands between rfuse and every place an object can live: Azure Blob, S3, a
//! local directory, memory. What every store needs besides — retries, a limit on requests in flight,
//! counting, faults for tests — is a store around a store, so that no implementation repeats it and a test
//! can put any of them around any other. Files and blocks are unknown here.

mod around;
mod azure;
#[cfg(feature = "testing")]
pub mod conformance;
mod credential;
mod error;
#[cfg(any(test, feature = "testing"))]
mod faulty;
mod hedge;
mod histogram;
mod http;
mod landing;
mod limit;
mod local;
mod memory;
mod meter;
mod open;
mod page;
pub mod pattern;
mod prefix;
mod probe;
mod retry;
mod s3;
mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use azure::AzureStore;
pub use credential::{CredentialControl, Reloaded};
pub use error::{Operation, StoreError, StoreErrorKind};
#[cfg(any(test, feature = "testing"))]
pub use faulty::{Fault, Faulty};
pub use hedge::Hedged;
pub use histogram::{Histogram, HistogramSnapshot};
pub use landing::{Landing, TooLong};
pub use limit::{Gate, GateSnapshot, Limited};
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use meter::{Meter, MeterSnapshot, Metered, OperationSnapshot};
pub use open::{Opened, open};
pub use prefix::Prefixed;
pub use probe::{Probe, ProbedRead, probe};
pub use retry::Retrying;
pub use s3::S3Store;
pub use store::{
    Fetched, Get, ListEntry, ListPage, ListRequest, ObjectMeta, PartTag, Precondition, PutOptions, Store, Token,
    UploadId, Urgency,
};
