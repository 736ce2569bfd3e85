//! One workload at store, cache, fs and mount height, each beside its yardstick.
//!
//! The load server is a library too: any test may start one in its own process on a free port.

pub mod client;
pub mod height;
pub mod lab;
pub mod mapping;
pub mod null;
pub mod pattern;
pub mod plot;
pub mod raw;
pub mod readers;
pub mod rows;
pub mod run;
pub mod server;
pub mod stream;
pub mod table;
pub mod upload;
pub mod usage;
pub mod words;
