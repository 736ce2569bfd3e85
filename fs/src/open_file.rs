//! Open files: one version of one object, read until the handle closes or the object changes.
//!
//! A handle is pinned to the version that the metadata named at open, and no read delivers any other. It
//! fails for good with `ESTALE` once the store says that the object changed. A newer version that is opened
//! while an older one is still open becomes another inode, because the kernel has one page cache an inode.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rfuse_block::{ByteRange, ObjectId, Version};
use rfuse_cache::{PinnedObject, Slices};
use rfuse_store::StoreErrorKind;

use crate::child::{FileMeta, What};
use crate::counters::Count;
use crate::expiry::Moment;
use crate::follower::{Follower, Waits};
use crate::hinted::Hinted;
use crate::inodes::{Node, Opening};
use crate::write::edit::User;
use crate::{Answer, Attr, FileSystem, FsError, Handle, Inode, Opened, Via};

/// An open file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    node: Arc<Node>,
    /// A use of the file that is being changed: one that reads takes it too when it is opened meanwhile.
    user: Option<User>,
    writes: bool,
    meta: FileMeta,
    object: PinnedObject,
    via: Via,
    follower: Arc<Follower>,
    hinted: Option<Arc<Hinted>>,
    /// Opening it told the kernel to drop the pages it had, and no read has shown yet that it has.
    drops_pages: AtomicBool,
    is_stale: AtomicBool,
    /// Where the misses that began at offset 0 and followed on each other have come to; small files only.
    run_end: AtomicU64,
}

/// Files up to this size are fetched whole once they are read in order from the beginning.
const SMALL_FILE: u64 = 1 << 20;

/// The longest target of a symbolic link, as in Linux (`PATH_MAX`).
const TARGET_MAX: u64 = 4096;

/// For so long after a read ran into its deadline, reads of that file that memory cannot answer fail at once.
///
/// A failed buffered read makes the kernel ask again for the page alone, and then once more for the next
/// reader of that page: each would wait a deadline of its own, and a program two or three.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A read that waits for the store.
struct Wait {
    fs: Arc<FileSystem>,
    file: Arc<OpenFile>,
    since: Moment,
}

impl Drop for Wait {
    /// Whoever bounds the wait drops it; a wait that lasted a whole deadline was dropped for that.
    fn drop(&mut self) {
        let now = self.fs.clock.now();
        // Both moments are whole milliseconds, the difference may be one short.
        if now.since(self.since) + Duration::from_millis(1) >= self.fs.config.deadline {
            self.file.node.unanswered().set(now);
        }
    }
}

impl FileSystem {
    /// Opens a file for reading, pinned to the version it has now. The store is asked only if what is known of
    /// the file is older than the configured time.
    ///
    /// `Stale` when another version of it is open: one inode cannot have both, and the next look-up of its name
    /// finds another one.
    pub fn open(self: &Arc<Self>, inode: Inode, via: Via) -> Answer<Opened> {
        self.counters.add(Count::Open);
        self.with_fresh(inode, move |fs, node| {
            if let Some(user) = fs.edit_shown(node) {
                // Nothing is fetched ahead of who reads what is being written.
                let file = Arc::new(OpenFile::of_edit(node, user, false, fs));
                file.follower.opened();
                return Ok(Opened { handle: fs.files.insert(&file), keep_cache: true });
            }
            let (file, keep_cache) = fs.open_node(node, via)?;
            file.follower.opened();
            node.add_handle();
            Ok(Opened { handle: fs.files.insert(&file), keep_cache })
        })
    }

    fn open_node(&self, node: &Arc<Node>, via: Via) -> Result<(Arc<OpenFile>, bool), FsError> {
        if node.is_directory {
            return Err(FsError::IsADirectory);
        }
        let meta = node.state().meta.clone().ok_or(FsError::NotFound)?;
        let (opening, follower) =
            node.open(&meta.version, || Follower::new(meta.size, &self.config.prefetch, &self.streams));
        let keep_cache = match opening {
            Opening::Same => true,
            Opening::First => !self.has_strange_pages.load(Ordering::Relaxed),
            Opening::Other | Opening::Dropping => false,
            // The kernel looks the name up again and opens what it stands for then.
            Opening::Taken => return Err(FsError::Stale(node.key())),
        };
        let id = ObjectId { key: node.key(), version: meta.version.clone() };
        let hinted = Hinted::of(id.key.as_bytes(), meta.size, &self.config.prefetch, &self.hinted);
        let file = OpenFile {
            node: Arc::clone(node),
            user: None,
            writes: false,
            object: self.cache.pin(id, meta.size),
            meta,
            via,
            follower,
            hinted,
            drops_pages: AtomicBool::new(!keep_cache),
            is_stale: AtomicBool::new(false),
            run_end: AtomicU64::new(0),
        };
        Ok((Arc::new(file), keep_cache))
    }

