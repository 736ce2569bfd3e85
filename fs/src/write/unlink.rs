//! Names that go, while what is open under them stays.

use std::sync::Arc;

use rfuse_block::{ByteRange, ObjectKey};
use rfuse_store::{Precondition, StoreErrorKind};

use super::edit::{Edit, User};
use super::layout::Source;
use super::send::Gathering;
use crate::child::{Marker, What};
use crate::directories::Found;
use crate::inodes::Node;
use crate::posix::Posix;
use crate::{Answer, FileSystem, FsError, Inode, name};

/// Bytes that are fetched at most so that who has a file open can read on when its name is gone. Of a larger
/// one, what is not in memory is `ESTALE` from then on.
const KEEP_MAX: u64 = 256 << 20;
/// Bytes fetched at once for that.
const KEEP_STEP: u64 = 8 << 20;

impl FileSystem {
    /// Removes the file `name` from the directory `parent`. Descriptors that have it open read and write on.
    pub fn unlink(self: &Arc<Self>, parent: Inode, name: &[u8]) -> Answer<()> {
        let prefix = match self.deletable().and_then(|()| self.directory_to_search(parent, name)) {
            Ok(prefix) => prefix,
            Err(error) => return Answer::Ready(Err(error)),
        };
        let (fs, name) = (Arc::clone(self), Box::<[u8]>::from(name));
        Answer::Pending(Box::pin(async move {
            let work = Arc::clone(&fs);
            // To its end, even if the caller stops waiting: half of it would leave memory and store apart.
            let done = fs.runtime.spawn(async move { work.unlink_now(&prefix, &name).await });
            done.await.unwrap_or(Err(FsError::Interrupted))
        }))
    }

    pub(crate) fn deletable(&self) -> Result<(), FsError> {
        self.writable()?;
        if self.config.no_delete { Err(FsError::NotPermitted("this mount deletes nothing")) } else { Ok(()) }
    }

    async fn unlink_now(self: &Arc<Self>, prefix: &ObjectKey, name: &[u8]) -> Result<(), FsError> {
        let key = name::file_key(prefix, name);
        match self.open_change(&key).await? {
            Some(user) => {
                let edit = Arc::clone(user.edit());
                let removed = self.remove_name(&edit, true).await;
                drop(user);
                self.finish(&edit);
                removed?;
            }
            None => self.delete(&key).await?,
        }
        if let Some(node) = self.inodes.at(&key) {
            self.inodes.unlink(&node);
        }
        let now = self.clock.now();
        self.directories.change(prefix, name, None, now, now);
        self.touch(prefix);
        self.keep_directory(prefix).await;
        Ok(())
    }

    /// The change of the file at `key`, if it is being changed or anybody has it open.
    pub(crate) async fn open_change(self: &Arc<Self>, key: &ObjectKey) -> Result<Option<User>, FsError> {
        if let Some(user) = self.writing.edits.join_known(key) {
            return Ok(Some(user));
        }
        let open = |node: &Arc<Node>| node.handles() > 0 && !node.is_directory;
        match self.inodes.at(key).filter(open) {
            Some(node) => match self.edit_of(&node).await {
                Ok((user, _)) => Ok(Some(user)),
                // Its descriptors show a version that is no longer there; they have nothing to lose.
                Err(FsError::Stale(_) | FsError::NotFound) => Ok(None),
                Err(error) => Err(error),
            },
            None => Ok(None),
        }
    }

    /// Takes a file's name away: its descriptors go on over the spool. With `delete` the object goes too.
    pub(crate) async fn remove_name(self: &Arc<Self>, edit: &Arc<Edit>, delete: bool) -> Result<(), FsError> {
        let _turn = edit.turn.lock().await;
        let _quiet = edit.quiet().await;
        if edit.nodes().iter().any(|node| node.handles() > 0) {
            self.keep_bytes(edit).await?;
        }
        let (key, is_stored) = {
            let state = edit.state();
            (state.key.clone(), state.base.is_some())
        };
        if delete && is_stored {
            self.delete(&key).await?;
        }
        edit.state().is_unlinked = true;
        self.writing.edits.remove_if(&key, edit, || true);
        self.give_up_upload(edit).await;
        Ok(())
    }

    /// Fetches what the spool does not have of a file.
    async fn keep_bytes(&self, edit: &Arc<Edit>) -> Result<(), FsError> {
        let (layout, base) = {
            let state = edit.state();
            (state.layout.clone(), state.base.clone())
        };
        let pieces = layout.pieces(ByteRange::new(0, layout.size()));
        let missing = pieces.into_iter().filter(|(_, source)| *source == Source::Base).map(|(range, _)| range);
        let missing: Vec<ByteRange> = missing.collect();
        if missing.iter().map(|range| range.length()).sum::<u64>() > KEEP_MAX {
            tracing::warn!(
                key = %edit.state().key,
                "a file was removed while it is open; it is too large to be kept, so its readers get ESTALE"
            );
            return Ok(());
        }
        let from = Gathering { edit, layout: &layout, base: base.as_ref() };
        for range in missing {
            let mut at = range.start();
            while at < range.end() {
                let step = ByteRange::at(at, KEEP_STEP).clamp_to(range.end());
                let bytes = self.gather(&from, step).await?;
                let file = edit.spool(&self.writing.spool).map_err(FsError::Spool)?;
                file.insert(at, &bytes).map_err(FsError::Spool)?;
                edit.state().layout.keep(step);
                at = step.end();
            }
        }
        Ok(())
    }

    pub(crate) async fn delete(&self, key: &ObjectKey) -> Result<(), FsError> {
        match self.store.delete(key, None).await {
            Err(error) if error.kind == StoreErrorKind::NotFound => Err(FsError::NotFound),
            other => other.map_err(|error| Arc::new(error).into()),
        }
    }

    /// Gives a directory a marker when one of its names has gone, so that it does not go with the last one.
    pub(crate) async fn keep_directory(self: &Arc<Self>, prefix: &ObjectKey) {
        let Some((parent, name)) = name::split(prefix.as_bytes()).filter(|_| !self.config.real_directories) else {
            return;
        };
        let (parent, now) = (ObjectKey::new(parent), self.clock.now());
        let is_marked = self.directories.marker(prefix).is_some()
            || matches!(self.directories.find(&parent, name, now), Found::Here { what: What::Directory(Some(_)), .. });
        if is_marked {
            return;
        }
        match self.put_marker(prefix, &Precondition::Absent, &Posix::default()).await {
            Ok(()) => {}
            // What is kept in it is not known here: whoever wants to know asks.
            Err(error) if error.kind == StoreErrorKind::Exists => {
                self.directories.doubt(&parent, name);
                return;
            }
            // The directory may go with its last name then, as it would have without us.
            Err(error) => {
                tracing::debug!(directory = %prefix, %error, "a directory got no marker");
                return;
            }
        }
        let what = What::Directory(Some(Marker::new(Posix::default())));
        self.directories.change(&parent, name, Some(&what), now, now);
    }
}
