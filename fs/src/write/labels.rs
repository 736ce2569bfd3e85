//! Extended attributes that users set and remove.

use std::sync::Arc;
use std::time::SystemTime;

use crate::inodes::Node;
use crate::labels::{Labels, TooLong};
use crate::posix::Posix;
use crate::{Answer, FileSystem, FsError, Inode};

/// What setxattr(2) wants of what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LabelMode {
    /// Nothing.
    Set,
    /// The attribute must not be there yet (`XATTR_CREATE`).
    Create,
    /// It must be there (`XATTR_REPLACE`).
    Replace,
}

impl FileSystem {
    /// Sets the extended attribute `name` of a file: with what is written where somebody writes it, else at once, as
    /// a new version of the object.
    ///
    /// # Errors
    /// `Unsupported` for names that are not of users, for directories and where no metadata is kept; `Exists` and
    /// `NoAttribute` by `mode`; `NoRoomForAttributes`.
    pub fn set_label(self: &Arc<Self>, inode: Inode, name: &[u8], value: &[u8], mode: LabelMode) -> Answer<()> {
        let value: Box<[u8]> = value.into();
        self.change_labels(inode, name, move |labels, name| {
            match (labels.get(name).is_some(), mode) {
                (true, LabelMode::Create) => return Err(FsError::Exists),
                (false, LabelMode::Replace) => return Err(FsError::NoAttribute),
                _ => labels.set(name, &value),
            }
            Ok(())
        })
    }

    /// Removes the extended attribute `name` of a file.
    ///
    /// # Errors
    /// As [`FileSystem::set_label`].
    pub fn remove_label(self: &Arc<Self>, inode: Inode, name: &[u8]) -> Answer<()> {
        self.change_labels(
            inode,
            name,
            |labels, name| {
                if labels.remove(name) { Ok(()) } else { Err(FsError::NoAttribute) }
            },
        )
    }

    fn change_labels(
        self: &Arc<Self>,
        inode: Inode,
        name: &[u8],
        change: impl FnOnce(&mut Labels, &str) -> Result<(), FsError> + Send + 'static,
    ) -> Answer<()> {
        let (node, name) = match self.writable().and_then(|()| self.node(inode)).and_then(|node| {
            let name = self.label_name(&node, name)?.to_owned();
            self.changeable(&node).map(|()| (node, name))
        }) {
            Ok(found) => found,
            Err(error) => return Answer::Ready(Err(error)),
        };
        let fs = Arc::clone(self);
        Answer::Pending(Box::pin(async move {
            let (user, _) = fs.edit_of(&node).await?;
            let edit = Arc::clone(user.edit());
            let announced = edit.change().await;
            let changed = {
                let mut state = edit.state();
                let mut labels = Labels::read(&state.options.metadata);
                change(&mut labels, &name).and_then(|()| {
                    labels.write(&mut state.options.metadata).map_err(|TooLong| FsError::NoRoomForAttributes)?;
                    state.posix.has_labels = labels.names().next().is_some();
                    state.is_retouched = true;
                    state.changed = SystemTime::now();
                    Ok(())
                })
            };
            drop(announced);
            let has_writers = edit.state().writers > 0;
            let stored = match changed {
                // A writer stores it when he closes it; nobody else will.
                Ok(()) if !has_writers => fs.store(&edit).await,
                other => other,
            };
            fs.settle_edit(user, false);
            stored
        }))
    }

    fn label_name<'a>(&self, node: &Node, name: &'a [u8]) -> Result<&'a str, FsError> {
        match Labels::name(name) {
            Some(name) if self.config.posix && !node.is_directory => Ok(name),
            Some(_) => Err(FsError::Unsupported("an extended attribute here (see --posix)")),
            None => Err(FsError::Unsupported("an extended attribute of this name")),
        }
    }

    /// What users have set of a file. The store is asked only where it said that there is something.
    pub(crate) async fn labels(self: &Arc<Self>, node: &Arc<Node>) -> Result<Labels, FsError> {
        if let Some(edit) = node.edit.get() {
            return Ok(Labels::read(&edit.state().options.metadata));
        }
        if !self.config.posix || !has_labels(node) {
            return Ok(Labels::default());
        }
        let meta = self.store.head(&node.key()).await.map_err(Arc::new)?;
        Ok(Labels::read(&meta.metadata))
    }
}

/// Whether the file of `node` is known to have any.
pub(crate) fn has_labels(node: &Node) -> bool {
    match node.edit.get() {
        Some(edit) => edit.state().posix.has_labels,
        None => {
            let posix = |state: &crate::child::FileMeta| state.posix.as_deref().copied();
            node.state().meta.as_ref().and_then(posix).is_some_and(|posix: Posix| posix.has_labels)
        }
    }
}
