//! Files opened for writing, and what is done through their descriptors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rfuse_block::{ByteRange, ObjectId, ObjectKey, Version};
use rfuse_cache::Slices;
use rfuse_config::FsConfig;
use rfuse_store::{ObjectMeta, PutOptions, StoreErrorKind};
use smallvec::SmallVec;

use super::edit::{Change, Edit, User};
use super::edits::Edits;
use super::grid::Grid;
use super::layout::Source;
use super::send::{Budget, Gathering};
use crate::child::{FileMeta, What};
use crate::follower::Follower;
use crate::inodes::{Node, Opening};
use crate::open_file::OpenFile;
use crate::posix::Posix;
use crate::spool::{Buffer, Buffers, Line, SentPart, Spool, SpoolFile, Wrote};
use crate::{Answer, Attr, Entry, FileSystem, FsError, Handle, Inode, Opened, name};

/// What writing needs of a mount.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) edits: Edits,
    pub(crate) spool: Spool,
    /// Memory for the parts that are written in order: half of what uploads may use.
    pub(crate) buffers: Buffers,
    /// Whether somebody is to free what of it is kept.
    pub(crate) is_trimming: AtomicBool,
    /// The other half: parts that are read back to be sent.
    pub(crate) budget: Budget,
    pub(crate) grid: Grid,
    /// Whether the store is thought to copy parts; it is asked once.
    pub(crate) copies_parts: AtomicBool,
}

impl Writing {
    pub(crate) fn new(config: &FsConfig) -> Self {
        let root = config.spool.clone().unwrap_or_else(|| std::env::temp_dir().join("rfuse-spool"));
        Self {
            edits: Edits::default(),
            spool: Spool::new(root, config.spool_max, &config.origin),
            buffers: Buffers::new(config.upload_memory / 2),
            is_trimming: AtomicBool::new(false),
            budget: Budget::new(config.upload_memory / 2),
            grid: Grid::new(config.part_size),
            copies_parts: AtomicBool::new(true),
        }
    }
}

/// How a file is opened for writing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WriteMode {
    /// What it holds is thrown away (`O_TRUNC`).
    pub truncate: bool,
    /// It must not be there yet (`O_EXCL`); of creation only.
    pub exclusive: bool,
}

/// What fallocate(2) is to do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AllocateMode {
    /// The file does not become longer.
    pub keeps_size: bool,
    /// The range becomes zeros.
    pub zeroes: bool,
}

/// How far one write has come.
#[derive(Debug, Default)]
struct Writer {
    done: usize,
    /// Whether the spool has room for all of it.
    has_room: bool,
    /// It has none, and nothing that could be given up.
    found_no_room: bool,
    /// What went to disk, for the journal.
    through: SmallVec<[ByteRange; 2]>,
    /// Memory that was waited for.
    buffer: Option<Buffer>,
    /// There is none.
    does_without: bool,
}

impl Writer {
    fn count(&self) -> u32 {
        u32::try_from(self.done).unwrap_or(u32::MAX)
    }
}

/// What a write needs before it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Done,
    /// Room for so many bytes in the spool.
    NeedsRoom(u64),
    /// Memory for the part of so many bytes that begins.
    NeedsMemory(u64),
    /// What was written before it has to be on disk.
    NeedsDisk,
}

/// A writer waits so long for memory at most: as long as parts are sent, some becomes free much earlier.
const MEMORY_WAIT: Duration = Duration::from_secs(10);

/// A writer waits so long at most until something of a full spool has been sent, and looks so often.
const ROOM_WAIT: Duration = Duration::from_secs(30);
const ROOM_LOOK: Duration = Duration::from_millis(5);

/// How often it is looked whether the last page that was fetched ahead has gone into the kernel.
const PUSHES_LOOK: Duration = Duration::from_millis(1);

/// Times the bytes of a file that is stored meanwhile are looked for anew.
const LOOKS_MAX: usize = 8;

impl FileSystem {
    pub(crate) fn writable(&self) -> Result<(), FsError> {
        if self.config.read_only { Err(FsError::ReadOnly) } else { Ok(()) }
    }