    /// Up to `size` bytes from `offset` on; fewer only at the end of the file.
    pub fn read(self: &Arc<Self>, handle: Handle, offset: u64, size: u32) -> Answer<Slices> {
        self.counters.add(Count::Read);
        let mut edited = None;
        let answer = self.files.with(handle, |file| {
            if file.is_edited() {
                edited = file.node.edit.get();
                if edited.is_some() {
                    return Answer::Ready(Ok(Slices::default()));
                }
            }
            if file.is_stale() {
                return Answer::Ready(Err(FsError::Stale(file.node.key())));
            }
            if file.drops_pages.load(Ordering::Relaxed) && file.drops_pages.swap(false, Ordering::Relaxed) {
                file.node.has_dropped(&file.meta.version);
            }
            let range = ByteRange::at(offset, size.into()).clamp_to(file.object.size);
            if range.is_empty() {
                self.counters.add(Count::ReadReady);
                return Answer::Ready(Ok(Slices::default()));
            }
            match self.cache.try_read(&file.object, range) {
                Some(slices) => {
                    self.counters.add(Count::ReadReady);
                    self.follow(file, range, Waits::Not);
                    file.hint(self, range, &slices);
                    Answer::Ready(Ok(slices))
                }
                None if self.is_unanswered(file) => Answer::Ready(Err(FsError::Deadline(self.config.deadline))),
                None => {
                    file.node.wait(range.length());
                    self.follow(file, range, Waits::ForStore);
                    let wait = Wait { fs: Arc::clone(self), file: Arc::clone(file), since: self.clock.now() };
                    Answer::Pending(Box::pin(async move { wait.fs.read_missing(&wait.file, range).await }))
                }
            }
        });
        match edited {
            Some(edit) => self.read_edit(edit, offset, size),
            None => answer.unwrap_or(Answer::Ready(Err(FsError::Unknown(handle.0)))),
        }
    }

    /// Whether the store has just let a read of this file wait past the deadline.
    fn is_unanswered(&self, file: &OpenFile) -> bool {
        file.node.unanswered().get().fresh(self.clock.now(), ASK_AGAIN).is_some()
    }

    async fn read_missing(&self, file: &OpenFile, range: ByteRange) -> Result<Slices, FsError> {
        if let Some(whole) = file.whole_rest(range) {
            // Its error is the read's too, which meets it below.
            let _ = self.cache.read(&file.object, whole).await;
        }
        let read = self.cache.read(&file.object, range).await.map_err(FsError::from);
        match read {
            Err(FsError::Stale(key)) => Err(self.stale(file, key)),
            Err(FsError::Store(error)) if error.kind == StoreErrorKind::NotFound => {
                Err(self.stale(file, file.node.key()))
            }
            Ok(_) if file.is_stale() => Err(FsError::Stale(file.node.key())),
            Ok(slices) => {
                file.hint(self, range, &slices);
                Ok(slices)
            }
            other => other,
        }
    }

    /// The object is not what was opened: this handle is done for, and the next open asks the store.
    fn stale(&self, file: &OpenFile, key: rfuse_block::ObjectKey) -> FsError {
        if !file.is_stale.swap(true, Ordering::AcqRel) {
            self.stale_handles.fetch_add(1, Ordering::Relaxed);
            if let Some((prefix, name)) = file.node.place() {
                self.directories.doubt(&prefix, &name);
            }
            // Another handle may have learnt of the new version already.
            let mut state = file.node.state();
            if state.meta.as_ref().is_none_or(|meta| meta.version == file.meta.version) {
                state.learnt = Moment::NEVER;
            }
        }
        FsError::Stale(key)
    }

    /// What a read of `size` bytes from `offset` on is of: the object, and the bytes of it that there are.
    pub fn reading(&self, handle: Handle, offset: u64, size: u32) -> Option<(rfuse_block::ObjectKey, ByteRange)> {
        let file = self.files.get(handle)?;
        let range = ByteRange::at(offset, size.into()).clamp_to(file.object.size);
        (!range.is_empty()).then(|| (file.node.key(), range))
    }

