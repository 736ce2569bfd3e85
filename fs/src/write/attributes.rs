//! Sizes, modes, owners and times that are set.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rfuse_block::ObjectKey;

use super::edit::User;
use crate::child::{Marker, What};
use crate::inodes::Node;
use crate::posix::Posix;
use crate::{Answer, Attr, FileKind, FileSystem, FsError, Handle, Inode, name};

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
    /// Last read.
    pub accessed: Option<SystemTime>,
}

/// A time that lies so little back was the present one when it was asked for.
const NOW: Duration = Duration::from_secs(2);

/// Nothing but bytes is stored here.
const NOT_KEPT: FsError = FsError::NotPermitted("mode, owner and times are not kept here; see --posix");

impl AttrChange {
    /// What of it differs from what `attr` says already.
    fn from(self, attr: &Attr) -> Self {
        Self {
            size: self.size,
            mode: self.mode.map(|mode| mode & 0o7777).filter(|mode| *mode != attr.mode),
            uid: self.uid.filter(|uid| *uid != attr.uid),
            gid: self.gid.filter(|gid| *gid != attr.gid),
            modified: self.modified.filter(|modified| *modified != attr.modified),
            accessed: self.accessed.filter(|accessed| *accessed != attr.accessed),
        }
    }

    fn touches_metadata(&self) -> bool {
        Self { size: None, ..*self } != Self::default()
    }

    /// Whether it sets times only, and only to the present one.
    fn is_now(&self) -> bool {
        let times = [self.modified, self.accessed];
        let is_now = |time: &SystemTime| SystemTime::now().duration_since(*time).is_ok_and(|age| age < NOW);
        times.iter().flatten().all(is_now) && self.is_times()
    }

    /// Whether it sets nothing but times.
    fn is_times(&self) -> bool {
        Self { modified: None, accessed: None, ..*self } == Self::default()
    }

    /// What is kept after it.
    fn apply(&self, posix: Posix) -> Posix {
        Posix {
            mode: self.mode.or(posix.mode),
            uid: self.uid.or(posix.uid),
            gid: self.gid.or(posix.gid),
            modified: self.modified.or(posix.modified),
            accessed: self.accessed.or(posix.accessed),
            has_labels: posix.has_labels,
        }
    }
}

impl FileSystem {
    /// Changes attributes of `inode`: at once where nobody is writing the file, else with what is written.
    ///
    /// # Errors
    /// `NotPermitted` for what is not kept: anything but the size without metadata, and mode and owner of the
    /// top directory, which has no object. What is set to what it is already is done.
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
            return self.set_directory(node, change);
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
                if !fs.config.posix {
                    return Err(NOT_KEPT);
                }
                if attr.kind == FileKind::Symlink {
                    return fs.set_link(&node, change).await;
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
            fs.settle_edit(user, false);
            stored.map(|()| (attr, Duration::ZERO))
        }))
    }

    /// Whether all that is asked for is the present time for a file that is still to be stored.
    fn is_now(&self, node: &Node, change: AttrChange) -> bool {
        !self.config.posix && change.is_now() && node.edit.get().is_some_and(|edit| edit.state().needs_store())
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
            state.posix = change.apply(state.posix);
            state.changed = SystemTime::now();
            state.is_retouched = true;
        }
        drop(state);
        drop(announced);
        Ok(())
    }

    /// Changes what is kept of a link, whose target stays.
    async fn set_link(self: &Arc<Self>, node: &Node, change: AttrChange) -> Result<(Attr, Duration), FsError> {
        let key = node.key();
        let meta = self.change_link(&key, |posix| change.apply(posix)).await?;
        let (what, now) = (What::File(meta), self.clock.now());
        node.learn(&what, now);
        if let Some((prefix, name)) = name::split(key.as_bytes()) {
            self.directories.change(&ObjectKey::new(prefix), name, Some(&what), now, now);
        }
        Ok((self.attr_of(node), self.ttl(now)))
    }

    /// Changes what is kept of a directory in its marker. The present time needs no keeping: it is as if a name
    /// in the directory had changed just now.
    fn set_directory(self: &Arc<Self>, node: Arc<Node>, change: AttrChange) -> Answer<(Attr, Duration)> {
        if change.size.is_some() {
            return Answer::Ready(Err(FsError::IsADirectory));
        }
        let fs = Arc::clone(self);
        Answer::Pending(Box::pin(async move {
            let (attr, ttl) = fs.getattr(node.inode, None).wait().await?;
            let change = change.from(&attr);
            if !change.touches_metadata() {
                return Ok((attr, ttl));
            }
            let directory = node.key();
            let (top, is_now) = (node.inode == Inode::ROOT, change.is_now());
            if top && !change.is_times() {
                return Err(FsError::NotPermitted("the top directory has the mode and owner of the mount"));
            }
            if is_now || (top && fs.config.posix) {
                fs.directories.touch(&directory, change.modified.or(Some(attr.modified)));
            } else if fs.config.posix {
                fs.keep_of_directory(&node, change, attr.modified).await?;
            } else {
                return Err(NOT_KEPT);
            }
            Ok((fs.attr_of(&node), Duration::ZERO))
        }))
    }

    /// Keeps `change` in the marker. The time of last write is kept with it, or it would become the marker's.
    async fn keep_of_directory(
        self: &Arc<Self>,
        node: &Node,
        change: AttrChange,
        modified: SystemTime,
    ) -> Result<(), FsError> {
        let directory = node.key();
        let change = AttrChange { modified: change.modified.or(Some(modified)), ..change };
        let posix = self.change_marker(&directory, |posix| change.apply(posix)).await?;
        let (what, now) = (What::Directory(Some(Marker::new(posix))), self.clock.now());
        node.learn(&what, now);
        if let Some((parent, name)) = name::split(directory.as_bytes()) {
            self.directories.change(&ObjectKey::new(parent), name, Some(&what), now, now);
        }
        self.directories.touch(&directory, None);
        Ok(())
    }
}
