//! Files that a process left unfinished are stored after all.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rfuse_block::{ByteRange, ObjectId};
use rfuse_store::{Get, Landing, PartTag, PutOptions, StoreErrorKind, UploadId, Urgency};

use super::edit::Edit;
use crate::posix::Posix;
use crate::{Errno, FileSystem, FsError, Leftover};

impl FileSystem {
    /// Stores `leftover` over the version it was opened at, and removes it from the spool. One that the store has
    /// already, because its process died between storing it and noting that, is only removed.
    ///
    /// # Errors
    /// `Stale` or `Exists` when somebody else has stored the object since; it stays in the spool then, as with
    /// every other error.
    pub async fn recover(self: &Arc<Self>, leftover: &Leftover) -> Result<(), FsError> {
        match self.store_leftover(leftover).await {
            Err(conflict) if matches!(conflict.errno(), Errno::STALE | Errno::EXIST) => {
                if !self.has_stored(leftover).await.unwrap_or(false) {
                    return Err(conflict);
                }
            }
            outcome => outcome?,
        }
        leftover.discard().map_err(FsError::Spool)
    }

    /// Whether the object is what `leftover` would make it, byte for byte.
    async fn has_stored(&self, leftover: &Leftover) -> Result<bool, FsError> {
        const PIECE: u64 = 4 << 20;
        let meta = self.store.head(&leftover.key).await.map_err(Arc::new)?;
        if !leftover.is_whole() || meta.size != leftover.size {
            return Ok(false);
        }
        let file = File::open(&leftover.data).map_err(FsError::Spool)?;
        let (mut here, mut there) = (Vec::new(), Vec::new());
        let mut at = 0;
        while at < meta.size {
            let range = ByteRange::at(at, PIECE).clamp_to(meta.size);
            let length = usize::try_from(range.length()).unwrap_or(usize::MAX);
            here.resize(length, 0);
            there.resize(length, 0);
            file.read_exact_at(&mut here, at).map_err(FsError::Spool)?;
            let get = Get { key: &leftover.key, version: Some(&meta.version), range, urgency: Urgency::Ahead };
            self.store.get(get, &mut Landing::one(&mut there)).await.map_err(Arc::new)?;
            if here != there {
                return Ok(false);
            }
            at = range.end();
        }
        Ok(true)
    }

    async fn store_leftover(self: &Arc<Self>, leftover: &Leftover) -> Result<(), FsError> {
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
        self.take_up(&edit, leftover).await?;
        self.store(&edit).await
    }

    /// Goes on with the upload that holds what the spool gave up.
    async fn take_up(&self, edit: &Arc<Edit>, leftover: &Leftover) -> Result<(), FsError> {
        let Some(last) = leftover.sent.last() else { return Ok(()) };
        for part in &leftover.sent {
            let range = ByteRange::at(part.offset, part.length);
            if part.upload != last.upload || self.writing.grid.part(part.index) != range {
                return Err(FsError::Invalid("the parts that were sent are of another --part-size; recover with that"));
            }
            edit.state().resume_part(part.index, PartTag(part.tag.clone()));
        }
        *edit.upload.lock().await = Some((leftover.key.clone(), UploadId(last.upload.clone())));
        Ok(())
    }
}
