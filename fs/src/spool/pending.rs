//! What was written in order and is not on local disk yet: in memory, read from there, and put on disk in the order
//! in which it was written, so that what a killed process leaves is always a beginning of what was written.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytes::Bytes;
use rfuse_block::ByteRange;

use super::buffer::Buffer;
use crate::lock;

/// Of one file.
#[derive(Debug, Default)]
pub(super) struct Pending {
    state: Mutex<State>,
    flushed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What is added to.
    filling: Option<(u64, Buffer)>,
    /// What is complete, in order.
    held: Vec<Arc<Held>>,
    /// Whether a thread puts held ones on disk.
    is_flushing: bool,
}

/// Bytes that no longer change, and where they belong.
#[derive(Debug)]
pub(super) struct Held {
    at: u64,
    buffer: Buffer,
}

impl Held {
    pub(super) fn range(&self) -> ByteRange {
        ByteRange::at(self.at, self.buffer.bytes().len() as u64)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.bytes()
    }
}

/// A share of held bytes that can be sent.
struct Shared(Arc<Held>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// What became of bytes that were to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// They are here.
    Here,
    /// Nothing waits: they may go to disk.
    Through,
    /// Something that waits has to go to disk before them.
    Behind,
}

impl Pending {
    /// From `at` on it is collected in `buffer`.
    pub(super) fn begin(&self, at: u64, buffer: Buffer) {
        let mut state = lock(&self.state);
        state.freeze();
        state.filling = Some((at, buffer));
    }

    /// Takes `bytes` of offset `at` in if they follow on what is collected and fit.
    pub(super) fn take(&self, at: u64, bytes: &[u8]) -> Taken {
        let mut state = lock(&self.state);
        if let Some((start, buffer)) = &mut state.filling
            && *start + buffer.bytes().len() as u64 == at
            && buffer.room() >= bytes.len()
        {
            buffer.fill(bytes);
            return Taken::Here;
        }
        if state.filling.is_none() && state.held.is_empty() { Taken::Through } else { Taken::Behind }
    }

    /// Whether anything waits.
    pub(super) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.filling.is_none() && state.held.is_empty()
    }

    /// All bytes of `range`, if they are together here and complete.
    pub(super) fn share(&self, range: ByteRange) -> Option<Bytes> {
        let mut state = lock(&self.state);
        if state.filling.as_ref().is_some_and(|(at, buffer)| *at == range.start() && buffer.room() == 0) {
            state.freeze();
        }
        let held = state.held.iter().find(|held| held.range() == range)?;
        Some(Bytes::from_owner(Shared(Arc::clone(held))))
    }

    /// What of `range` is here.
    pub(super) fn within(&self, range: ByteRange) -> Vec<(ByteRange, Bytes)> {
        let state = lock(&self.state);
        let mut pieces = Vec::new();
        for held in &state.held {
            let part = held.range().intersect(range);
            if !part.is_empty() {
                let from = (part.start() - held.at) as usize;
                let bytes = Bytes::from_owner(Shared(Arc::clone(held)));
                pieces.push((part, bytes.slice(from..from + part.length() as usize)));
            }
        }
        if let Some((at, buffer)) = &state.filling {
            let part = ByteRange::at(*at, buffer.bytes().len() as u64).intersect(range);
            if !part.is_empty() {
                let from = (part.start() - at) as usize;
                pieces.push((part, Bytes::copy_from_slice(&buffer.bytes()[from..from + part.length() as usize])));
            }
        }
        pieces
    }

    /// Puts what is held on disk with `write`, in order; nothing where another thread does so already.
    pub(super) fn flush(&self, write: impl Fn(&Held) -> io::Result<()>) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.is_flushing {
            return Ok(());
        }
        state.is_flushing = true;
        let mut outcome = Ok(());
        while let Some(first) = state.held.first().cloned() {
            drop(state);
            outcome = write(&first);
            state = lock(&self.state);
            if outcome.is_err() {
                // It stays here, where it is read and sent from; the next one to flush tries again.
                break;
            }
            state.held.remove(0);
        }
        state.is_flushing = false;
        drop(state);
        self.flushed.notify_all();
        outcome
    }

    /// Puts what is held of `range` on disk, and waits for who does so already; what is still added to stays. Blocks.
    pub(super) fn settle(&self, range: ByteRange, write: impl Fn(&Held) -> io::Result<()>) -> io::Result<()> {
        loop {
            let mut state = lock(&self.state);
            if !state.held.iter().any(|held| !held.range().intersect(range).is_empty()) {
                return Ok(());
            }
            if state.is_flushing {
                state = self.flushed.wait(state).unwrap_or_else(PoisonError::into_inner);
                drop(state);
            } else {
                drop(state);
                self.flush(&write)?;
            }
        }
    }

    /// Puts everything on disk, and waits for who does so already. Blocks.
    pub(super) fn drain(&self, write: impl Fn(&Held) -> io::Result<()>) -> io::Result<()> {
        loop {
            let mut state = lock(&self.state);
            while state.is_flushing {
                state = self.flushed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.freeze();
            if state.held.is_empty() {
                return Ok(());
            }
            drop(state);
            self.flush(&write)?;
        }
    }
}

impl State {
    fn freeze(&mut self) {
        if let Some((at, buffer)) = self.filling.take().filter(|(_, buffer)| !buffer.bytes().is_empty()) {
            self.held.push(Arc::new(Held { at, buffer }));
        }
    }
}
