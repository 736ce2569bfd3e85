//! Files by their path, for those who do not come through the kernel: what one is now, and that all that is known of
//! one is to be forgotten.

use std::sync::Arc;

use rfuse_block::{ObjectId, ObjectKey};
use rfuse_cache::PinnedObject;

use crate::child::{FileMeta, What};
use crate::directories::Found;
use crate::{FileSystem, FsError, Inode, inodes, name};

/// What was forgotten, as far as the kernel has to be told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Forgotten {
    /// Inodes whose attributes and pages are to go.
    pub inodes: Vec<Inode>,
    /// Names that are to be looked up again, each with its directory.
    pub names: Vec<(Inode, Box<[u8]>)>,
    /// Blocks that were remembered.
    pub blocks: u64,
}

/// What one file has cost since the kernel came to know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileCost {
    /// Its path, without a leading slash.
    pub path: ObjectKey,
    /// Descriptors open now.
    pub handles: u64,
    /// Reads that memory did not answer at once.
    pub waited: u64,
    /// Bytes of these.
    pub waited_bytes: u64,
    /// Bytes of it in memory.
    pub resident_bytes: u64,
}

impl FileSystem {
    /// The `most` files of which most bytes were waited for, of those the kernel knows.
    pub fn costly_files(&self, most: usize) -> Vec<FileCost> {
        let mut nodes = self.inodes.below(&ObjectKey::from(""));
        nodes.retain(|node| node.waited().0 > 0);
        nodes.sort_by_key(|node| std::cmp::Reverse(node.waited().1));
        nodes.truncate(most);
        let cost = |node: Arc<inodes::Node>| {
            let ((waited, waited_bytes), meta) = (node.waited(), node.state().meta.clone());
            let resident = |meta: &FileMeta| self.cache.resident(&self.pinned(node.key(), meta));
            let resident_bytes = meta.as_ref().map_or(0, resident);
            FileCost { path: node.key(), handles: node.handles(), waited, waited_bytes, resident_bytes }
        };
        nodes.into_iter().map(cost).collect()
    }

    /// The content that the file at `path`, which has no leading slash, has now; the store is asked only where what
    /// is known is older than the configured time.
    ///
    /// # Errors
    /// There is no such file, it is being written, or the store does not say.
    pub async fn object_at(self: &Arc<Self>, path: &[u8]) -> Result<PinnedObject, FsError> {
        let (prefix, name) = name::split(path).ok_or(FsError::IsADirectory)?;
        if !path.split(|&byte| byte == b'/').all(name::is_name) {
            return Err(FsError::NotFound);
        }
        if self.writing.edits.find(&ObjectKey::new(path)).is_some() {
            return Err(FsError::Unsupported("what is being written has no version yet; this"));
        }
        let prefix = ObjectKey::new(prefix);
        let what = match self.directories.find(&prefix, name, self.clock.now()) {
            Found::Here { what, .. } => Some(what),
            Found::Absent { .. } => None,
            Found::Unknown { probed } => self.find_out(&prefix, name, probed).await?.0,
        };
        match what {
            Some(What::File(meta)) => Ok(self.pinned(ObjectKey::new(path), &meta)),
            Some(What::Directory(_)) => Err(FsError::IsADirectory),
            None => Err(FsError::NotFound),
        }
    }

    /// Forgets what is known of the file or directory at `path`, and of every name in and below it. What is open
    /// reads on; the next look asks the store.
    pub fn forget_path(&self, path: &[u8]) -> Forgotten {
        let Some((prefix, name)) = name::split(path) else { return self.forget_everything() };
        let prefix = ObjectKey::new(prefix);
        let mut forgotten = Forgotten::default();
        if let Some(Some(What::File(meta))) = self.lookup_known(&prefix, name) {
            forgotten.blocks += self.cache.invalidate(&self.pinned(ObjectKey::new(path), &meta));
        }
        self.directories.doubt(&prefix, name);
        forgotten.names.push((inodes::number(&prefix), name.into()));
        self.forget_below(&ObjectKey::new([path, b"/"].concat()), &mut forgotten);
        if let Some(node) = self.inodes.at(&ObjectKey::new(path)) {
            node.doubt();
            forgotten.inodes.push(node.inode);
        }
        forgotten
    }

    fn forget_everything(&self) -> Forgotten {
        let mut forgotten = Forgotten { blocks: self.cache.invalidate_all(), ..Forgotten::default() };
        self.forget_below(&ObjectKey::from(""), &mut forgotten);
        forgotten
    }

    /// What is known of names below `prefix`.
    fn forget_below(&self, prefix: &ObjectKey, forgotten: &mut Forgotten) {
        self.directories.forget_below(prefix);
        for node in self.inodes.below(prefix) {
            node.doubt();
            let meta = node.state().meta.clone();
            if let Some(meta) = meta.filter(|_| !node.is_directory) {
                forgotten.blocks += self.cache.invalidate(&self.pinned(node.key(), &meta));
            }
            if let Some((prefix, name)) = node.place() {
                forgotten.names.push((inodes::number(&prefix), name));
            }
            forgotten.inodes.push(node.inode);
        }
    }

    fn pinned(&self, key: ObjectKey, meta: &FileMeta) -> PinnedObject {
        self.cache.pin(ObjectId { key, version: meta.version.clone() }, meta.size)
    }
}
