//! The operations, as the kernel's door and the benches call them.

use std::sync::Arc;
use std::time::Duration;

use rfuse_cache::{BlockCache, Slices};
use rfuse_config::FsConfig;
use rfuse_store::Store;

use crate::{Answer, Attr, DirEntry, Entry, FsError, FsSnapshot, Handle, Inode, Opened, StatFs};

/// A tree of files over a store.
#[derive(Debug)]
pub struct FileSystem {
    config: FsConfig,
}

const SOON: FsError = FsError::Unsupported("this operation");

impl FileSystem {
    /// A tree over the objects of `store`, whose bytes are read through `cache`. Work that outlives a call
    /// (listing ahead) runs on `runtime`.
    #[expect(clippy::needless_pass_by_value, reason = "the owner keeps them from the next change on")]
    pub fn new(
        store: Arc<dyn Store>,
        cache: Arc<BlockCache>,
        config: &FsConfig,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        drop((store, cache, runtime));
        Arc::new(Self { config: config.clone() })
    }

    /// Finds `name` in the directory `parent`. [`Entry::Found`] counts one reference to the inode.
    pub fn lookup(self: &Arc<Self>, parent: Inode, name: &[u8]) -> Answer<Entry> {
        let _ = (parent, name);
        Answer::Ready(Err(SOON))
    }

    /// Gives back `count` references to `inode`.
    pub fn forget(&self, inode: Inode, count: u64) {
        let _ = (inode, count);
    }

    /// Counts one reference to the inode of `entry`, which was read from the directory `handle`: for each
    /// entry of a readdirplus that fitted into the kernel's buffer. `.` and `..` are not counted.
    pub fn remember(&self, handle: Handle, entry: &DirEntry) {
        let _ = (handle, entry);
    }

    /// The attributes of `inode` and how long they may be believed; of the version that `handle` has open,
    /// where one is given.
    pub fn getattr(self: &Arc<Self>, inode: Inode, handle: Option<Handle>) -> Answer<(Attr, Duration)> {
        let _ = (inode, handle, &self.config);
        Answer::Ready(Err(SOON))
    }

    /// The target of a symbolic link.
    pub fn readlink(self: &Arc<Self>, inode: Inode) -> Answer<Vec<u8>> {
        let _ = inode;
        Answer::Ready(Err(SOON))
    }

    /// Opens a file for reading, pinned to the version it has now.
    pub fn open(self: &Arc<Self>, inode: Inode) -> Answer<Opened> {
        let _ = inode;
        Answer::Ready(Err(SOON))
    }

    /// Up to `size` bytes from `offset` on; fewer only at the end of the file.
    pub fn read(self: &Arc<Self>, handle: Handle, offset: u64, size: u32) -> Answer<Slices> {
        let _ = (handle, offset, size);
        Answer::Ready(Err(SOON))
    }

    /// Closes a file.
    pub fn release(&self, handle: Handle) {
        let _ = handle;
    }

    /// Opens a directory.
    pub fn opendir(self: &Arc<Self>, inode: Inode) -> Answer<Handle> {
        let _ = inode;
        Answer::Ready(Err(SOON))
    }

    /// Up to `limit` entries from `cookie` on: 0 is the beginning, else [`DirEntry::next`] of the entry
    /// before. An empty answer is the end.
    pub fn readdir(self: &Arc<Self>, handle: Handle, cookie: u64, limit: usize) -> Answer<Vec<DirEntry>> {
        let _ = (handle, cookie, limit);
        Answer::Ready(Err(SOON))
    }

    /// Closes a directory.
    pub fn releasedir(&self, handle: Handle) {
        let _ = handle;
    }

    /// What `df` shows.
    pub fn statfs(&self) -> StatFs {
        StatFs {
            block_size: 4096,
            blocks: 1 << 38,
            blocks_free: 1 << 38,
            files: 1 << 40,
            files_free: 1 << 40,
            name_max: 255,
        }
    }

    /// Whether `uid` and `gid` may do what `mask` says (4 read, 2 write, 1 execute or search, 0 exist).
    ///
    /// # Errors
    /// `Denied` by the mode bits, `ReadOnly` for writing, `Unknown` for an inode nobody looked up.
    pub fn access(&self, inode: Inode, uid: u32, gid: u32, mask: u32) -> Result<(), FsError> {
        let _ = (inode, uid, gid, mask);
        Ok(())
    }

    /// The value of an extended attribute.
    pub fn getxattr(self: &Arc<Self>, inode: Inode, name: &[u8]) -> Answer<Vec<u8>> {
        let _ = (inode, name);
        Answer::Ready(Err(FsError::NoAttribute))
    }

    /// The names of the extended attributes.
    pub fn listxattr(self: &Arc<Self>, inode: Inode) -> Answer<Vec<Vec<u8>>> {
        let _ = inode;
        Answer::Ready(Ok(Vec::new()))
    }

    /// What is held and was done so far.
    pub fn snapshot(&self) -> FsSnapshot {
        FsSnapshot::default()
    }
}
