//! The mount service: keeps the FUSE descriptors of this node's volumes and one `rfuse` process for each.
//!
//! It opens no device and mounts nothing; what it serves, the plugin hands to it through a socket of mode 0600.
//! Two processes: the keeper, which hardly does anything and so hardly fails, holds a second copy of every
//! descriptor; the worker does the talking. When the worker dies, the keeper starts another and hands everything
//! back, and the `rfuse` processes have not noticed. When an `rfuse` process dies, the worker starts another on
//! the same descriptors, and programs that read meanwhile have waited.

mod channel;
mod keeper;
mod places;
mod process;
mod promise;
mod supervised;
pub(crate) mod words;
mod worker;

use std::path::PathBuf;

pub use keeper::{leave_when_idle, run as keep};
pub use places::{Cache, Places};
pub use worker::run as work;

/// How the mount service is run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Where the plugin finds it.
    pub socket: PathBuf,
    /// The `rfuse` program.
    pub rfuse: PathBuf,
    /// The first of the users that the processes run as: that of all that share the cache folder; those after it
    /// are one each for the others. None keeps the service's own.
    pub first_user: Option<u32>,
    /// Folders of the node that they may write in.
    pub places: Places,
}

/// Volumes at most; the next is refused.
pub(crate) const VOLUMES_MAX: usize = 512;
