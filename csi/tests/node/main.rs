//! The driver as a kubelet meets it: the real binaries, real FUSE mounts, gRPC over the real sockets, calls in
//! the kubelet's order and with its paths.
//!
//! Mounting needs root, and the tests against Azurite need one (`cargo xtask test` starts it); without, they say
//! SKIPPED and why.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking and speaks on stdout")]

mod azurite;
mod deaths;
mod fixture;
mod inline;
mod leaks;
mod order;
mod renewal;
mod sanity;
mod writing;
