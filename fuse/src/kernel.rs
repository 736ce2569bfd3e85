//! The kernel's words: messages, the device they come through, and mounting.
//!
//! Nothing here knows of files; [`Service`](crate::session::Service) gives the messages a meaning.

pub mod abi;
mod bdi;
mod change;
mod device;
mod device_clone;
mod fusermount;
mod mount;
mod notifier;
mod opcode;
mod reply;
mod request;
mod unmount;

pub use bdi::set_read_ahead;
pub use change::{Change, SetAttr};
pub(crate) use device::WRITE_MAX;
pub use device::{Device, MESSAGE_MAX, MessageBuffer};
pub use mount::{Mount, MountError, MountOptions, Way, mount};
pub use notifier::Notifier;
pub use opcode::Opcode;
pub use reply::{Delivery, Link, Reply};
pub use request::{Operation, Request};
pub use rfuse_host::mount_table;
pub use unmount::{Unmount, UnmountError, abort, unmount};
