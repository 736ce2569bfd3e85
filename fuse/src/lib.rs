//! The kernel's door: everything between /dev/fuse and [`rfuse_fs`].
//!
//! `kernel` holds the kernel's words, `session` moves messages, `adapter` gives them their meaning in files.
//! The binary `rfuse` and the tests stand on this library. Only this room speaks FUSE.

pub mod adapter;
mod complaint;
pub mod counters;
mod deferral;
mod first_poll;
mod interrupt;
pub mod kernel;
mod listing;
mod negotiation;
pub mod prefill;
pub mod session;
pub mod trace;
mod words;
mod writing;
