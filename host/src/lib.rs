//! What this machine has, for the rooms that act on it: its mount table, and descriptors handed over.
//!
//! `fuse` mounts for people, `csi` mounts for pods; neither imports the other, and both read the mount table
//! and speak over the socket by which a mounted descriptor comes to the process that serves it.

pub mod handover;
pub mod mount_table;
mod sealed;

pub use sealed::Sealed;
