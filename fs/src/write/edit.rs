//! One file that is being changed: what all its descriptors see, and what is still to be stored.
//!
//! It begins when the file is opened for writing and ends when nobody has the file open and its object is
//! stored. Its locks are short and never held over input or output: a writer announces a change, writes to the
//! spool, and notes what he wrote; whoever stores the file waits until no change is announced, and lets none
//! begin before he is done.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::SystemTime;

use rfuse_block::{ByteRange, ObjectKey, Version};
use rfuse_cache::PinnedObject;
use rfuse_store::{PartTag, PutOptions, UploadId};
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::grid::Grid;
use super::layout::{Layout, Source};
use crate::inodes::Node;
use crate::lock;
use crate::posix::Posix;
use crate::spool::{Head, Line, Spool, SpoolFile};

/// A file that is being changed.
#[derive(Debug)]
pub(crate) struct Edit {
    state: Mutex<State>,
    /// The inodes that show it: one, or two when the kernel forgot the first before its object was stored.
    nodes: Mutex<SmallVec<[Weak<Node>; 1]>>,
    spool: OnceLock<SpoolFile>,
    /// Held by whoever stores it.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// The upload under way, begun by the first part.
    pub(crate) upload: tokio::sync::Mutex<Option<(ObjectKey, UploadId)>>,
    changed: Notify,
}

/// What is known of it.
#[derive(Debug)]
pub(crate) struct State {
    /// The object.
    pub(crate) key: ObjectKey,
    /// Where its bytes are.
    pub(crate) layout: Layout,
    /// The stored object that the layout stands on; none while there is none.
    pub(crate) base: Option<PinnedObject>,
    /// What is stored beside the bytes.
    pub(crate) options: PutOptions,
    /// Mode, owner and times.
    pub(crate) posix: Posix,
    /// When it was written last.
    pub(crate) modified: SystemTime,
    /// When anything of it was changed last.
    pub(crate) changed: SystemTime,
    /// Whether what is stored beside the bytes changed.
    pub(crate) is_retouched: bool,
    /// Its name is gone: nothing of it will be stored any more.
    pub(crate) is_unlinked: bool,
    /// Somebody else changed the object: it will not be stored any more, and the spool keeps it.
    pub(crate) is_lost: bool,
    stream: Stream,
    users: usize,
    /// Descriptors that can write.
    pub(crate) writers: usize,
    /// Descriptors that were opened for reading since it began.
    pub(crate) readers: usize,
    /// Changes announced and not done yet.
    changing: usize,
    /// Whether it is being stored.
    is_busy: bool,
}

/// The parts that are sent while the file is written in order.
#[derive(Debug, Default)]
struct Stream {
    /// Where the writer in order has come to.
    end: u64,
    /// The first part that he has not passed.
    next: u64,
    /// Parts sent, and being sent, by index.
    parts: BTreeMap<u64, Slot>,
    /// Requests under way.
    sends: usize,
    tickets: u64,
}

#[derive(Debug)]
struct Slot {
    /// Tells a part from what was sent as it before it was written again.
    ticket: u64,
    tag: Option<PartTag>,
}

/// A part to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    pub(crate) index: u64,
    ticket: u64,
}