    /// Makes a new file `name` in the directory `parent` and opens it for writing. The store hears of it when it
    /// is closed or synchronised. [`Entry::Found`] counts one reference to the inode.
    ///
    /// # Errors
    /// `Exists` where the name exists and must not, or is a directory's.
    pub fn create(
        self: &Arc<Self>,
        parent: Inode,
        name: &[u8],
        permissions: u32,
        owner: (u32, u32),
        mode: WriteMode,
    ) -> Answer<(Entry, Opened)> {
        let prefix = match self.writable().and_then(|()| self.directory_to_search(parent, name)) {
            Ok(prefix) => prefix,
            Err(error) => return Answer::Ready(Err(error)),
        };
        let (fs, key) = (Arc::clone(self), name::file_key(&prefix, name));
        let known = self.lookup_known(&prefix, name);
        match known {
            Some(None) => Answer::Ready(Ok(fs.create_new(&key, permissions, owner))),
            _ => {
                let name = Box::<[u8]>::from(name);
                Answer::Pending(Box::pin(async move {
                    match fs.lookup(parent, &name).wait().await? {
                        Entry::Absent { .. } => Ok(fs.create_new(&key, permissions, owner)),
                        Entry::Found { attr, ttl } => {
                            let opened = if mode.exclusive {
                                Err(FsError::Exists)
                            } else {
                                fs.open_to_write(attr.inode, mode).wait().await
                            };
                            if opened.is_err() {
                                fs.forget(attr.inode, 1);
                            }
                            opened.map(|opened| (Entry::Found { attr, ttl }, opened))
                        }
                    }
                }))
            }
        }
    }

    fn create_new(self: &Arc<Self>, key: &ObjectKey, permissions: u32, owner: (u32, u32)) -> (Entry, Opened) {
        let now = SystemTime::now();
        let posix = self.posix_of_new(permissions, owner, self.config.file_mode);
        if let Some((prefix, _)) = name::split(key.as_bytes()) {
            self.touch(&ObjectKey::new(prefix));
        }
        // Somebody else deleted what was here; who still has that open does not read the new file.
        if self.writing.edits.find(key).is_none()
            && let Some(gone) = self.inodes.at(key).filter(|node| node.handles() > 0)
        {
            self.inodes.unlink(&gone);
        }
        let user = self
            .writing
            .edits
            .join(key, || Edit::new(key.clone(), None, PutOptions::default(), posix, now, self.writing.grid));
        // With a reference, which the caller hands on.
        let node = self.refer_node(key, false);
        let (handle, _) = self.insert_writer(&node, user);
        let entry = Entry::Found { attr: self.attr_of(&node), ttl: Duration::ZERO };
        (entry, Opened { handle, keep_cache: false })
    }

    /// Opens a file for writing, over the version the store has now.
    pub fn open_to_write(self: &Arc<Self>, inode: Inode, mode: WriteMode) -> Answer<Opened> {
        self.counters.add(crate::counters::Count::Open);
        let node = match self.writable().and_then(|()| self.node(inode)) {
            Ok(node) if node.is_directory => return Answer::Ready(Err(FsError::IsADirectory)),
            Ok(node) => node,
            Err(error) => return Answer::Ready(Err(error)),
        };
        if let Err(error) = self.changeable(&node) {
            return Answer::Ready(Err(error));
        }
        let fs = Arc::clone(self);
        Answer::Pending(Box::pin(async move {
            let (user, keep_cache) = fs.edit_of(&node).await?;
            let (handle, edit) = fs.insert_writer(&node, user);
            if mode.truncate {
                let change = edit.change().await;
                let resized = fs.resize_now(&edit, 0);
                drop(change);
                if let Err(error) = resized {
                    fs.close(handle);
                    return Err(error);
                }
            }
            Ok(Opened { handle, keep_cache })
        }))
    }

    /// Whether a file that exists may be changed; one that was made here and is not closed yet always may.
    pub(crate) fn changeable(&self, node: &Node) -> Result<(), FsError> {
        if self.config.no_overwrite && !node.edit.is_taken() {
            return Err(FsError::NotPermitted("this mount overwrites nothing"));
        }
        Ok(())
    }

    fn insert_writer(&self, node: &Arc<Node>, user: User) -> (Handle, Arc<Edit>) {
        let edit = Arc::clone(user.edit());
        edit.show_through(node);
        let file = Arc::new(OpenFile::of_edit(node, user, true, self));
        file.follower().opened();
        let handle = self.files.insert(&file);
        (handle, edit)
    }

