//! Files that a process left unfinished are stored after all.

use std::sync::Arc;

use rfuse_block::ObjectId;
use rfuse_store::{PutOptions, StoreErrorKind};

use super::edit::Edit;
use crate::posix::Posix;
use crate::{FileSystem, FsError, Leftover};

impl FileSystem {
    /// Stores `leftover` over the version it was opened at, and removes it from the spool.
    ///
    /// # Errors
    /// `Stale` or `Exists` when somebody else has stored the object since; it stays in the spool then, as with
    /// every other error.
    pub async fn recover(self: &Arc<Self>, leftover: &Leftover) -> Result<(), FsError> {
        self.writable()?;
        let key = &leftover.key;
        let (base, options, posix) = match &leftover.version {
            None => (None, PutOptions::default(), Posix::default()),
            Some(version) => {
                let meta = match self.store.head(key).await {
                    Ok(meta) if meta.version == *version => meta,
                    Ok(_) => return Err(FsError::Stale(key.clone())),
                    Err(error) if error.kind == StoreErrorKind::NotFound => return Err(FsError::Stale(key.clone())),
                    Err(error) => return Err(Arc::new(error).into()),
                };
                let id = ObjectId { key: key.clone(), version: version.clone() };
                let posix = if self.config.posix { Posix::read(&meta.metadata) } else { Posix::default() };
                let options = PutOptions { content_type: meta.content_type, metadata: meta.metadata };
                (Some(self.cache.pin(id, leftover.base_size)), options, posix)
            }
        };
        let posix = Posix { modified: None, ..posix };
        let file = self.writing.spool.adopt(leftover).map_err(FsError::Spool)?;
        let edit = Edit::new(key.clone(), base, options, posix, leftover.modified, self.writing.grid);
        let edit = Edit::resumed(edit, leftover.layout.clone(), file);
        self.store(&edit).await?;
        drop(edit);
        leftover.discard().map_err(FsError::Spool)
    }
}
