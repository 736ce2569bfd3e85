//! Names into inodes.

use std::sync::Arc;
use std::time::Duration;

use rfuse_block::ObjectKey;

use crate::child::What;
use crate::counters::Count;
use crate::directories::Found;
use crate::expiry::Moment;
use crate::inodes::Node;
use crate::{Answer, Entry, FileSystem, FsError, Inode, name};

impl FileSystem {
    /// Finds `name` in the directory `parent`. [`Entry::Found`] counts one reference to the inode.
    pub fn lookup(self: &Arc<Self>, parent: Inode, name: &[u8]) -> Answer<Entry> {
        self.counters.add(Count::Lookup);
        let prefix = match self.directory_to_search(parent, name) {
            Ok(prefix) => prefix,
            Err(error) => return Answer::Ready(Err(error)),
        };
        let edit = self.writing.edits.find(&name::file_key(&prefix, name));
        if edit.is_some_and(|edit| !edit.state().is_resting())
            && let Some(known) = self.edited(&prefix, name)
        {
            return Answer::Ready(Ok(known));
        }
        match self.directories.find(&prefix, name, self.clock.now()) {
            Found::Here { what, learnt } => Answer::Ready(Ok(self.found(&prefix, name, &what, learnt))),
            Found::Absent { learnt } => Answer::Ready(Ok(self.absent(&prefix, name, learnt))),
            Found::Unknown { probed } => {
                let (fs, name) = (Arc::clone(self), Box::<[u8]>::from(name));
                Answer::Pending(Box::pin(async move {
                    let (what, learnt) = fs.find_out(&prefix, &name, probed).await?;
                    Ok(match what {
                        Some(what) => fs.found(&prefix, &name, &what, learnt),
                        None => fs.absent(&prefix, &name, learnt),
                    })
                }))
            }
        }
    }

    pub(crate) fn directory_to_search(&self, parent: Inode, name: &[u8]) -> Result<ObjectKey, FsError> {
        let node = self.node(parent)?;
        if !node.is_directory {
            return Err(FsError::NotADirectory);
        }
        match name::is_name(name) {
            true => Ok(node.key()),
            false if name.len() > name::NAME_MAX => Err(FsError::BadName),
            // The kernel resolves `.` and `..` itself, and names hold neither `/` nor NUL.
            false => Err(FsError::NotFound),
        }
    }

    /// The file of this name that is being written, with one more reference to its inode.
    fn edited(&self, prefix: &ObjectKey, name: &[u8]) -> Option<Entry> {
        let key = name::file_key(prefix, name);
        let user = self.writing.edits.join_known(&key)?;
        let node = self.refer_node(&key, false);
        user.edit().show_through(&node);
        Some(Entry::Found { attr: self.attr_of(&node), ttl: Duration::ZERO })
    }

    /// The same, unless the store has something else under the name by now and nobody here is writing it: then
    /// those who read it go on with what they opened, and the name is free for what the store has.
    fn still_edited(&self, prefix: &ObjectKey, name: &[u8], what: Option<&What>, learnt: Moment) -> Option<Entry> {
        let key = name::file_key(prefix, name);
        let edit = self.writing.edits.find(&key)?;
        let version = match what {
            Some(What::File(meta)) => Some(&meta.version),
            _ => None,
        };
        let nodes = edit.nodes();
        let is_news = nodes.iter().all(|node| node.was_stored_before(learnt));
        if is_news && self.writing.edits.remove_if(&key, &edit, || edit.state().give_way(version)) {
            nodes.iter().for_each(|node| self.inodes.unlink(node));
            return None;
        }
        self.edited(prefix, name)
    }

    /// What memory knows of a name: nothing, that it is not there, or what it is.
    pub(crate) fn lookup_known(&self, prefix: &ObjectKey, name: &[u8]) -> Option<Option<What>> {
        if self.writing.edits.find(&name::file_key(prefix, name)).is_some() {
            return None;
        }
        match self.directories.find(prefix, name, self.clock.now()) {
            Found::Here { what, .. } => Some(Some(what)),
            Found::Absent { .. } => Some(None),
            Found::Unknown { .. } => None,
        }
    }

    fn found(&self, prefix: &ObjectKey, name: &[u8], what: &What, learnt: Moment) -> Entry {
        if let Some(entry) = self.still_edited(prefix, name, Some(what), learnt) {
            return entry;
        }
        let node = match what {
            What::File(_) => self.refer(&name::file_key(prefix, name), what, learnt),
            What::Directory(_) => self.refer(&name::directory_key(prefix, name), what, learnt),
        };
        Entry::Found { attr: self.attr_of(&node), ttl: self.ttl(learnt) }
    }

    /// The inode of `key`, which is `what`, with one more reference.
    pub(crate) fn refer(&self, key: &ObjectKey, what: &What, learnt: Moment) -> Arc<Node> {
        let is_directory = matches!(what, What::Directory(_));
        let node = self.refer_node(key, is_directory);
        node.learn(what, learnt);
        if !node.retires() {
            return node;
        }
        let successor = self.refer_node(key, is_directory);
        self.inodes.forget(node.inode, 1);
        successor
    }

    /// The inode of `key`, with one more reference, as part of the change its file is in.
    pub(crate) fn refer_node(&self, key: &ObjectKey, is_directory: bool) -> Arc<Node> {
        let node = self.inodes.refer(key, is_directory);
        if !is_directory
            && !node.edit.is_taken()
            && let Some(user) = self.writing.edits.join_known(key)
        {
            user.edit().show_through(&node);
        }
        node
    }

    fn absent(&self, prefix: &ObjectKey, name: &[u8], learnt: Moment) -> Entry {
        if let Some(entry) = self.still_edited(prefix, name, None, learnt) {
            return entry;
        }
        Entry::Absent { ttl: learnt.fresh(self.clock.now(), self.config.negative_ttl).unwrap_or_default() }
    }
}
