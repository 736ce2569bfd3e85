//! The kernel's door: everything between /dev/fuse and [`rfuse_fs`].
//!
//! The binary `rfuse` and the tests stand on this library. Only this room speaks FUSE.

pub mod kernel;
