//! How many requests came, and how they ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::kernel::{Link, Opcode};

/// Room for the numbers of all operations.
const OPCODES: usize = 64;

/// The counters of one worker; a cache line no other worker writes on its way.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shard {
    requests: [AtomicU64; OPCODES],
    read_bytes: AtomicU64,
    owed: AtomicU64,
    answers: AtomicU64,
    errors: AtomicU64,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            requests: [const { AtomicU64::new(0) }; OPCODES],
            read_bytes: AtomicU64::new(0),
            owed: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        }
    }
}

impl Shard {
    /// A request came; `read` is the bytes it asks for if it is a READ.
    pub(crate) fn received(&self, opcode: Option<Opcode>, read: u32, answered: bool) {
        self.requests[opcode.map_or(0, |opcode| opcode as usize)].fetch_add(1, Relaxed);
        self.owed.fetch_add(u64::from(answered), Relaxed);
        if read > 0 {
            self.read_bytes.fetch_add(u64::from(read), Relaxed);
        }
    }

    pub(crate) fn answered(&self, error: i32) {
        self.answers.fetch_add(1, Relaxed);
        if error != 0 {
            self.errors.fetch_add(1, Relaxed);
        }
    }
}

/// The counters of a session, added up when they are asked for.
#[derive(Clone, Debug)]
pub struct Counters {
    links: Arc<[Arc<Link>]>,
}

impl Counters {
    pub(crate) fn new(links: Arc<[Arc<Link>]>) -> Self {
        Self { links }
    }

    /// Requests for `opcode` so far.
    pub fn requests(&self, opcode: Opcode) -> u64 {
        self.sum(|shard| shard.requests[opcode as usize].load(Relaxed))
    }

    /// Requests nobody here has a name for.
    pub fn unknown(&self) -> u64 {
        self.sum(|shard| shard.requests[0].load(Relaxed))
    }

    /// Bytes asked for by READ requests so far.
    pub fn read_bytes(&self) -> u64 {
        self.sum(|shard| shard.read_bytes.load(Relaxed))
    }

    /// Answers that were an error, a missing name included.
    pub fn errors(&self) -> u64 {
        self.sum(|shard| shard.errors.load(Relaxed))
    }

    /// Requests that wait for their answer now.
    pub fn outstanding(&self) -> u64 {
        let answers = self.sum(|shard| shard.answers.load(Relaxed));
        self.sum(|shard| shard.owed.load(Relaxed)).saturating_sub(answers)
    }

    fn sum(&self, of: impl Fn(&Shard) -> u64) -> u64 {
        self.links.iter().map(|link| of(link.counters())).sum()
    }
}
