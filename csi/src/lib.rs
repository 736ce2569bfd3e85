//! Kubernetes' door: the CSI driver `csi.rfuse.io`.
//!
//! The node plugin mounts and binds; it never serves a byte and may be killed at any time. The mount service
//! keeps the FUSE descriptors and runs one `rfuse` process a volume. This room starts and steers those processes
//! and links neither cache, store nor files.

mod attributes;
mod client;
mod controller;
mod events;
mod fault;
mod guard;
mod identity;
mod moment;
mod mount_flags;
mod mountpoint;
mod node;
pub mod proto;
mod record;
mod redact;
mod registration;
mod secrets;
pub mod server;
pub mod service;
mod volume;
mod web;

/// The name of the driver.
pub const DRIVER: &str = "csi.rfuse.io";