impl Edit {
    /// A file at `key` that is its `base`, or new and empty.
    pub(crate) fn new(
        key: ObjectKey,
        base: Option<PinnedObject>,
        options: PutOptions,
        posix: Posix,
        modified: SystemTime,
        grid: Grid,
    ) -> Arc<Self> {
        let size = base.as_ref().map_or(0, |base| base.size);
        let state = State {
            key,
            layout: Layout::of_base(size),
            base,
            options,
            posix,
            modified,
            changed: modified,
            is_retouched: false,
            is_unlinked: false,
            is_lost: false,
            stream: Stream { end: size, next: grid.index(size), ..Stream::default() },
            users: 0,
            writers: 0,
            readers: 0,
            changing: 0,
            is_busy: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            nodes: Mutex::default(),
            spool: OnceLock::new(),
            turn: tokio::sync::Mutex::default(),
            upload: tokio::sync::Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// What is known of it.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Shows it through `node`.
    pub(crate) fn show_through(self: &Arc<Self>, node: &Arc<Node>) {
        let mut nodes = lock(&self.nodes);
        nodes.retain(|shown| shown.strong_count() > 0);
        if !nodes.iter().any(|shown| std::ptr::eq(shown.as_ptr(), Arc::as_ptr(node))) {
            nodes.push(Arc::downgrade(node));
        }
        drop(nodes);
        node.edit.set(Some(Arc::clone(self)));
    }

    /// The inodes that show it.
    pub(crate) fn nodes(&self) -> SmallVec<[Arc<Node>; 1]> {
        lock(&self.nodes).iter().filter_map(Weak::upgrade).collect()
    }

    /// One more user, who will say when he is done.
    pub(crate) fn join(self: &Arc<Self>) -> User {
        self.state().users += 1;
        User(Arc::clone(self))
    }

    /// Announces a change; none while the file is being stored.
    pub(crate) fn try_change(self: &Arc<Self>) -> Option<Change> {
        let mut state = self.state();
        if state.is_busy {
            return None;
        }
        state.changing += 1;
        Some(Change(Arc::clone(self)))
    }

    /// Announces a change, as soon as the file is not being stored.
    pub(crate) async fn change(self: &Arc<Self>) -> Change {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(change) = self.try_change() {
                return change;
            }
            changed.await;
        }
    }

    /// Waits until nobody changes it and no part is under way; nobody begins to before the answer is dropped.
    /// To be called by the holder of the turn.
    pub(crate) async fn quiet(self: &Arc<Self>) -> Quiet {
        self.state().is_busy = true;
        let quiet = Quiet(Arc::clone(self));
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let state = self.state();
                if state.changing == 0 && state.stream.sends == 0 {
                    break;
                }
            }
            changed.await;
        }
        quiet
    }

    /// Its file in the spool, made at the first use.
    ///
    /// # Errors
    /// What the local file system says.
    pub(crate) fn spool(&self, spool: &Spool) -> io::Result<&SpoolFile> {
        if let Some(file) = self.spool.get() {
            return Ok(file);
        }
        let head = self.state().head();
        let file = spool.create(head)?;
        // Two at once make two files, of which one is dropped.
        Ok(self.spool.get_or_init(|| file))
    }

    /// A file that another process left, over its base.
    pub(crate) fn resumed(edit: Arc<Self>, layout: Layout, file: SpoolFile) -> Arc<Self> {
        edit.state().layout = layout;
        // It is new, so there is none yet.
        let _ = edit.spool.set(file);
        edit
    }

    /// Its file in the spool, if it has one.
    pub(crate) fn spooled(&self) -> Option<&SpoolFile> {
        self.spool.get()
    }

    /// Takes in that part `due` was sent, or was not.
    pub(crate) fn sent(&self, due: Due, tag: Option<PartTag>) {
        let mut state = self.state();
        state.stream.sends -= 1;
        if let Some(slot) = state.stream.parts.get_mut(&due.index)
            && slot.ticket == due.ticket
        {
            match tag {
                Some(tag) => slot.tag = Some(tag),
                None => drop(state.stream.parts.remove(&due.index)),
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

impl State {
    /// Whether the store does not have the file as it is.
    pub(crate) fn needs_store(&self) -> bool {
        let stored = self.base.as_ref().map(|base| base.size);
        !self.is_unlinked
            && (stored != Some(self.layout.size()) || !self.layout.dirty().is_empty() || self.is_retouched)
    }

    /// Whether the store has it as it is and nobody is about to change that: it is there for its readers only.
    pub(crate) fn is_resting(&self) -> bool {
        let only_readers = self.users == self.readers && self.writers == 0;
        only_readers && self.changing == 0 && !self.is_busy && self.stream.sends == 0 && !self.needs_store()
    }

    /// Loses its name to what the store has instead, of `version` where it is a file; whether it had to. Nothing
    /// is lost by that where it is resting, and nowhere else it does.
    pub(crate) fn give_way(&mut self, version: Option<&Version>) -> bool {
        let is_other = self.base.as_ref().map(|base| &base.id.version) != version;
        let gives_way = is_other && !self.is_unlinked && self.is_resting();
        self.is_unlinked |= gives_way;
        gives_way
    }

    /// Whether anybody uses it.
    pub(crate) fn is_used(&self) -> bool {
        self.users > 0 || self.changing > 0 || self.is_busy || self.stream.sends > 0
    }

    /// The first line of its journal.
    pub(crate) fn head(&self) -> Head {
        Head::new(&self.key, self.base.as_ref().map(|base| (&base.id.version, base.size)))
    }

    /// Whether a write at `offset` follows on what was written in order.
    pub(crate) fn is_next(&self, offset: u64) -> bool {
        offset == self.stream.end && !self.is_unlinked && !self.is_lost
    }

    /// Takes in that `range` was written into the spool; whether the journal has to say so, and the parts that are
    /// due.
    pub(crate) fn wrote(&mut self, range: ByteRange, grid: Grid) -> (bool, SmallVec<[Due; 1]>) {
        let is_news = self.base.is_some() && !self.layout.dirty().contains(range);
        self.layout.write(range);
        self.was_written();
        self.forget_sent(range, grid);
        let due = self.pass(range, grid);
        (is_news, due)
    }

    fn was_written(&mut self) {
        self.modified = SystemTime::now();
        self.changed = self.modified;
        self.posix.modified = None;
    }

    /// Takes in that `range` became zeros in the spool; the line for the journal.
    pub(crate) fn zeroed(&mut self, range: ByteRange, grid: Grid) -> Line {
        self.layout.write(range);
        self.was_written();
        self.forget_sent(range, grid);
        Line::Write(range.start(), range.length())
    }

    /// Makes the file `size` bytes long.
    pub(crate) fn resize(&mut self, size: u64, grid: Grid) {
        let before = self.layout.size();
        self.layout.resize(size);
        self.was_written();
        self.forget_sent(ByteRange::new(before.min(size), before.max(size)), grid);
        self.stream.end = self.stream.end.min(size);
    }

    /// What was sent of `range` counts no longer.
    fn forget_sent(&mut self, range: ByteRange, grid: Grid) {
        if range.is_empty() || self.stream.parts.is_empty() {
            return;
        }
        let touched = grid.index(range.start())..=grid.index(range.end() - 1);
        let touched: SmallVec<[u64; 4]> = self.stream.parts.range(touched).map(|(&index, _)| index).collect();
        for index in touched {
            self.stream.parts.remove(&index);
        }
    }

    /// Moves the writer in order on. A part is due once he is past it, so that a file of one part never is;
    /// none is due twice, so that no request can come in behind a later one for the same part.
    fn pass(&mut self, range: ByteRange, grid: Grid) -> SmallVec<[Due; 1]> {
        let mut due = SmallVec::new();
        if !self.is_next(range.start()) {
            return due;
        }
        self.stream.end = range.end();
        while grid.part(self.stream.next).end() < self.stream.end {
            let index = self.stream.next;
            self.stream.next += 1;
            if self.layout.dirty().contains(grid.part(index)) {
                self.stream.tickets += 1;
                let ticket = self.stream.tickets;
                self.stream.parts.insert(index, Slot { ticket, tag: None });
                self.stream.sends += 1;
                due.push(Due { index, ticket });
            }
        }
        due
    }

    /// Part `index` was sent by the process that left this file.
    pub(crate) fn resume_part(&mut self, index: u64, tag: PartTag) {
        self.stream.parts.insert(index, Slot { ticket: 0, tag: Some(tag) });
    }

    /// The first part that was sent and of which the spool has every byte, to be given up. Not the very first
    /// one: programs come back to it, to fill in a header.
    pub(crate) fn part_to_give_up(&self, grid: Grid) -> Option<(u64, ByteRange, PartTag)> {
        let parts = self.stream.parts.range(1..);
        let sent = parts.filter_map(|(&index, slot)| Some((index, grid.part(index), slot.tag.clone()?)));
        sent.into_iter().find(|(_, range, _)| self.layout.is_local(*range))
    }

    /// Whether parts are on their way to the store.
    pub(crate) fn sends(&self) -> bool {
        self.stream.sends > 0
    }

    /// The parts that were sent and still count.
    pub(crate) fn sent_parts(&self) -> BTreeMap<u64, PartTag> {
        let parts = self.stream.parts.iter();
        parts.filter_map(|(&index, slot)| Some((index, slot.tag.clone()?))).collect()
    }

    /// Nothing that was sent counts any more.
    pub(crate) fn forget_all_sent(&mut self) {
        self.stream.parts.clear();
    }

    /// Takes in that the file as it is was stored as `base`.
    pub(crate) fn stored(&mut self, base: PinnedObject, grid: Grid) {
        self.layout.stored();
        self.is_retouched = false;
        self.stream.parts.clear();
        // Another upload begins for what comes next, so its numbers are free again.
        self.stream.end = self.layout.size();
        self.stream.next = grid.index(self.stream.end);
        self.base = Some(base);
    }

    /// Where the bytes of `range` are, and the object for those that are not here.
    pub(crate) fn pieces(&self, range: ByteRange) -> (SmallVec<[(ByteRange, Source); 4]>, Option<PinnedObject>) {
        (self.layout.pieces(range), self.base.clone())
    }
}

/// A right to the file being there; see [`Edit::join`].
#[derive(Debug)]
pub(crate) struct User(Arc<Edit>);

impl User {
    /// The file.
    pub(crate) fn edit(&self) -> &Arc<Edit> {
        &self.0
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.0.state().users -= 1;
    }
}

/// A change that is announced; dropped when it is done.
#[derive(Debug)]
pub(crate) struct Change(Arc<Edit>);

impl Drop for Change {
    fn drop(&mut self) {
        self.0.state().changing -= 1;
        self.0.changed.notify_waiters();
    }
}

/// Nobody changes the file while this lives.
#[derive(Debug)]
pub(crate) struct Quiet(Arc<Edit>);

impl Drop for Quiet {
    fn drop(&mut self) {
        self.0.state().is_busy = false;
        self.0.changed.notify_waiters();
    }
}
