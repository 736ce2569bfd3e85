//! The inodes that the kernel holds references to.
//!
//! A number follows from the path: the first 63 bits of its SHA-256. So it is the same each time the path is
//! met, in this mount and the next, and nothing need be remembered for it. Should two paths that are held at
//! once have the same number, the later one takes the next free number while both live (1 in 10⁷ for a
//! million held paths). A directory's path ends in `/`, so a file that gives way to a directory of the same
//! name is another inode.
//!
//! An inode has one page cache in the kernel, so all that is open of it must be of one version. When another
//! version is to be opened while the old one still is, the old inode retires with its descriptors and the path
//! gets a new one, as when a local file is replaced by renaming.
//!
//! Bound: as many as the kernel holds references to; it gives them back under memory pressure.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use rfuse_block::{ObjectKey, Version};
use sha2::{Digest, Sha256};

use crate::Inode;
use crate::child::{FileMeta, Marker, What};
use crate::expiry::{AtomicMoment, Moment};
use crate::follower::Follower;
use crate::write::edits::EditSlot;

/// One file or directory.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) inode: Inode,
    /// A file's key, or a directory's prefix, which ends in `/`; empty for the root. A renamed one gets another.
    key: RwLock<ObjectKey>,
    pub(crate) is_directory: bool,
    /// The change that it is part of, while it is being written.
    pub(crate) edit: EditSlot,
    /// Pages being put into the kernel.
    pushes: AtomicUsize,
    /// Reads that memory did not answer at once, and their bytes.
    waited: AtomicU64,
    waited_bytes: AtomicU64,
    state: Mutex<NodeState>,
    /// When a read of it was last given up because the store did not answer.
    unanswered: AtomicMoment,
}

/// What is known of a node.
#[derive(Debug, Default)]
pub(crate) struct NodeState {
    /// References the kernel holds.
    references: u64,
    /// What the store said last; none for directories.
    pub(crate) meta: Option<FileMeta>,
    /// When it said so.
    pub(crate) learnt: Moment,
    /// The version that was opened last: the one whose pages the kernel may have kept.
    opened: Option<Version>,
    /// The kernel was told to drop the pages of the version before, and nobody knows yet whether it has: who opens
    /// meanwhile must not be told that they are his.
    is_dropping: bool,
    /// How often that version is open.
    open_files: u64,
    /// What is done ahead of those who read it.
    follower: Weak<Follower>,
    /// Whether the path has another inode now.
    is_retired: bool,
    /// Descriptors that are open.
    handles: u64,
    /// When it was last stored from here; what was asked before is about another version.
    stored: Moment,
    /// A directory's marker.
    pub(crate) marker: Option<Marker>,
}

/// What opening a version means for the pages the kernel has of its inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opening {
    /// This process has not opened it before; the kernel has none, unless another process served the mount.
    First,
    /// They are of this version.
    Same,
    /// They are of this version, but for those of another that the kernel may not have dropped yet: all must go.
    Dropping,
    /// They are of another that nobody has open any more: they must go.
    Other,
    /// They are of another that is still open: this inode cannot have both, and has retired.
    Taken,
}

impl Node {
    fn new(inode: Inode, key: ObjectKey, is_directory: bool) -> Arc<Self> {
        Arc::new(Self::with(inode, key, is_directory, NodeState::default()))
    }