    /// The change of the file that `node` shows, begun over what the store has now; and whether the kernel's
    /// pages are right for it.
    pub(crate) async fn edit_of(self: &Arc<Self>, node: &Arc<Node>) -> Result<(User, bool), FsError> {
        if let Some(user) = self.edit_shown(node) {
            return Ok((user, true));
        }
        let key = node.key();
        let meta = match self.store.head(&key).await {
            Ok(meta) if meta.is_directory => return Err(FsError::IsADirectory),
            Ok(meta) => meta,
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                node.doubt();
                return Err(FsError::NotFound);
            }
            Err(error) => return Err(Arc::new(error).into()),
        };
        let learnt = self.clock.now();
        let what = What::File(FileMeta::of(&meta, None));
        node.learn(&what, learnt);
        if let Some((prefix, name)) = name::split(key.as_bytes()) {
            self.directories.learn(&ObjectKey::new(prefix), name, Some(&what), learnt);
        }
        let (opening, _) = node.open(&meta.version, || Follower::new(meta.size, &self.config.prefetch, &self.streams));
        let keep_cache = match opening {
            Opening::Same => true,
            Opening::First => !self.has_strange_pages.load(Ordering::Relaxed),
            Opening::Other | Opening::Dropping => false,
            Opening::Taken => return Err(FsError::Stale(key)),
        };
        // The handle that will be made counts for itself.
        node.close();
        let user = self.writing.edits.join(&key, || self.edit_over(&key, &meta));
        user.edit().show_through(node);
        // Pages of the version before that are on their way into the kernel must not land over what is written.
        while node.pushes() > 0 {
            tokio::time::sleep(PUSHES_LOOK).await;
        }
        Ok((user, keep_cache))
    }

    /// The change that `node` shows or is to show, if its file is being changed; also when its name is gone.
    pub(crate) fn edit_shown(&self, node: &Arc<Node>) -> Option<User> {
        if let Some(user) = self.writing.edits.join_known(&node.key()) {
            user.edit().show_through(node);
            return Some(user);
        }
        // Where there is no name there is nobody who could end it, as long as it is open.
        node.edit.get().filter(|edit| edit.state().is_unlinked).map(|edit| edit.join())
    }

    fn edit_over(&self, key: &ObjectKey, meta: &ObjectMeta) -> Arc<Edit> {
        let base = self.cache.pin(ObjectId { key: key.clone(), version: meta.version.clone() }, meta.size);
        let options = PutOptions { content_type: meta.content_type.clone(), metadata: meta.metadata.clone() };
        let posix = if self.config.posix { Posix::read(&meta.metadata) } else { Posix::default() };
        let modified = posix.modified.unwrap_or(meta.modified);
        Edit::new(key.clone(), Some(base), options, posix, modified, self.writing.grid)
    }

    /// Writes `bytes` at `offset`; how many were written, fewer only when the disk took no more.
    ///
    /// # Errors
    /// `NotForWriting` for a descriptor that reads only; `Spool` when local disk takes nothing; `TooLarge`.
    pub fn write(self: &Arc<Self>, handle: Handle, offset: u64, bytes: &[u8]) -> Answer<u32> {
        let edit = match self.edit_behind(handle) {
            Ok(edit) => edit,
            Err(error) => return Answer::Ready(Err(error)),
        };
        let Some(change) = edit.try_change() else {
            let (fs, bytes) = (Arc::clone(self), Bytes::copy_from_slice(bytes));
            return Answer::Pending(Box::pin(async move {
                let change = edit.change().await;
                fs.write_waiting(&edit, change, offset, &bytes, Writer::default()).await
            }));
        };
        let mut writer = Writer::default();
        match self.write_now(&edit, offset, bytes, &mut writer) {
            Err(error) => Answer::Ready(Err(error)),
            Ok(Step::Done) => match self.wrote(&edit, change, offset, &writer) {
                Err(error) => Answer::Ready(Err(error)),
                Ok(None) => Answer::Ready(Ok(writer.count())),
                Ok(Some(wait)) => Answer::Pending(Box::pin(async move {
                    // The writer is faster than the store: he waits until his part has room. The sender is gone
                    // only with the whole runtime.
                    let _ = wait.await;
                    Ok(writer.count())
                })),
            },
            Ok(step) => {
                let (fs, bytes) = (Arc::clone(self), Bytes::copy_from_slice(bytes));
                Answer::Pending(Box::pin(async move {
                    fs.make_way(&edit, step, &mut writer).await?;
                    fs.write_waiting(&edit, change, offset, &bytes, writer).await
                }))
            }
        }
    }

    /// The same where it may wait, for what comes before it or for memory.
    async fn write_waiting(
        self: &Arc<Self>,
        edit: &Arc<Edit>,
        change: Change,
        offset: u64,
        bytes: &[u8],
        mut writer: Writer,
    ) -> Result<u32, FsError> {
        loop {
            match self.write_now(edit, offset, bytes, &mut writer)? {
                Step::Done => break,
                step => self.make_way(edit, step, &mut writer).await?,
            }
        }
        if let Some(wait) = self.wrote(edit, change, offset, &writer)? {
            let _ = wait.await;
        }
        Ok(writer.count())
    }

    async fn make_way(&self, edit: &Arc<Edit>, step: Step, writer: &mut Writer) -> Result<(), FsError> {
        if let Step::NeedsRoom(bytes) = step {
            writer.found_no_room = !self.make_room(edit, bytes).await?;
            return Ok(());
        }
        if let Step::NeedsMemory(length) = step {
            match tokio::time::timeout(MEMORY_WAIT, self.writing.buffers.take(length)).await {
                Ok(Some(buffer)) => {
                    writer.buffer = Some(buffer);
                    return Ok(());
                }
                // Files that nobody goes on writing hold it all: local disk takes the bytes instead.
                Ok(None) | Err(_) => writer.does_without = true,
            }
        }
        let edit = Arc::clone(edit);
        let drained = self.runtime.spawn_blocking(move || edit.spooled().map_or(Ok(()), SpoolFile::drain));
        drained.await.map_err(|_| FsError::Interrupted)?.map_err(FsError::Spool)
    }

    /// Gives up what the spool has of parts that were sent: of `edit`, else of the largest file that has any. Waits
    /// for parts on their way; false when there is nothing to wait for, or it takes too long.
    async fn make_room(&self, edit: &Arc<Edit>, bytes: u64) -> Result<bool, FsError> {
        let end = tokio::time::Instant::now() + ROOM_WAIT;
        loop {
            if self.writing.spool.has_room(bytes) {
                return Ok(true);
            }
            let mut others = self.writing.edits.all();
            others.sort_by_key(|other| std::cmp::Reverse(other.spooled().map_or(0, SpoolFile::taken)));
            let mut is_sending = false;
            let mut freed = false;
            for edit in std::iter::once(edit).chain(&others) {
                // Asked first: a part that arrives in between is found.
                is_sending |= edit.state().sends();
                freed = self.give_up_part(edit).await?;
                if freed {
                    break;
                }
            }
            if !freed && (!is_sending || tokio::time::Instant::now() > end) {
                return Ok(false);
            }
            if !freed {
                tokio::time::sleep(ROOM_LOOK).await;
            }
        }
    }

    /// Gives one part up that was sent; whether there was one.
    async fn give_up_part(&self, edit: &Arc<Edit>) -> Result<bool, FsError> {
        // Who stores the file reads its spool.
        let Some(change) = edit.try_change() else { return Ok(false) };
        let Some((index, range, tag)) = edit.state().part_to_give_up(self.writing.grid) else { return Ok(false) };
        let upload = edit.upload.lock().await.clone();
        let Some((_, upload)) = upload else { return Ok(false) };
        let (edit, grid) = (Arc::clone(edit), self.writing.grid);
        let given_up = self.runtime.spawn_blocking(move || {
            let _change = change;
            let Some(file) = edit.spooled() else { return Ok(false) };
            let part =
                SentPart { upload: upload.0, index, offset: range.start(), length: range.length(), tag: tag.0.clone() };
            {
                let mut state = edit.state();
                // Written again meanwhile: what was sent counts no longer.
                if state.part_to_give_up(grid).is_none_or(|(now, _, now_tag)| (now, &now_tag) != (index, &tag)) {
                    return Ok(false);
                }
                // From here on nobody writes there.
                state.layout.give_away(range);
            }
            file.note(&Line::Sent(part))?;
            file.give_up(range)?;
            Ok(true)
        });
        given_up.await.map_err(|_| FsError::Interrupted)?.map_err(FsError::Spool)
    }

    /// Puts `bytes` where they belong, from where `writer` has come to, and as far as it can without waiting.
    fn write_now(&self, edit: &Arc<Edit>, offset: u64, bytes: &[u8], writer: &mut Writer) -> Result<Step, FsError> {
        let grid = self.writing.grid;
        if offset.saturating_add(bytes.len() as u64) > grid.size_max() {
            return Err(FsError::TooLarge);
        }
        let file = edit.spool(&self.writing.spool).map_err(FsError::Spool)?;
        let in_order = {
            let state = edit.state();
            if !writer.has_room {
                let range = ByteRange::at(offset, bytes.len() as u64);
                if state.layout.is_away(range) {
                    return Err(FsError::SentAway);
                }
                match file.grow(state.layout.growth(range)) {
                    Ok(()) => writer.has_room = true,
                    Err(_) if !writer.found_no_room => return Ok(Step::NeedsRoom(state.layout.growth(range))),
                    Err(error) => return Err(FsError::Spool(error)),
                }
            }
            state.is_next(offset)
        };
        while writer.done < bytes.len() {
            let at = offset + writer.done as u64;
            let part = grid.part(grid.index(at));
            let rest = &bytes[writer.done..];
            let piece = &rest[..rest.len().min(usize::try_from(part.end() - at).unwrap_or(usize::MAX))];
            // The first part is not collected: most files have no other, and one PUT reads it back for nothing.
            if in_order && at == part.start() && at > 0 && !writer.does_without {
                match writer.buffer.take().or_else(|| self.writing.buffers.try_take(part.length())) {
                    Some(buffer) => file.begin(at, buffer),
                    None if file.has_pending() => return Ok(Step::NeedsMemory(part.length())),
                    None => {}
                }
            }
            match file.write(at, piece) {
                Ok(Wrote::Memory) => writer.done += piece.len(),
                Ok(Wrote::Not) => return Ok(Step::NeedsDisk),
                Ok(Wrote::Disk(count)) => {
                    writer.through.push(ByteRange::at(at, count as u64));
                    writer.done += count;
                    if count < piece.len() {
                        return Ok(Step::Done);
                    }
                }
                Err(_) if writer.done > 0 => return Ok(Step::Done),
                Err(error) => return Err(FsError::Spool(error)),
            }
        }
        Ok(Step::Done)
    }

    /// Notes what was written, and begins to send the parts that are due; what to wait for when there is no room
    /// for them yet.
    fn wrote(
        self: &Arc<Self>,
        edit: &Arc<Edit>,
        change: Change,
        offset: u64,
        writer: &Writer,
    ) -> Result<Option<tokio::sync::oneshot::Receiver<()>>, FsError> {
        let (is_news, due) = edit.state().wrote(ByteRange::at(offset, writer.done as u64), self.writing.grid);
        if let Some(file) = edit.spooled().filter(|_| is_news) {
            for range in &writer.through {
                file.note(&Line::Write(range.start(), range.length())).map_err(FsError::Spool)?;
            }
        }
        drop(change);
        let mut wait = None;
        for due in due {
            let mut begins = self.send_part(edit, due);
            if begins.try_recv().is_err() {
                wait = Some(begins);
            }
        }
        Ok(wait)
    }

    /// Makes a file `size` bytes long; to be called with the change announced.
    pub(crate) fn resize_now(&self, edit: &Arc<Edit>, size: u64) -> Result<(), FsError> {
        if size > self.writing.grid.size_max() {
            return Err(FsError::TooLarge);
        }
        let is_news = {
            let mut state = edit.state();
            // A part that is cut through would have to be sent again.
            if size > 0 && state.layout.is_away(ByteRange::at(size - 1, 2)) && size < state.layout.size() {
                return Err(FsError::SentAway);
            }
            let is_news = state.layout.size() != size;
            state.resize(size, self.writing.grid);
            is_news
        };
        if is_news {
            let file = edit.spool(&self.writing.spool).map_err(FsError::Spool)?;
            file.cut(size).and_then(|()| file.note(&Line::Size(size))).map_err(FsError::Spool)?;
            file.shrink_to(edit.state().layout.spooled());
        }
        Ok(())
    }

    /// Makes a range be there: zeros where it is behind the end or is to become zeros. Room for it need not be
    /// reserved, since no store here runs full.
    pub fn allocate(self: &Arc<Self>, handle: Handle, offset: u64, length: u64, mode: AllocateMode) -> Answer<()> {
        let edit = match self.edit_behind(handle) {
            Ok(edit) => edit,
            Err(error) => return Answer::Ready(Err(error)),
        };
        let fs = Arc::clone(self);
        Answer::Pending(Box::pin(async move {
            let change = edit.change().await;
            let size = edit.state().layout.size();
            let range = ByteRange::at(offset, length);
            if !mode.keeps_size && range.end() > size {
                fs.resize_now(&edit, range.end())?;
            }
            if mode.zeroes {
                let size = edit.state().layout.size();
                fs.zero_now(&edit, range.clamp_to(size))?;
            }
            drop(change);
            Ok(())
        }))
    }

    fn zero_now(&self, edit: &Arc<Edit>, range: ByteRange) -> Result<(), FsError> {
        if range.is_empty() {
            return Ok(());
        }
        if edit.state().layout.is_away(range) {
            return Err(FsError::SentAway);
        }
        let file = edit.spool(&self.writing.spool).map_err(FsError::Spool)?;
        file.punch(range).map_err(FsError::Spool)?;
        let line = edit.state().zeroed(range, self.writing.grid);
        file.note(&line).map_err(FsError::Spool)
    }

    /// Makes an empty file and stores it. [`Entry::Found`] counts one reference.
    pub fn make_file(
        self: &Arc<Self>,
        parent: Inode,
        name: &[u8],
        permissions: u32,
        owner: (u32, u32),
        mode: WriteMode,
    ) -> Answer<Entry> {
        let (fs, made) = (Arc::clone(self), self.create(parent, name, permissions, owner, mode));
        Answer::Pending(Box::pin(async move {
            let (entry, opened) = made.wait().await?;
            let stored = fs.synchronize(opened.handle).wait().await;
            fs.release(opened.handle);
            if let (Err(_), Entry::Found { attr, .. }) = (&stored, &entry) {
                fs.forget(attr.inode, 1);
            }
            stored.map(|()| entry)
        }))
    }

    /// Whether nothing can be changed.
    pub fn is_read_only(&self) -> bool {
        self.config.read_only
    }

    pub(crate) fn edit_behind(&self, handle: Handle) -> Result<Arc<Edit>, FsError> {
        let file = self.files.get(handle).ok_or(FsError::Unknown(handle.0))?;
        file.writes().map(|user| Arc::clone(user.edit())).ok_or(FsError::NotForWriting)
    }

    /// Up to `size` bytes from `offset` on of a file that is being changed.
    pub(crate) fn read_edit(self: &Arc<Self>, edit: Arc<Edit>, offset: u64, size: u32) -> Answer<Slices> {
        let (pieces, base) = edit.state().pieces(ByteRange::at(offset, size.into()));
        let ready = match (&pieces[..], &base) {
            ([], _) => Some(Ok(Slices::default())),
            (&[(range, Source::Spool)], _) => {
                let read = edit.spooled().map(|file| file.read(range).map(Slices::from));
                // Given up while it was read: looked for anew, below.
                read.filter(|_| edit.state().layout.is_local(range))
            }
            (&[(range, Source::Base)], Some(base)) => self.cache.try_read(base, range).map(Ok),
            _ => None,
        };
        match ready {
            Some(read) => Answer::Ready(read.map_err(FsError::Spool)),
            None => {
                let fs = Arc::clone(self);
                Answer::Pending(Box::pin(async move { fs.read_pieces(&edit, offset, size).await }))
            }
        }
    }

    async fn read_pieces(&self, edit: &Arc<Edit>, offset: u64, size: u32) -> Result<Slices, FsError> {
        let mut looks = 0;
        loop {
            let (layout, base) = {
                let state = edit.state();
                (state.layout.clone(), state.base.clone())
            };
            let range = ByteRange::at(offset, size.into()).clamp_to(layout.size());
            let from = Gathering { edit, layout: &layout, base: base.as_ref() };
            match self.gather(&from, range).await {
                // Given up while it was read.
                Ok(_) if edit.state().layout.is_away(range) => return Err(FsError::SentAway),
                // Not stale for us if we stored it ourselves meanwhile.
                Err(FsError::Stale(key)) => {
                    let now = edit.state().base.as_ref().map(|base| base.id.clone());
                    looks += 1;
                    if now == base.map(|base| base.id) || looks == LOOKS_MAX {
                        return Err(FsError::Stale(key));
                    }
                }
                other => return other.map(Slices::from),
            }
        }
    }

    /// Stores what was written through `handle` or any other descriptor of its file; for `close` and `fsync`.
    ///
    /// # Errors
    /// What the store says; the bytes stay in the spool then.
    pub fn synchronize(self: &Arc<Self>, handle: Handle) -> Answer<()> {
        let edit = match self.files.get(handle) {
            None => return Answer::Ready(Err(FsError::Unknown(handle.0))),
            Some(file) => match file.writes() {
                Some(user) => Arc::clone(user.edit()),
                None => return Answer::Ready(Ok(())),
            },
        };
        if !edit.state().needs_store() {
            return Answer::Ready(Ok(()));
        }
        let fs = Arc::clone(self);
        Answer::Pending(Box::pin(async move { fs.store(&edit).await }))
    }

    /// Closes a file; what was written since it was synchronised last (through a mapping) is stored in the
    /// background.
    pub(crate) fn close(self: &Arc<Self>, handle: Handle) {
        let Some(file) = self.files.remove(handle) else { return };
        if let Some(past) = file.follower().closed() {
            let mut ahead = crate::lock(&self.ahead);
            *ahead = ahead.and(&past);
        }
        // Joined before the handle is given up, so that nobody else who is done ends the change in between.
        let user = file.node().edit.get().map(|edit| edit.join());
        file.node().drop_handle();
        let is_writer = file.writes().is_some();
        drop(file);
        if let Some(user) = user {
            self.settle_edit(user, is_writer);
        }
    }

    /// Stores a file that its last writer left, if need be, and ends its change when nobody uses it.
    pub(crate) fn settle_edit(self: &Arc<Self>, user: User, may_store: bool) {
        let edit = Arc::clone(user.edit());
        let needs_store = {
            let state = edit.state();
            state.needs_store() && !state.is_lost
        };
        if !needs_store || !may_store {
            drop(user);
            self.finish(&edit);
            return;
        }
        let fs = Arc::clone(self);
        self.runtime.spawn(async move {
            // Its error is logged where it is met; nobody waits for it any more.
            let _ = fs.store(&edit).await;
            drop(user);
            fs.finish(&edit);
        });
    }

    /// The attributes of a file that is being changed.
    pub(crate) fn edit_attr(&self, inode: Inode, edit: &Edit) -> Attr {
        let (meta, key) = self.edit_meta(edit);
        let attr = self.attr(inode, &key, &What::File(meta));
        if edit.state().is_unlinked { Attr { links: 0, ..attr } } else { attr }
    }

    /// What is known of a file that is being changed, and its key.
    pub(crate) fn edit_meta(&self, edit: &Edit) -> (FileMeta, ObjectKey) {
        let state = edit.state();
        let meta = FileMeta {
            size: state.layout.size(),
            version: state.base.as_ref().map_or_else(|| Version::new(""), |base| base.id.version.clone()),
            modified: if self.config.posix { state.changed } else { state.modified },
            content_type: None,
            is_symlink: false,
            posix: FileMeta::kept(Posix { modified: state.posix.modified.or(Some(state.modified)), ..state.posix }),
        };
        (meta, state.key.clone())
    }

    /// Takes the spool's directory away, if nothing is in it; to be called when nobody writes any more.
    pub fn leave_spool(&self) {
        self.writing.spool.leave();
    }

    /// Waits until everything that was written is stored, as far as it can be; how many files are not.
    pub async fn drain(self: &Arc<Self>) -> usize {
        let edits = self.writing.edits.all();
        let mut left = 0;
        for edit in edits {
            left += usize::from(self.store(&edit).await.is_err());
            self.finish(&edit);
        }
        left
    }
}
