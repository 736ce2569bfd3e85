//! Writing blocks to segments: one thread behind a queue that drops what is too much.
//!
//! What waits to be written holds its memory slots, so the queue is an eighth of the memory at most. Blocks go
//! to disk straight from there, many with one call, then their index entries, then they can be found. When the
//! folder is full the segment that was not used for the longest is looked at first; when something is wrong
//! nothing is written for a while.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rfuse_block::BlockIndex;

use crate::disk::directory::{DirectoryLock, Listed};
use crate::disk::fault::Fault;
use crate::disk::identity::{checksum, fingerprint_of};
use crate::disk::index::Entry;
use crate::disk::index_file;
use crate::disk::segment::Segment;
use crate::disk::state::State;
use crate::disk::tenure::{Verdict, look};
use crate::memory::pool::Blocks;
use crate::object::ObjectTag;

/// Bytes written with one call at most, unless one block is more.
const BATCH: usize = 1 << 20;
/// What direct reads and writes are aligned to.
const PAGE: usize = 4096;
/// How long nothing is written after a fault.
const PAUSE: Duration = Duration::from_secs(10);

/// Neighbouring blocks to be written.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) tag: ObjectTag,
    pub(crate) first: BlockIndex,
    pub(crate) blocks: Blocks,
    pub(crate) weight: Weight,
}

/// How much is done for blocks that are offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Weight {
    /// They were asked for by name: what is in use gives way.
    Wanted,
    /// They are worth it where nothing better is there.
    Usual,
}

#[derive(Debug, Default)]
struct Waiting {
    offers: VecDeque<Offer>,
    blocks: usize,
    /// The writer is at work.
    busy: bool,
    ended: bool,
}

/// What waits to be written.
#[derive(Debug)]
pub(crate) struct WriteQueue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Blocks that may wait.
    limit: usize,
}

impl WriteQueue {
    /// At most `limit` blocks wait.
    pub(crate) fn new(limit: usize) -> Self {
        Self { waiting: Mutex::default(), changed: Condvar::new(), limit }
    }

    /// Offers blocks to be written; none of them if there is no room for them to wait.
    pub(crate) fn offer(&self, offer: Offer) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = offer.blocks.count();
        if waiting.ended || waiting.blocks + count > self.limit {
            return false;
        }
        waiting.blocks += count;
        waiting.offers.push_back(offer);
        drop(waiting);
        self.changed.notify_all();
        true
    }

    /// Blocks that may wait.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Blocks that may still be offered.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.waiting.lock().unwrap_or_else(PoisonError::into_inner).blocks)
    }

    /// Whether nothing waits and nothing is being written.
    pub(crate) fn is_idle(&self) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        !waiting.busy && waiting.offers.is_empty()
    }

    /// Waits until everything offered so far is written or dropped.
    pub(crate) fn flush(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while !waiting.ended && (waiting.busy || !waiting.offers.is_empty()) {
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes no more; what waits is still written.
    pub(crate) fn end(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.changed.notify_all();
    }

    /// The next offers, a batch at most; none when it has ended and nothing waits.
    fn take(&self, block_bytes: usize) -> Option<Vec<Offer>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.busy = false;
        loop {
            let mut taken = Vec::new();
            let mut bytes = 0;
            while bytes < BATCH
                && let Some(offer) = waiting.offers.pop_front()
            {
                bytes += offer.blocks.count() * block_bytes;
                taken.push(offer);
            }
            if !taken.is_empty() {
                waiting.busy = true;
                return Some(taken);
            }
            self.changed.notify_all();
            if waiting.ended {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, blocks: usize) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).blocks -= blocks;
    }
}

/// The segment that is being filled.
#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) segment: Arc<Segment>,
    pub(crate) index: File,
    pub(crate) blocks: File,
    /// The first slot that is empty.
    pub(crate) next: u32,
}

/// Why nothing is written now.
enum NoRoom {
    /// What is there is in use.
    Refused,
    /// Something is wrong.
    Fault(io::Error),
}

