//! What goes into a tracker and what comes out of it.

use std::time::Duration;

use rfuse_block::ByteRange;

/// One read, as a program or its kernel asked for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read {
    /// The bytes asked for, clamped to the object.
    pub range: ByteRange,
    /// When it came, since a fixed moment, if memory lacked some of them and it has to wait.
    pub waited: Option<Duration>,
    /// Whether the kernel keeps what it is given, so that giving it more than it asked for spares it requests.
    pub paged: bool,
    /// Bytes that the stream it belongs to may be ahead of it at most: its share of what there is for all.
    pub share: u64,
}

/// One stream of a tracker, for as long as it is followed. Numbers are not used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StreamId(pub u64);

/// What to do after a read. Mostly nothing.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[must_use]
pub struct Plan {
    /// The stream that the read belongs to.
    pub stream: Option<StreamId>,
    /// What to have in memory before it is asked for, nearest first.
    pub fetch: Vec<ByteRange>,
    /// What to put into the kernel's page cache, whole pages or up to the object's end.
    pub push: Option<ByteRange>,
    /// Streams that are over: what is on its way for them alone may be given up.
    pub ended: Vec<StreamId>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.fetch.is_empty() && self.push.is_none() && self.ended.is_empty()
    }
}
