//! The operations, as the kernel's door and the benches call them.
//!
//! What memory knows is answered on the asking thread. The rest becomes a future that may be dropped at any
//! time: requests that others wait for go on, requests nobody waits for are cancelled.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use rfuse_block::ObjectKey;
use rfuse_cache::BlockCache;
use rfuse_config::FsConfig;
use rfuse_store::Store;

use crate::ask::Asking;
use crate::child::{Marker, What};
use crate::counters::{Count, Counters};
use crate::directories::Directories;
use crate::expiry::{Clock, Moment};
use crate::flat::Flat;
use crate::handle::HandleTable;
use crate::inodes::{Inodes, Node};
use crate::open_directory::OpenDirectory;
use crate::open_file::OpenFile;
use crate::planned::Planned;
use crate::walk::Walker;
use crate::write::files::Writing;
use crate::{AheadSnapshot, Answer, Attr, FileKind, FsError, FsSnapshot, Handle, Inode, PageCache, StatFs, inodes};

/// A tree of files over a store.
#[derive(Debug)]
pub struct FileSystem {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) config: FsConfig,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) clock: Clock,
    /// The time of directories that have no marker.
    begun: SystemTime,
    pub(crate) inodes: Inodes,
    pub(crate) directories: Directories,
    pub(crate) asking: Asking,
    pub(crate) walker: Mutex<Walker>,
    pub(crate) flats: Mutex<Vec<Arc<Flat>>>,
    pub(crate) files: HandleTable<OpenFile>,
    pub(crate) writing: Writing,
    pub(crate) open_directories: HandleTable<OpenDirectory>,
    pub(crate) counters: Counters,
    pub(crate) stale_handles: AtomicU64,
    pub(crate) pages: OnceLock<Arc<dyn PageCache>>,
    /// The kernel may have pages of files that this process did not give it.
    pub(crate) has_strange_pages: AtomicBool,
    /// The plan that is followed, and how many were.
    pub(crate) planned: Mutex<Option<Arc<Planned>>>,
    pub(crate) plans: AtomicUsize,
    /// Streams that are followed, over all files.
    pub(crate) streams: Arc<AtomicUsize>,
    /// Bytes asked for because an index named them.
    pub(crate) hinted: Arc<AtomicU64>,
    /// Of the files that are closed.
    pub(crate) ahead: Mutex<AheadSnapshot>,
}

impl FileSystem {
    /// A tree over the objects of `store`, whose bytes are read through `cache`. Work that outlives a call
    /// (listing ahead) runs on `runtime`.
    pub fn new(
        store: Arc<dyn Store>,
        cache: Arc<BlockCache>,
        config: &FsConfig,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        Self::with_clock(store, cache, config, runtime, Clock::system())
    }