impl From<io::Error> for NoRoom {
    fn from(error: io::Error) -> Self {
        Self::Fault(error)
    }
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Writer {
    state: Arc<State>,
    filling: Option<Filling>,
    /// Blocks still to be refused.
    refuse: u32,
    /// No try before.
    pause: Option<Instant>,
}

/// Blocks to be written with one call: where each lies in memory.
type Batch<'a> = Vec<(Entry, &'a [u8])>;

impl Writer {
    /// A writer that has not begun.
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state, filling: None, refuse: 0, pause: None }
    }

    /// Writes until the queue has ended.
    pub(crate) fn run(mut self) {
        let block_bytes = self.state.shape.block_size.bytes() as usize;
        let queue = self.state.queue.clone();
        while let Some(offers) = queue.take(block_bytes) {
            let count = offers.iter().map(|offer| offer.blocks.count()).sum();
            self.write_offers(&offers);
            drop(offers);
            queue.done(count);
        }
    }

    fn write_offers(&mut self, offers: &[Offer]) {
        for weight in [Weight::Wanted, Weight::Usual] {
            self.write_of(offers, weight);
        }
    }

    fn write_of(&mut self, offers: &[Offer], weight: Weight) {
        let block = self.state.shape.block_size.bytes() as usize;
        let mut batch = Batch::new();
        for offer in offers.iter().filter(|offer| offer.weight == weight) {
            let pieces = offer.blocks.pieces(0, offer.blocks.count() * block);
            for (bytes, number) in pieces.flat_map(|piece| piece.chunks(block)).zip(0..) {
                let index = BlockIndex(offer.first.0 + number);
                let fingerprint = fingerprint_of(offer.tag, index);
                if self.state.index.holds(fingerprint) {
                    continue;
                }
                let checksum = checksum(offer.tag, index, bytes);
                batch.push((Entry { fingerprint, checksum }, bytes));
            }
        }
        self.write_batch(&batch, weight);
    }

    fn write_batch(&mut self, mut batch: &[(Entry, &[u8])], weight: Weight) {
        while !batch.is_empty() {
            if self.refuse > 0 && weight == Weight::Usual {
                let refused = batch.len().min(self.refuse as usize);
                self.refuse -= refused as u32;
                self.state.counters.refused.fetch_add(refused as u64, Relaxed);
                batch = &batch[refused..];
                continue;
            }
            let written = self.make_room(weight).and_then(|()| self.append(batch).map_err(NoRoom::Fault));
            match written {
                Ok(count) => batch = &batch[count..],
                Err(NoRoom::Refused) if self.refuse > 0 && weight == Weight::Usual => {}
                Err(why) => {
                    if let NoRoom::Fault(error) = why {
                        self.fail(&error);
                    }
                    self.state.counters.dropped.fetch_add(batch.len() as u64, Relaxed);
                    return;
                }
            }
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.state.faults.tell(Fault::Write, self.state.directory.path(), error);
        self.pause = Some(Instant::now() + PAUSE);
        // What is half written is found by nobody; the next one begins anew.
        self.let_go();
    }

    /// Leaves the segment that was being filled as it is, finished.
    fn let_go(&mut self) {
        if let Some(filling) = self.filling.take() {
            let _ = self.state.directory.seal(filling.segment.name);
            self.state.disown(filling.segment.name);
        }
    }

    /// Appends as much of `batch` as one call can; how many blocks.
    fn append(&mut self, batch: &[(Entry, &[u8])]) -> io::Result<usize> {
        let Some(filling) = &mut self.filling else { return Ok(0) };
        let (shape, block) = (self.state.shape, self.state.shape.block_size.bytes());
        // 256 pieces of memory at most: the kernel takes 1024.
        let most = ((shape.slots - filling.next) as usize).min((BATCH / block as usize).max(1));
        let (entries, mut pieces): (Vec<Entry>, Vec<IoSlice<'_>>) =
            batch.iter().take(most).map(|(entry, bytes)| (*entry, IoSlice::new(bytes))).unzip();
        let count = entries.len();
        write_all(&filling.blocks, &mut pieces, u64::from(filling.next) * block)?;
        index_file::write(&filling.index, filling.next, &entries)?;
        let first = filling.segment.first() + filling.next;
        for (entry, place) in entries.into_iter().zip(first..) {
            self.state.index.insert(entry, place);
        }
        filling.next += count as u32;
        self.state.counters.written.fetch_add(count as u64, Relaxed);
        self.state.faults.over(Fault::Write);
        Ok(count)
    }

    /// Makes sure that there is a segment with an empty slot.
    fn make_room(&mut self, weight: Weight) -> Result<(), NoRoom> {
        match &self.filling {
            Some(filling) if filling.segment.is_gone() => {
                self.state.drop_segment(&filling.segment.clone());
                self.filling = None;
            }
            Some(filling) if filling.next < self.state.shape.slots => return Ok(()),
            _ => self.let_go(),
        }
        if self.pause.is_some_and(|until| Instant::now() < until) {
            return Err(NoRoom::Refused);
        }
        self.pause = None;
        let adopted = self.state.adopted.lock().unwrap_or_else(PoisonError::into_inner).pop();
        self.filling = Some(match adopted {
            Some(filling) => filling,
            None => self.create(weight)?,
        });
        Ok(())
    }

    /// Makes a segment, and room for it.
    fn create(&mut self, weight: Weight) -> Result<Filling, NoRoom> {
        let state = self.state.clone();
        let (directory, bytes) = (&state.directory, state.shape.bytes());
        let lock = directory.lock()?;
        let listed = directory.list()?;
        // What others have removed makes frames free.
        state.lose_unlisted(&listed);
        let mut total: u64 = listed.iter().map(|listed| listed.bytes).sum();
        let mut ours: u64 = listed.iter().filter(|listed| state.is_of_scope(listed)).map(|listed| listed.bytes).sum();
        let mut victims = Victims::new(&state, listed);
        // Over the cap, or into what is left to others: no time for favours.
        while total + bytes > state.size || directory.free()? < state.reserve + bytes {
            let Some(victim) = victims.next() else {
                return Err(io::Error::from(rustix::io::Errno::NOSPC).into());
            };
            state.evict(&lock, victim.name)?;
            total -= victim.bytes;
            ours -= if state.is_of_scope(&victim) { victim.bytes } else { 0 };
        }
        // The quota has become less.
        while ours > state.quota {
            let Some(victim) = victims.next_of_scope() else { return Err(NoRoom::Refused) };
            state.evict(&lock, victim.name)?;
            total -= victim.bytes;
            ours -= victim.bytes;
        }
        // One segment's room is kept free, so that the used blocks of one that leaves have somewhere to go.
        let is_full = total + 2 * bytes > state.size || directory.free()? < state.reserve + 2 * bytes;
        let victim = match (ours + bytes > state.quota, is_full) {
            // A mount that has all it may have makes room among its own.
            (true, _) => Some(victims.next_of_scope().ok_or(NoRoom::Refused)?),
            (false, true) => victims.next(),
            (false, false) => None,
        };
        if let Some(victim) = victim.as_ref().filter(|_| weight == Weight::Usual) {
            self.judge(victim)?;
        }
        let (name, index) = directory.create(&lock, state.shape, state.scope)?;
        let filling = state.enter(name, index)?;
        let filling = match victim {
            Some(victim) => self.replace(&lock, &victim, filling)?,
            None => filling,
        };
        Ok(filling)
    }

    /// Whether `victim` has to go.
    fn judge(&mut self, victim: &Listed) -> Result<(), NoRoom> {
        let Some(segment) = self.state.segments.named(victim.name) else { return Ok(()) };
        let used = self.state.index.count_used(segment.places());
        let mut credit = segment.credit.load(Relaxed);
        let verdict = look(used, self.state.shape.slots, &mut credit);
        segment.credit.store(credit, Relaxed);
        match verdict {
            Verdict::Leave => Ok(()),
            Verdict::Stay { refuse } => {
                self.state.index.clear_used(segment.places());
                self.state.directory.touch(victim.name);
                self.refuse = refuse;
                Err(NoRoom::Refused)
            }
        }
    }

    /// Moves the used and pinned blocks of `victim` to `filling` and removes it.
    fn replace(&self, lock: &DirectoryLock<'_>, victim: &Listed, mut filling: Filling) -> io::Result<Filling> {
        if let Some(segment) = self.state.segments.named(victim.name)
            && let Err(error) = self.move_used(&segment, &mut filling)
        {
            self.state.faults.tell(Fault::Read, self.state.directory.path(), &error);
        }
        self.state.evict(lock, victim.name)?;
        Ok(filling)
    }

    fn move_used(&self, segment: &Arc<Segment>, filling: &mut Filling) -> io::Result<()> {
        let index = &self.state.index;
        let pinned: Vec<u32> = segment.places().filter(|&place| self.state.is_pinned(place)).collect();
        let used = segment.places().filter(|&place| index.is_used(place) && !self.state.is_pinned(place));
        // Half of the new one is for what it was made for.
        let used: Vec<u32> = pinned.into_iter().chain(used).take(self.state.shape.slots as usize / 2).collect();
        let file = self.state.directory.open_blocks(segment.name, false)?;
        let block = self.state.shape.block_size.bytes();
        let mut memory = vec![0; block as usize + PAGE];
        let start = memory.as_ptr().align_offset(PAGE);
        let buffer = &mut memory[start..][..block as usize];
        for place in used {
            let Some(entry) = index.entry(place) else { continue };
            if filling.next == self.state.shape.slots {
                break;
            }
            file.read_exact_at(buffer, u64::from(place - segment.first()) * block)?;
            filling.blocks.write_all_at(buffer, u64::from(filling.next) * block)?;
            index_file::write(&filling.index, filling.next, &[entry])?;
            if index.forget(entry.fingerprint, place) {
                index.insert(entry, filling.segment.first() + filling.next);
            }
            filling.next += 1;
            self.state.counters.moved.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A segment with room left stays open for the next mount; only the lock on it goes.
        if self.filling.as_ref().is_some_and(|filling| filling.next == self.state.shape.slots) {
            self.let_go();
        }
    }
}

/// The segments that may have to go, that not used for the longest first. One of which a good part is pinned does
/// not: it is put at the end, as one in use.
struct Victims<'a> {
    state: &'a State,
    rest: VecDeque<Listed>,
}

impl<'a> Victims<'a> {
    fn new(state: &'a State, listed: Vec<Listed>) -> Self {
        Self { state, rest: listed.into_iter().filter(|listed| is_free(state, listed)).collect() }
    }

    /// The next.
    fn next(&mut self) -> Option<Listed> {
        loop {
            let listed = self.rest.pop_front()?;
            if self.may_go(&listed) {
                return Some(listed);
            }
        }
    }

    /// The next of those made for this scope.
    fn next_of_scope(&mut self) -> Option<Listed> {
        loop {
            let at = self.rest.iter().position(|listed| self.state.is_of_scope(listed))?;
            let listed = self.rest.remove(at)?;
            if self.may_go(&listed) {
                return Some(listed);
            }
        }
    }

    fn may_go(&self, listed: &Listed) -> bool {
        let Some(segment) = self.state.segments.named(listed.name) else { return true };
        let may = self.state.count_pinned(&segment) * 4 < self.state.shape.slots;
        if !may {
            self.state.directory.touch(listed.name);
        }
        may
    }
}

/// Whether nobody fills the segment.
fn is_free(state: &State, listed: &Listed) -> bool {
    listed.sealed || listed.stray || (!state.is_ours(listed.name) && state.directory.adopt(listed.name).is_some())
}

fn write_all(file: &File, mut rest: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    while !rest.is_empty() {
        match rustix::io::pwritev(file, rest, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset += count as u64;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
