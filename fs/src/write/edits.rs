//! Which files are being changed, by key.
//!
//! Bound: one entry for each file that is open for writing, or whose last writer has closed it and whose object
//! is not stored yet.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rfuse_block::ObjectKey;

use super::edit::{Edit, User};
use crate::{lock, name};

/// A name in a directory, and the file of it that is being changed.
pub(crate) type Edited = (Box<[u8]>, Arc<Edit>);

/// The files being changed.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    table: Mutex<BTreeMap<ObjectKey, Arc<Edit>>>,
    /// Entries; read without the lock by the many who find that there are none.
    count: AtomicUsize,
}

impl Edits {
    /// The file at `key`, if it is being changed.
    pub(crate) fn find(&self, key: &ObjectKey) -> Option<Arc<Edit>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        lock(&self.table).get(key).cloned()
    }

    /// Whether no file is being changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// A use of the file at `key`: the one that is being changed already, or the one `make` makes.
    pub(crate) fn join(&self, key: &ObjectKey, make: impl FnOnce() -> Arc<Edit>) -> User {
        let mut table = lock(&self.table);
        let user = table.entry(key.clone()).or_insert_with(make).join();
        self.count.store(table.len(), Ordering::Release);
        user
    }

    /// A use of the file at `key`, if it is being changed.
    pub(crate) fn join_known(&self, key: &ObjectKey) -> Option<User> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        lock(&self.table).get(key).map(Edit::join)
    }

    /// Forgets `edit`, unless it is not at `key` or `may` says no; whether it is forgotten. Nobody joins it
    /// meanwhile.
    pub(crate) fn remove_if(&self, key: &ObjectKey, edit: &Arc<Edit>, may: impl FnOnce() -> bool) -> bool {
        let mut table = lock(&self.table);
        if !may() {
            return false;
        }
        // One whose name is gone is in no table.
        if table.get(key).is_some_and(|found| Arc::ptr_eq(found, edit)) {
            table.remove(key);
        }
        self.count.store(table.len(), Ordering::Release);
        true
    }

    /// Moves the file at `from` to `to`, where it takes the place of any other.
    pub(crate) fn rename(&self, from: &ObjectKey, to: &ObjectKey) {
        let mut table = lock(&self.table);
        if let Some(edit) = table.remove(from) {
            table.insert(to.clone(), edit);
        }
        self.count.store(table.len(), Ordering::Release);
    }

    /// The files being changed that lie directly in the directory of `prefix`, by name.
    pub(crate) fn in_directory(&self, prefix: &ObjectKey) -> Vec<Edited> {
        self.below(prefix)
            .into_iter()
            .filter_map(|(key, edit)| {
                let name = key.as_bytes().strip_prefix(prefix.as_bytes())?;
                name::is_name(name).then(|| (name.into(), edit))
            })
            .collect()
    }

    /// The files being changed whose key begins with `prefix`.
    pub(crate) fn below(&self, prefix: &ObjectKey) -> Vec<(ObjectKey, Arc<Edit>)> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let table = lock(&self.table);
        let from = (Bound::Included(prefix.clone()), Bound::Unbounded);
        let found = table.range(from).take_while(|(key, _)| key.as_bytes().starts_with(prefix.as_bytes()));
        found.map(|(key, edit)| (key.clone(), Arc::clone(edit))).collect()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Edit>> {
        lock(&self.table).values().cloned().collect()
    }
}

/// An inode's place for the change it is part of; looked at by every read.
#[derive(Debug, Default)]
pub(crate) struct EditSlot {
    is_taken: AtomicBool,
    edit: Mutex<Option<Arc<Edit>>>,
}

impl EditSlot {
    /// The change, if there is one.
    pub(crate) fn get(&self) -> Option<Arc<Edit>> {
        if !self.is_taken.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.edit).clone()
    }

    /// Whether there is one.
    pub(crate) fn is_taken(&self) -> bool {
        self.is_taken.load(Ordering::SeqCst)
    }

    /// Puts one in, or takes it out.
    pub(crate) fn set(&self, edit: Option<Arc<Edit>>) {
        let mut slot = lock(&self.edit);
        self.is_taken.store(edit.is_some(), Ordering::SeqCst);
        *slot = edit;
    }
}
