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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::SystemTime;

use rfuse_block::{ObjectKey, Version};
use sha2::{Digest, Sha256};

use crate::Inode;
use crate::child::{FileMeta, What};
use crate::expiry::{AtomicMoment, Moment};
use crate::follower::Follower;

/// One file or directory.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) inode: Inode,
    /// A file's key, or a directory's prefix, which ends in `/`; empty for the root.
    pub(crate) key: ObjectKey,
    pub(crate) is_directory: bool,
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
    /// How often that version is open.
    open_files: u64,
    /// What is done ahead of those who read it.
    follower: Weak<Follower>,
    /// Whether the path has another inode now.
    is_retired: bool,
    /// A directory's marker's time.
    pub(crate) modified: Option<SystemTime>,
}

/// What opening a version means for the pages the kernel has of its inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opening {
    /// This process has not opened it before; the kernel has none, unless another process served the mount.
    First,
    /// They are of this version.
    Same,
    /// They are of another that nobody has open any more: they must go.
    Other,
    /// They are of another that is still open: this inode cannot have both, and has retired.
    Taken,
}

impl Node {
    fn new(inode: Inode, key: ObjectKey, is_directory: bool) -> Arc<Self> {
        Arc::new(Self { inode, key, is_directory, state: Mutex::default(), unanswered: AtomicMoment::default() })
    }

    /// The node that takes the path over from `retired`, with what is known of it.
    fn after(inode: Inode, retired: &Self) -> Arc<Self> {
        let old = retired.state();
        let state = NodeState { meta: old.meta.clone(), learnt: old.learnt, ..NodeState::default() };
        let key = retired.key.clone();
        let (is_directory, state) = (retired.is_directory, Mutex::new(state));
        Arc::new(Self { inode, key, is_directory, state, unanswered: AtomicMoment::default() })
    }

    /// What is known of it.
    pub(crate) fn state(&self) -> MutexGuard<'_, NodeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the store said at `learnt`, unless something newer is known.
    pub(crate) fn learn(&self, what: &What, learnt: Moment) {
        let mut state = self.state();
        if learnt >= state.learnt {
            state.learnt = learnt;
            match what {
                What::File(meta) => state.meta = Some(meta.clone()),
                What::Directory(modified) => state.modified = modified.or(state.modified),
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
            Some(before) if before != version => Opening::Other,
            Some(_) => Opening::Same,
            None => Opening::First,
        };
        let shared = if opening == Opening::Same { state.follower.upgrade() } else { None };
        let follower = shared.unwrap_or_else(follower);
        state.follower = Arc::downgrade(&follower);
        state.opened = Some(version.clone());
        state.open_files += 1;
        (opening, follower)
    }

    /// Notes that what was opened is closed.
    pub(crate) fn close(&self) {
        self.state().open_files -= 1;
    }

    /// Retires the node if a version other than the one it is known to have now is open; whether it has.
    pub(crate) fn retires(&self) -> bool {
        let mut state = self.state();
        let now = state.meta.as_ref().map(|meta| &meta.version);
        if state.open_files > 0 && now.is_some() && now != state.opened.as_ref() {
            state.is_retired = true;
        }
        state.is_retired
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
    pub(crate) fn place(&self) -> Option<(ObjectKey, &[u8])> {
        crate::name::split(self.key.as_bytes()).map(|(prefix, name)| (ObjectKey::new(prefix), name))
    }
}

/// The inodes by number.
#[derive(Debug)]
pub(crate) struct Inodes {
    nodes: RwLock<HashMap<Inode, Arc<Node>>>,
    root: Arc<Node>,
}

impl Inodes {
    pub(crate) fn new() -> Self {
        Self { nodes: RwLock::default(), root: Node::new(Inode::ROOT, ObjectKey::from(""), true) }
    }

    /// The inode with this number, if the kernel holds a reference to it.
    pub(crate) fn get(&self, inode: Inode) -> Option<Arc<Node>> {
        if inode == Inode::ROOT {
            return Some(Arc::clone(&self.root));
        }
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).get(&inode).cloned()
    }

    /// The inode of `key`, with one more reference.
    pub(crate) fn refer(&self, key: &ObjectKey, is_directory: bool) -> Arc<Node> {
        if key.as_bytes().is_empty() {
            return Arc::clone(&self.root);
        }
        let mut inode = number(key);
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        let mut retired: Option<Arc<Node>> = None;
        let node = loop {
            let node = nodes.entry(inode).or_insert_with(|| match &retired {
                Some(retired) => Node::after(inode, retired),
                None => Node::new(inode, key.clone(), is_directory),
            });
            match node.key == *key {
                true if node.state().is_retired => retired = Some(Arc::clone(node)),
                true => break Arc::clone(node),
                false => {}
            }
            inode = after(inode);
        };
        node.state().references += 1;
        node
    }

    /// Takes `count` references back.
    pub(crate) fn forget(&self, inode: Inode, count: u64) {
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        let Some(node) = nodes.get(&inode) else { return };
        let mut state = node.state();
        state.references = state.references.saturating_sub(count);
        let is_free = state.references == 0;
        drop(state);
        if is_free {
            nodes.remove(&inode);
        }
    }

    /// Inodes held, the root aside.
    pub(crate) fn count(&self) -> usize {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).len()
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
        assert_eq!(node.open(&Version::new("2"), follower).0, Opening::Other);
        assert_eq!(node.open(&Version::new("2"), follower).0, Opening::Same);
        assert_eq!(inodes.refer(&key, false).inode, node.inode);
    }

    #[test]
    fn two_paths_with_one_number_are_two_inodes() {
        let inodes = Inodes::new();
        let key = ObjectKey::from("x");
        let other = Node::new(number(&key), ObjectKey::from("elsewhere"), false);
        inodes.nodes.write().unwrap().insert(other.inode, Arc::clone(&other));
        let node = inodes.refer(&key, false);
        assert_ne!(node.inode, other.inode);
        assert_eq!(inodes.get(node.inode).unwrap().key, key);
    }
}
