//! Sizes, modes, owners and times that are set.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::edit::User;
use crate::inodes::Node;
use crate::{Answer, Attr, FileSystem, FsError, Handle, Inode};

/// What setattr changes; what is none stays.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AttrChange {
    /// Bytes.
    pub size: Option<u64>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last write.
    pub modified: Option<SystemTime>,
}

/// A time that lies so little back was the present one when it was asked for.
const NOW: Duration = Duration::from_secs(2);

impl AttrChange {
    /// What of it differs from what `attr` says already.
    fn from(self, attr: &Attr) -> Self {
        Self {
            size: self.size,
            mode: self.mode.map(|mode| mode & 0o7777).filter(|mode| *mode != attr.mode),
            uid: self.uid.filter(|uid| *uid != attr.uid),
            gid: self.gid.filter(|gid| *gid != attr.gid),
            modified: self.modified.filter(|modified| *modified != attr.modified),
        }
    }

    fn touches_metadata(&self) -> bool {
        self.mode.is_some() || self.uid.is_some() || self.gid.is_some() || self.modified.is_some()
    }
}

impl FileSystem {
    /// Changes attributes of `inode`: at once where nobody is writing the file, else with what is written.
    ///
    /// # Errors
    /// `NotPermitted` for what is not kept: anything but the size without metadata, and anything of a
    /// directory. What is set to what it is already is done.
    pub fn setattr(
        self: &Arc<Self>,
        inode: Inode,
        handle: Option<Handle>,
        change: AttrChange,
    ) -> Answer<(Attr, Duration)> {
        let node = match self.writable().and_then(|()| self.node(inode)) {
            Ok(node) => node,
            Err(error) => return Answer::Ready(Err(error)),
        };
        if node.is_directory {
            return Answer::Ready(self.set_directory(&node, change));
        }
        if let Err(error) = self.changeable(&node) {
            return Answer::Ready(Err(error));
        }
        if let Some(Err(error)) = handle.filter(|_| change.size.is_some()).map(|handle| self.edit_behind(handle)) {
            return Answer::Ready(Err(error));
        }
        let fs = Arc::clone(self);
        Answer::Pending(Box::pin(async move {
            if change.size.is_none() {
                // Nothing to do is nothing to open.
                let (attr, ttl) = fs.getattr(inode, None).wait().await?;
                let change = change.from(&attr);
                if !change.touches_metadata() {
                    return Ok((attr, ttl));
                }
                if fs.is_now(&node, change) {
                    // The store gives the object the time of its storing, which is to come.
                    return Ok((attr, ttl));
                }
                if !fs.config.posix || attr.kind != crate::FileKind::File {
                    return Err(FsError::NotPermitted("mode, owner and times are not kept here; see --posix"));
                }
            }
            let (user, _) = fs.edit_of(&node).await?;
            let done = fs.set_file(&user, change).await;
            let edit = Arc::clone(user.edit());
            let has_writers = edit.state().writers > 0;
            let stored = match done {
                // A writer stores it when he closes it; nobody else will.
                Ok(()) if !has_writers => fs.store(&edit).await,
                other => other,
            };
            let attr = fs.edit_attr(inode, &edit);
            drop(user);
            fs.settle_edit(edit, false);
            stored.map(|()| (attr, Duration::ZERO))
        }))
    }

    /// Whether all that is asked for is the present time for a file that is still to be stored.
    fn is_now(&self, node: &Node, change: AttrChange) -> bool {
        let modified = change.modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
        !self.config.posix
            && modified.is_some_and(|age| age < NOW)
            && AttrChange { modified: None, ..change } == AttrChange::default()
            && node.edit.get().is_some_and(|edit| edit.state().needs_store())
    }

    async fn set_file(self: &Arc<Self>, user: &User, change: AttrChange) -> Result<(), FsError> {
        let edit = user.edit();
        let announced = edit.change().await;
        if let Some(size) = change.size {
            self.resize_now(edit, size)?;
        }
        let attr = self.edit_attr(Inode::ROOT, edit);
        let change = change.from(&attr);
        let mut state = edit.state();
        if self.config.posix && change.touches_metadata() {
            state.posix.mode = change.mode.or(state.posix.mode);
            state.posix.uid = change.uid.or(state.posix.uid);
            state.posix.gid = change.gid.or(state.posix.gid);
            state.posix.modified = change.modified.or(state.posix.modified);
            state.is_retouched = true;
        }
        drop(state);
        drop(announced);
        Ok(())
    }

    fn set_directory(&self, node: &Node, change: AttrChange) -> Result<(Attr, Duration), FsError> {
        if change.size.is_some() {
            return Err(FsError::IsADirectory);
        }
        let attr = self.attr_of(node);
        let AttrChange { mode, uid, gid, .. } = change.from(&attr);
        if mode.is_some() || uid.is_some() || gid.is_some() {
            return Err(FsError::NotPermitted("mode and owner of directories are not kept"));
        }
        // Times of directories follow from what is in them.
        Ok((attr, Duration::ZERO))
    }
}