    /// The same, with a clock of the caller's.
    pub fn with_clock(
        store: Arc<dyn Store>,
        cache: Arc<BlockCache>,
        config: &FsConfig,
        runtime: tokio::runtime::Handle,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            cache,
            config: config.clone(),
            runtime,
            clock,
            begun: SystemTime::now(),
            inodes: Inodes::new(),
            directories: Directories::new(config),
            asking: Asking::default(),
            walker: Mutex::default(),
            flats: Mutex::default(),
            files: HandleTable::new(),
            writing: Writing::new(config),
            open_directories: HandleTable::new(),
            counters: Counters::new(),
            stale_handles: AtomicU64::new(0),
            pages: OnceLock::new(),
            has_strange_pages: AtomicBool::new(false),
            planned: Mutex::default(),
            plans: AtomicUsize::new(0),
            streams: Arc::default(),
            hinted: Arc::default(),
            ahead: Mutex::default(),
        })
    }

    /// Another process served this mount before: what the kernel keeps of a file may be of another version than
    /// the one that is opened next, so the first open of each drops it.
    pub fn follow_another_process(&self) {
        self.has_strange_pages.store(true, Ordering::Relaxed);
    }

    /// Gives back `count` references to `inode`.
    pub fn forget(&self, inode: Inode, count: u64) {
        self.inodes.forget(inode, count);
    }

    /// The attributes of `inode` and how long they may be believed; of the version that `handle` has open,
    /// where one is given.
    pub fn getattr(self: &Arc<Self>, inode: Inode, handle: Option<Handle>) -> Answer<(Attr, Duration)> {
        self.counters.add(Count::Getattr);
        if let Some(file) = handle.and_then(|handle| self.files.get(handle)).filter(|file| !file.is_edited()) {
            // Nobody but this handle should believe it: the object may have changed since.
            return Answer::Ready(Ok((file.attr(self), Duration::ZERO)));
        }
        self.with_fresh(inode, |fs, node| Ok((fs.attr_of(node), fs.ttl_of(node))))
    }

    /// What `df` shows.
    pub fn statfs(&self) -> StatFs {
        // 1 PiB free in 4 KiB blocks: more than anybody writes, and no program's counter overflows.
        let blocks = 1 << 38;
        StatFs { block_size: 4096, blocks, blocks_free: blocks, files: 1 << 40, files_free: 1 << 40, name_max: 255 }
    }

    /// Whether `uid` and `gid` may do what `mask` says (4 read, 2 write, 1 execute or search, 0 exist).
    ///
    /// # Errors
    /// `Denied` by the mode bits, `ReadOnly` for writing, `Unknown` for an inode nobody looked up.
    pub fn access(&self, inode: Inode, uid: u32, gid: u32, mask: u32) -> Result<(), FsError> {
        let node = self.node(inode)?;
        if mask & 2 != 0 {
            self.writable()?;
        }
        let Attr { mode, uid: owner, gid: group, .. } = self.attr_of(&node);
        let granted = match uid {
            0 if node.is_directory || mode & 0o111 != 0 => 0o7,
            0 => 0o6,
            uid if uid == owner => mode >> 6,
            _ if gid == group => mode >> 3,
            _ => mode,
        };
        if granted & mask & 0o7 == mask & 0o7 { Ok(()) } else { Err(FsError::Denied) }
    }

    /// What is held and was done so far.
    pub fn snapshot(&self) -> FsSnapshot {
        let (negative, listings) = self.directories.counts();
        let flats = crate::lock(&self.flats).iter().filter(|flat| !flat.is_over()).count();
        FsSnapshot {
            inodes: self.inodes.count() as u64,
            entries: self.directories.entries() as u64,
            entries_max: self.config.entries_max as u64,
            negative_entries: negative as u64,
            handles: (self.files.count() + self.open_directories.count()) as u64,
            listings: listings as u64,
            walks: flats as u64,
            unreachable_objects: self.directories.unreachable(),
            stale_handles: self.stale_handles.load(Ordering::Relaxed),
            edits: self.writing.edits.all().len() as u64,
            spool_bytes: self.writing.spool.used(),
            operations: self.counters.sum(),
            hinted_bytes: self.hinted.load(Ordering::Relaxed),
            ahead: self.ahead_snapshot(),
        }
    }

    pub(crate) fn node(&self, inode: Inode) -> Result<Arc<Node>, FsError> {
        self.inodes.get(inode).ok_or(FsError::Unknown(inode.0))
    }

    /// Calls `answer` with the node once what is known of it is fresh: now, or after the store was asked.
    pub(crate) fn with_fresh<T: Send + 'static>(
        self: &Arc<Self>,
        inode: Inode,
        answer: impl FnOnce(&Arc<Self>, &Arc<Node>) -> Result<T, FsError> + Send + 'static,
    ) -> Answer<T> {
        let node = match self.node(inode) {
            Ok(node) => node,
            Err(error) => return Answer::Ready(Err(error)),
        };
        if node.edit.is_taken() || self.is_fresh(&node) {
            return Answer::Ready(answer(self, &node));
        }
        let fs = Arc::clone(self);
        Answer::Pending(Box::pin(async move {
            fs.refresh(&node).await?;
            answer(&fs, &node)
        }))
    }

    /// The attributes of a node, as far as they are known.
    pub(crate) fn attr_of(&self, node: &Node) -> Attr {
        if let Some(edit) = node.edit.get() {
            return self.edit_attr(node.inode, &edit);
        }
        let state = node.state();
        let what = match &state.meta {
            Some(meta) => What::File(meta.clone()),
            None => What::Directory(state.marker.clone()),
        };
        drop(state);
        self.attr(node.inode, &node.key(), &what)
    }

    /// The attributes of what is at `key`.
    pub(crate) fn attr(&self, inode: Inode, key: &ObjectKey, what: &What) -> Attr {
        let (uid, gid) = (self.config.uid, self.config.gid);
        match what {
            What::File(meta) => {
                let (kind, mode) = match meta.is_symlink {
                    true => (FileKind::Symlink, 0o777),
                    false => (FileKind::File, self.config.file_mode),
                };
                let plain = Attr {
                    inode,
                    kind,
                    size: meta.size,
                    modified: meta.modified,
                    accessed: meta.modified,
                    changed: meta.modified,
                    mode,
                    uid,
                    gid,
                    links: 1,
                };
                match &meta.posix {
                    Some(posix) if self.config.posix => plain.with(posix),
                    _ => plain,
                }
            }
            What::Directory(marker) => {
                let listed = if marker.is_some() { None } else { self.directories.marker(key) };
                let marker = marker.as_ref().or(listed.as_ref());
                let touched = self.directories.touched(key);
                let made = marker.map_or(self.begun, |marker| marker.modified);
                let plain = Attr {
                    inode,
                    kind: FileKind::Directory,
                    size: 0,
                    modified: made,
                    accessed: made,
                    changed: touched.map_or(made, |touched| touched.max(made)),
                    mode: self.config.dir_mode,
                    uid,
                    gid,
                    links: 2,
                };
                let kept = match marker.and_then(|marker| marker.posix.as_ref()) {
                    Some(posix) if self.config.posix => plain.with(posix),
                    _ => plain,
                };
                Attr { modified: touched.unwrap_or(kept.modified), ..kept }
            }
        }
    }

    /// The attributes of the directory of `prefix`, which nobody need hold a reference to.
    pub(crate) fn directory_attr(&self, prefix: &ObjectKey, marker: Option<Marker>) -> Attr {
        self.attr(inodes::number(prefix), prefix, &What::Directory(marker))
    }

    /// How long what is known of the node may be believed.
    fn ttl_of(&self, node: &Node) -> Duration {
        if node.edit.is_taken() {
            return Duration::ZERO;
        }
        if node.inode == Inode::ROOT { self.config.metadata_ttl } else { self.ttl(node.state().learnt) }
    }

    /// How long something that was learnt then may be believed.
    pub(crate) fn ttl(&self, learnt: Moment) -> Duration {
        learnt.fresh(self.clock.now(), self.config.metadata_ttl).unwrap_or_default()
    }
}