    /// Closes a file.
    pub fn release(self: &Arc<Self>, handle: Handle) {
        self.close(handle);
    }

    /// The target of a symbolic link. Where it leads is the kernel's business, as with every link.
    pub fn readlink(self: &Arc<Self>, inode: Inode) -> Answer<Vec<u8>> {
        let opened = self.with_fresh(inode, |fs, node| {
            let file = fs.open_node(node, Via::Direct).map_err(|_| FsError::Invalid("not a symbolic link"))?.0;
            match file.meta.size {
                _ if !file.meta.is_symlink => Err(FsError::Invalid("not a symbolic link")),
                1..TARGET_MAX => Ok(file),
                _ => Err(FsError::Invalid("the target of a link has 1 to 4095 bytes")),
            }
        });
        let fs = Arc::clone(self);
        Answer::Pending(Box::pin(async move {
            let file = opened.wait().await?;
            let range = ByteRange::at(0, file.meta.size);
            Ok(fs.read_missing(&file, range).await?.to_vec())
        }))
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        match &self.user {
            Some(user) => {
                let mut state = user.edit().state();
                state.writers -= usize::from(self.writes);
                state.readers -= usize::from(!self.writes);
            }
            None => self.node.close(),
        }
    }
}

impl OpenFile {
    /// A descriptor of a file that is being changed, whose bytes are where the change says.
    pub(crate) fn of_edit(node: &Arc<Node>, user: User, writes: bool, fs: &FileSystem) -> Self {
        node.add_handle();
        {
            let mut state = user.edit().state();
            state.writers += usize::from(writes);
            state.readers += usize::from(!writes);
        }
        let meta = FileMeta {
            size: 0,
            version: Version::new(""),
            modified: SystemTime::UNIX_EPOCH,
            content_type: None,
            is_symlink: false,
            posix: None,
        };
        let id = ObjectId { key: node.key(), version: meta.version.clone() };
        Self {
            node: Arc::clone(node),
            user: Some(user),
            writes,
            object: fs.cache.pin(id, 0),
            meta,
            via: Via::Direct,
            follower: Follower::new(0, &fs.config.prefetch, &fs.streams),
            hinted: None,
            drops_pages: AtomicBool::new(false),
            is_stale: AtomicBool::new(false),
            run_end: AtomicU64::new(0),
        }
    }

    /// Its inode.
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The change that is written through it; none for a descriptor that reads.
    pub(crate) fn writes(&self) -> Option<&User> {
        self.user.as_ref().filter(|_| self.writes)
    }

    /// Whether its file is being changed.
    pub(crate) fn is_edited(&self) -> bool {
        self.node.edit.is_taken()
    }

    /// The attributes of the pinned version.
    pub(crate) fn attr(&self, fs: &FileSystem) -> Attr {
        fs.attr(self.node.inode, &self.node.key(), &What::File(self.meta.clone()))
    }

    pub(crate) fn inode(&self) -> Inode {
        self.node.inode
    }

    pub(crate) fn key(&self) -> rfuse_block::ObjectKey {
        self.node.key()
    }

    pub(crate) fn object(&self) -> &PinnedObject {
        &self.object
    }

    /// Whether the kernel keeps what it reads.
    pub(crate) fn is_paged(&self) -> bool {
        self.via == Via::Pages
    }

    pub(crate) fn follower(&self) -> &Arc<Follower> {
        &self.follower
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Acquire)
    }

    /// Shows what was read to who looks for an index.
    fn hint(&self, fs: &FileSystem, range: ByteRange, bytes: &Slices) {
        if let Some(hinted) = &self.hinted {
            hinted.read(fs, &self.object, range, bytes);
        }
    }

    /// What to fetch with the missing `range`: the rest of a small file that is read in order from its
    /// beginning, in more than one piece. A single read, anywhere, fetches what it asks for and nothing else.
    fn whole_rest(&self, range: ByteRange) -> Option<ByteRange> {
        let size = self.object.size;
        if size > SMALL_FILE {
            return None;
        }
        let run_end = self.run_end.load(Ordering::Relaxed);
        let follows = range.start() > 0 && range.start() == run_end;
        if range.start() == 0 || follows {
            self.run_end.store(range.end(), Ordering::Relaxed);
        }
        (follows && range.end() < size).then(|| ByteRange::new(range.start(), size))
    }
}
