//! Blocks that are used again and again in memory come to disk while they are there.
//!
//! They never leave memory, so they would never be fetched twice, and a restart would lose the very blocks that
//! are worth most. All of memory is looked through every quarter of a minute, a part a second.

use std::sync::Arc;

use crate::disk::identity::fingerprint_of;
use crate::disk::state::State;
use crate::disk::writer::{Offer, Weight};
use crate::memory::MemoryTier;

/// Uses in memory that prove a block; a block that was fetched ahead of its reader has one from being read once.
const USES: u32 = 2;
/// Parts memory is looked through in.
const PARTS: u32 = 16;

/// Where the next look begins.
#[derive(Debug)]
pub(crate) struct Sweep {
    memory: Arc<MemoryTier>,
    next: u32,
}

impl Sweep {
    /// A sweep of `memory`.
    pub(crate) fn new(memory: Arc<MemoryTier>) -> Self {
        Self { memory, next: 0 }
    }

    /// Offers the proven blocks of the next part, as far as there is room for them to wait.
    pub(crate) fn go_on(&mut self, state: &State) {
        let capacity = self.memory.capacity() as u32;
        let count = (capacity / PARTS).max(64);
        // Half of the room: what is fetched now comes first.
        let mut room = state.queue.room() / 2;
        let proven = self.memory.proven(self.next, count, USES, |tag, index| {
            let wanted = room > 0 && !state.index.holds(fingerprint_of(tag, index));
            room -= usize::from(wanted);
            wanted
        });
        for (tag, first, blocks) in proven {
            state.queue.offer(Offer { tag, first, blocks, weight: Weight::Usual });
        }
        self.next = if self.next + count >= capacity { 0 } else { self.next + count };
    }
}