    fn with(inode: Inode, key: ObjectKey, is_directory: bool, state: NodeState) -> Self {
        let (key, state, edit) = (RwLock::new(key), Mutex::new(state), EditSlot::default());
        let (pushes, unanswered) = (AtomicUsize::new(0), AtomicMoment::default());
        let (waited, waited_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { inode, key, is_directory, edit, pushes, waited, waited_bytes, state, unanswered }
    }

    /// A read of `bytes` has to wait.
    pub(crate) fn wait(&self, bytes: u64) {
        self.waited.fetch_add(1, Ordering::Relaxed);
        self.waited_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Reads that had to wait, and their bytes.
    pub(crate) fn waited(&self) -> (u64, u64) {
        (self.waited.load(Ordering::Relaxed), self.waited_bytes.load(Ordering::Relaxed))
    }

    /// A file's key, or a directory's prefix, which ends in `/`; empty for the root.
    pub(crate) fn key(&self) -> ObjectKey {
        self.key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_at(&self, key: &ObjectKey) -> bool {
        *self.key.read().unwrap_or_else(PoisonError::into_inner) == *key
    }

    /// The node that takes the path over from `retired`, with what is known of it.
    fn after(inode: Inode, retired: &Self) -> Arc<Self> {
        let old = retired.state();
        let state = NodeState { meta: old.meta.clone(), learnt: old.learnt, ..NodeState::default() };
        Arc::new(Self::with(inode, retired.key(), retired.is_directory, state))
    }

    /// What is known of it.
    pub(crate) fn state(&self) -> MutexGuard<'_, NodeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the store said at `learnt`, unless something newer is known.
    pub(crate) fn learn(&self, what: &What, learnt: Moment) {
        let mut state = self.state();
        if learnt >= state.learnt && learnt >= state.stored {
            state.learnt = learnt;
            match what {
                What::File(meta) => state.meta = Some(meta.clone()),
                What::Directory(Some(marker)) => state.marker = Some(marker.clone()),
                What::Directory(None) => {}
            }
        }
    }

    /// Notes that `version` is opened; to be followed by [`Node::close`] unless the answer is `Taken`. With the
    /// follower that all handles of the version share; a new one is made by `follower`.
    pub(crate) fn open(&self, version: &Version, follower: impl FnOnce() -> Arc<Follower>) -> (Opening, Arc<Follower>) {
        let mut state = self.state();
        let opening = match &state.opened {
            Some(before) if before != version && state.open_files > 0 => {
                state.is_retired = true;
                return (Opening::Taken, follower());
            }
            Some(before) if before != version => {
                state.is_dropping = true;
                Opening::Other
            }
            Some(_) if state.is_dropping => Opening::Dropping,
            Some(_) => Opening::Same,
            None => Opening::First,
        };
        let shared = if matches!(opening, Opening::Same | Opening::Dropping) { state.follower.upgrade() } else { None };
        let follower = shared.unwrap_or_else(follower);
        state.follower = Arc::downgrade(&follower);
        state.opened = Some(version.clone());
        state.open_files += 1;
        (opening, follower)
    }

    /// A read came through a descriptor of `version` whose opening told the kernel to drop what it had: so it has.
    pub(crate) fn has_dropped(&self, version: &Version) {
        let mut state = self.state();
        if state.opened.as_ref() == Some(version) {
            state.is_dropping = false;
        }
    }

    /// Notes that what was opened is closed.
    pub(crate) fn close(&self) {
        self.state().open_files -= 1;
    }

    /// Retires the node if a version other than the one it is known to have now is open; whether it has.
    pub(crate) fn retires(&self) -> bool {
        let mut state = self.state();
        // All descriptors of a file that is being written show what is written.
        if self.edit.is_taken() {
            return state.is_retired;
        }
        let now = state.meta.as_ref().map(|meta| &meta.version);
        if state.open_files > 0 && now.is_some() && now != state.opened.as_ref() {
            state.is_retired = true;
        }
        state.is_retired
    }

    /// Announces that a page of it is put into the kernel; none when it is being written.
    pub(crate) fn push(&self) -> Option<Push<'_>> {
        self.pushes.fetch_add(1, Ordering::SeqCst);
        let push = Push(self);
        // After the announcement, as the writer looks for announcements after he has shown what he writes.
        (!self.edit.is_taken()).then_some(push)
    }

    /// Pages being put into the kernel now.
    pub(crate) fn pushes(&self) -> usize {
        self.pushes.load(Ordering::SeqCst)
    }

    /// Counts a descriptor.
    pub(crate) fn add_handle(&self) {
        self.state().handles += 1;
    }

    /// Counts a descriptor that was closed.
    pub(crate) fn drop_handle(&self) {
        self.state().handles -= 1;
    }

    /// Descriptors that are open.
    pub(crate) fn handles(&self) -> u64 {
        self.state().handles
    }

    /// Takes in that what its descriptors show was stored; the kernel's pages are those of the new version.
    pub(crate) fn stored(&self, meta: &FileMeta, learnt: Moment, now: Moment) {
        let mut state = self.state();
        state.stored = now;
        state.opened = Some(meta.version.clone());
        state.meta = Some(meta.clone());
        state.learnt = learnt;
    }

    /// Whether what the store said at `learnt` is newer than what was stored from here.
    pub(crate) fn was_stored_before(&self, learnt: Moment) -> bool {
        self.state().stored < learnt
    }

    /// The kernel's pages are of no version that is stored.
    pub(crate) fn forget_pages(&self) {
        let mut state = self.state();
        state.opened = Some(Version::new(""));
        state.learnt = Moment::NEVER;
    }

    /// When a read of it was last given up because the store did not answer.
    pub(crate) fn unanswered(&self) -> &AtomicMoment {
        &self.unanswered
    }

    /// Nothing known of it is believed any more.
    pub(crate) fn doubt(&self) {
        self.state().learnt = Moment::NEVER;
    }

    /// The prefix of the directory that holds it and its name there; none for the root.
    pub(crate) fn place(&self) -> Option<(ObjectKey, Box<[u8]>)> {
        crate::name::split(self.key().as_bytes()).map(|(prefix, name)| (ObjectKey::new(prefix), name.into()))
    }
}

/// A page is being put into the kernel.
#[derive(Debug)]
pub(crate) struct Push<'a>(&'a Node);

impl Drop for Push<'_> {
    fn drop(&mut self) {
        self.0.pushes.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The inodes by number.
#[derive(Debug)]
pub(crate) struct Inodes {
    table: RwLock<Table>,
    root: Arc<Node>,
}

#[derive(Debug, Default)]
struct Table {
    nodes: HashMap<Inode, Arc<Node>>,
    /// Those whose number does not follow from their path, because they were renamed or the number was taken.
    moved: HashMap<ObjectKey, Inode>,
}

impl Inodes {
    pub(crate) fn new() -> Self {
        Self { table: RwLock::default(), root: Node::new(Inode::ROOT, ObjectKey::from(""), true) }
    }

    /// The inode with this number, if the kernel holds a reference to it.
    pub(crate) fn get(&self, inode: Inode) -> Option<Arc<Node>> {
        if inode == Inode::ROOT {
            return Some(Arc::clone(&self.root));
        }
        self.read().nodes.get(&inode).cloned()
    }

    /// The inode of `key`, with one more reference.
    pub(crate) fn refer(&self, key: &ObjectKey, is_directory: bool) -> Arc<Node> {
        if key.as_bytes().is_empty() {
            return Arc::clone(&self.root);
        }
        let mut table = self.write();
        let mut inode = table.moved.get(key).copied().unwrap_or_else(|| number(key));
        let nodes = &mut table.nodes;
        let mut retired: Option<Arc<Node>> = None;
        let node = loop {
            let node = nodes.entry(inode).or_insert_with(|| match &retired {
                Some(retired) => Node::after(inode, retired),
                None => Node::new(inode, key.clone(), is_directory),
            });
            match node.is_at(key) {
                true if node.state().is_retired => retired = Some(Arc::clone(node)),
                true => break Arc::clone(node),
                false => {}
            }
            inode = after(inode);
        };
        node.state().references += 1;
        if inode != number(key) {
            table.moved.insert(key.clone(), inode);
        }
        node
    }

    /// The inode at `key`, if the kernel holds references to it.
    pub(crate) fn at(&self, key: &ObjectKey) -> Option<Arc<Node>> {
        let table = self.read();
        let inode = table.moved.get(key).copied().unwrap_or_else(|| number(key));
        table.nodes.get(&inode).filter(|node| node.is_at(key)).cloned()
    }

    /// Gives every inode below or at `from` the key that follows from `to`; those that had such a key already
    /// are of no path any more.
    pub(crate) fn rename(&self, from: &ObjectKey, to: &ObjectKey) {
        let mut table = self.write();
        let Table { nodes, moved } = &mut *table;
        for node in nodes.values() {
            let mut key = node.key.write().unwrap_or_else(PoisonError::into_inner);
            if lies_in(&key, to) {
                moved.remove(&*key);
                *key = nowhere(node.inode);
            }
        }
        for (inode, node) in nodes {
            let mut key = node.key.write().unwrap_or_else(PoisonError::into_inner);
            if lies_in(&key, from) {
                let renamed = ObjectKey::new([to.as_bytes(), &key.as_bytes()[from.as_bytes().len()..]].concat());
                moved.remove(&*key);
                moved.insert(renamed.clone(), *inode);
                *key = renamed;
            }
        }
    }

    /// Every inode below a directory that the kernel holds references to.
    pub(crate) fn below(&self, prefix: &ObjectKey) -> Vec<Arc<Node>> {
        let table = self.read();
        let is_below = |key: &ObjectKey| key.as_bytes().starts_with(prefix.as_bytes()) && key != prefix;
        table.nodes.values().filter(|node| is_below(&node.key())).cloned().collect()
    }

    /// The keys of files in or below a directory that have descriptors open.
    pub(crate) fn open_below(&self, prefix: &ObjectKey) -> Vec<ObjectKey> {
        let table = self.read();
        let open = table.nodes.values().filter(|node| !node.is_directory && node.handles() > 0);
        open.map(|node| node.key()).filter(|key| lies_in(key, prefix)).collect()
    }

    /// Nothing known of the files in or below a directory is believed any more.
    pub(crate) fn doubt_below(&self, prefix: &ObjectKey) {
        let table = self.read();
        table.nodes.values().filter(|node| lies_in(&node.key(), prefix)).for_each(|node| node.doubt());
    }

    /// The inode that shows a file whose name is gone is of no path any more.
    pub(crate) fn unlink(&self, node: &Node) {
        let mut table = self.write();
        let mut key = node.key.write().unwrap_or_else(PoisonError::into_inner);
        table.moved.remove(&*key);
        *key = nowhere(node.inode);
    }

    /// Takes `count` references back.
    pub(crate) fn forget(&self, inode: Inode, count: u64) {
        let mut table = self.write();
        let Some(node) = table.nodes.get(&inode) else { return };
        let mut state = node.state();
        state.references = state.references.saturating_sub(count);
        let is_free = state.references == 0;
        drop(state);
        if is_free {
            let key = node.key();
            table.nodes.remove(&inode);
            if table.moved.get(&key) == Some(&inode) {
                table.moved.remove(&key);
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inodes held, the root aside.
    pub(crate) fn count(&self) -> usize {
        self.read().nodes.len()
    }
}

/// The number that the path of `key` has, collisions aside.
pub(crate) fn number(key: &ObjectKey) -> Inode {
    if key.as_bytes().is_empty() {
        return Inode::ROOT;
    }
    let digest = Sha256::digest(key.as_bytes());
    let first = digest.iter().take(8).fold(0u64, |number, &byte| number << 8 | u64::from(byte));
    // 0 is no inode and 1 the root; 63 bits, because some programs keep the number in a signed integer.
    Inode((first >> 1).max(2))
}

/// Whether `key` is `place`, or lies in it where it is a directory.
fn lies_in(key: &ObjectKey, place: &ObjectKey) -> bool {
    match place.as_bytes().last() {
        Some(b'/') => key.as_bytes().starts_with(place.as_bytes()),
        _ => key == place,
    }
}

/// A key that no name leads to, for an inode that has lost its own. A NUL is in no name.
fn nowhere(inode: Inode) -> ObjectKey {
    ObjectKey::new(format!("\0{}", inode.0).into_bytes())
}

fn after(inode: Inode) -> Inode {
    Inode(((inode.0 + 1) & (u64::MAX >> 1)).max(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rfuse_config::PrefetchConfig;

    fn follower() -> Arc<Follower> {
        Follower::new(1, &PrefetchConfig::default(), &Arc::default())
    }

    #[test]
    fn a_path_has_the_same_number_after_it_was_forgotten() {
        let inodes = Inodes::new();
        let first = inodes.refer(&ObjectKey::from("a/b"), false).inode;
        inodes.refer(&ObjectKey::from("a/b"), false);
        inodes.forget(first, 1);
        assert!(inodes.get(first).is_some());
        inodes.forget(first, 1);
        assert!(inodes.get(first).is_none());
        assert_eq!(inodes.refer(&ObjectKey::from("a/b"), false).inode, first);
        assert_ne!(inodes.refer(&ObjectKey::from("a/b/"), true).inode, first);
    }

    #[test]
    fn a_version_opened_beside_another_gets_an_inode_of_its_own() {
        let (inodes, key) = (Inodes::new(), ObjectKey::from("x"));
        let (one, two) = (Version::new("1"), Version::new("2"));
        let old = inodes.refer(&key, false);
        assert_eq!(old.open(&one, follower).0, Opening::First);
        assert_eq!(old.open(&one, follower).0, Opening::Same);
        assert_eq!(old.open(&two, follower).0, Opening::Taken);
        let new = inodes.refer(&key, false);
        assert_ne!(new.inode, old.inode);
        assert_eq!(new.open(&two, follower).0, Opening::First);
        assert_eq!(inodes.refer(&key, false).inode, new.inode, "and keeps it");
        inodes.forget(old.inode, 1);
        assert!(inodes.get(old.inode).is_none());
    }

    #[test]
    fn a_version_opened_after_another_has_the_same_inode_and_no_old_pages() {
        let (inodes, key) = (Inodes::new(), ObjectKey::from("x"));
        let node = inodes.refer(&key, false);
        node.open(&Version::new("1"), follower);
        node.close();
        let two = Version::new("2");
        assert_eq!(node.open(&two, follower).0, Opening::Other);
        assert_eq!(node.open(&two, follower).0, Opening::Dropping, "the kernel may have the old ones still");
        node.has_dropped(&Version::new("1"));
        assert_eq!(node.open(&two, follower).0, Opening::Dropping);
        node.has_dropped(&two);
        assert_eq!(node.open(&two, follower).0, Opening::Same);
        assert_eq!(inodes.refer(&key, false).inode, node.inode);
    }

    #[test]
    fn two_paths_with_one_number_are_two_inodes() {
        let inodes = Inodes::new();
        let key = ObjectKey::from("x");
        let other = Node::new(number(&key), ObjectKey::from("elsewhere"), false);
        inodes.write().nodes.insert(other.inode, Arc::clone(&other));
        let node = inodes.refer(&key, false);
        assert_ne!(node.inode, other.inode);
        assert_eq!(inodes.get(node.inode).unwrap().key(), key);
    }
}
