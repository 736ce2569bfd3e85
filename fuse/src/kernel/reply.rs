//! The one answer to a request.

use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;

use rustix::io::{self, Errno};
use zerocopy::{Immutable, IntoBytes};

use super::Device;
use crate::counters::Shard;

/// Where answers go: the descriptor of one worker, and its counters.
#[derive(Debug)]
pub struct Link {
    device: Device,
    counters: Shard,
}

impl Link {
    /// A link through `device`.
    pub fn new(device: Device) -> Self {
        Self { device, counters: Shard::default() }
    }

    /// The descriptor.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What passed through.
    pub(crate) fn counters(&self) -> &Shard {
        &self.counters
    }

    pub(crate) fn send_value<T: IntoBytes + Immutable>(&self, unique: u64, value: &T) -> io::Result<()> {
        self.device.send(unique, 0, [IoSlice::new(value.as_bytes())])
    }

    pub(crate) fn send_error(&self, unique: u64, errno: Errno) -> io::Result<()> {
        self.device.send(unique, -errno.raw_os_error(), [])
    }
}

/// What became of an answer.
#[derive(PartialEq, Eq, Debug)]
pub enum Delivery {
    /// The kernel has it.
    Taken,
    /// Nobody waits any more: the caller was killed or the mount is gone. What the kernel would have counted or
    /// kept, it did not.
    Unwanted,
}

/// Owes the kernel an answer to one request, and sends exactly one: dropped without one, it sends EIO, so
/// that neither a panic nor a lost task leaves a process waiting for ever.
///
/// It may travel to another thread; the answer still goes to the descriptor the request came from.
#[must_use = "a dropped reply is an EIO"]
pub struct Reply {
    link: Arc<Link>,
    unique: u64,
    sent: bool,
}

impl Reply {
    /// The answer to request `unique`, which came through `link`.
    pub fn new(link: Arc<Link>, unique: u64) -> Self {
        Self { link, unique, sent: false }
    }

    /// The request that this answers.
    pub fn unique(&self) -> u64 {
        self.unique
    }

    /// Done, with nothing to say.
    pub fn ok(mut self) -> Delivery {
        self.send(0, [])
    }

    /// Failed.
    pub fn error(mut self, errno: Errno) -> Delivery {
        self.send(-errno.raw_os_error(), [])
    }

    /// One structure.
    pub fn value<T: IntoBytes + Immutable>(mut self, value: &T) -> Delivery {
        self.send(0, [IoSlice::new(value.as_bytes())])
    }

    /// Bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Delivery {
        self.send(0, [IoSlice::new(bytes)])
    }

    /// Bytes in pieces, gathered by the kernel.
    pub fn pieces<'a>(mut self, pieces: impl IntoIterator<Item = IoSlice<'a>>) -> Delivery {
        self.send(0, pieces)
    }

    fn send<'a>(&mut self, error: i32, pieces: impl IntoIterator<Item = IoSlice<'a>>) -> Delivery {
        self.sent = true;
        self.link.counters.answered(error);
        match self.link.device.send(self.unique, error, pieces) {
            Ok(()) => Delivery::Taken,
            Err(Errno::NOENT | Errno::NODEV | Errno::CONNABORTED) => Delivery::Unwanted,
            Err(errno) => {
                tracing::error!(unique = self.unique, %errno, "the kernel refused an answer");
                // The request is still owed one; an empty error is always well-formed.
                let _ = self.link.send_error(self.unique, Errno::IO);
                Delivery::Unwanted
            }
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.sent {
            self.send(-Errno::IO.raw_os_error(), []);
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("unique", &self.unique).field("sent", &self.sent).finish_non_exhaustive()
    }
}
