//! What the tests of the binary stand on.

mod azurite;
mod certificate;
mod namespace;
mod scripted;
mod shell;

pub(crate) use azurite::Azurite;
pub(crate) use certificate::{Certificate, TlsServer};
pub(crate) use namespace::Namespace;
pub(crate) use scripted::{Proxy, Scripted};
pub(crate) use shell::{Mounted, Shell, can_mount, eventually, text};
