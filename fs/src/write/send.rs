//! Parts on their way to the store, within a budget of bytes for the whole mount.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rfuse_block::{ByteRange, ObjectKey};
use rfuse_cache::PinnedObject;
use rfuse_store::{PartTag, PutOptions, UploadId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::edit::{Due, Edit};
use super::layout::{Layout, Source};
use crate::{FileSystem, FsError};

/// Bytes that may be in memory on their way to the store.
#[derive(Debug)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    total: u32,
}

/// What the budget is counted in, so that it fits the semaphore's numbers.
const UNIT: u64 = 4096;

impl Budget {
    /// `bytes` for all files together; a single part larger than that goes alone.
    pub(crate) fn new(bytes: u64) -> Self {
        let total = u32::try_from((bytes / UNIT).clamp(1, (Semaphore::MAX_PERMITS as u64).min(1 << 30))).unwrap_or(1);
        Self { units: Arc::new(Semaphore::new(total as usize)), total }
    }

    fn units(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.total)
    }

    /// Room for `bytes`, when it is this caller's turn.
    pub(crate) async fn take(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed; without one there would be no bound, but no harm either.
        Arc::clone(&self.units).acquire_many_owned(self.units(bytes)).await.ok()
    }
}

/// The bytes of `range`, from the spool and the stored object, in one piece.
pub(crate) struct Gathering<'a> {
    pub(crate) edit: &'a Arc<Edit>,
    pub(crate) layout: &'a Layout,
    pub(crate) base: Option<&'a PinnedObject>,
}

impl FileSystem {
    /// Sends part `due` in a task; the answer comes once it has its room in the budget.
    pub(crate) fn send_part(self: &Arc<Self>, edit: &Arc<Edit>, due: Due) -> oneshot::Receiver<()> {
        let (fs, edit) = (Arc::clone(self), Arc::clone(edit));
        let (begun, begins) = oneshot::channel();
        self.runtime.spawn(async move {
            let range = fs.writing.grid.part(due.index);
            let shared = edit.spooled().and_then(|file| file.share(range));
            // What is in memory has its room; it goes to disk beside, for who reads it and in case of a conflict.
            let _room = match &shared {
                Some(_) => {
                    fs.flush(&edit);
                    None
                }
                None => fs.writing.budget.take(range.length()).await,
            };
            // Nobody waits when there was room at once.
            let _ = begun.send(());
            let tag = fs.send(&edit, due.index, range, shared).await;
            if let Err(error) = &tag {
                // The file is complete in the spool: whoever stores it sends the part again, or hears why not.
                tracing::debug!(part = due.index, %error, "a part was not sent while its file was written");
            }
            edit.sent(due, tag.ok());
        });
        begins
    }

    /// Puts what is in memory on disk, in the background.
    fn flush(&self, edit: &Arc<Edit>) {
        let edit = Arc::clone(edit);
        self.runtime.spawn_blocking(move || {
            if let Some(file) = edit.spooled()
                && let Err(error) = file.flush()
            {
                // The bytes stay in memory; whoever needs the disk for them hears it.
                tracing::warn!(%error, path = %file.path().display(), "local disk does not take a part of a file");
            }
        });
    }

    async fn send(
        self: &Arc<Self>,
        edit: &Arc<Edit>,
        index: u64,
        range: ByteRange,
        shared: Option<Bytes>,
    ) -> Result<PartTag, FsError> {
        let (key, options) = {
            let state = edit.state();
            (state.key.clone(), self.options(&state))
        };
        let upload = self.upload_of(edit, &key, &options).await?;
        let body = match shared {
            Some(bytes) => bytes,
            None => self.spooled(edit, range).await?,
        };
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let tag = self.store.put_part(&key, &upload, number, body).await;
        tag.map_err(|error| Arc::new(error).into())
    }

    /// The upload of `edit`, begun if there is none for this key yet.
    pub(crate) async fn upload_of(
        &self,
        edit: &Arc<Edit>,
        key: &ObjectKey,
        options: &PutOptions,
    ) -> Result<UploadId, FsError> {
        let mut upload = edit.upload.lock().await;
        if let Some((_, id)) = upload.as_ref().filter(|(begun_for, _)| begun_for == key) {
            return Ok(id.clone());
        }
        let id = self.store.begin_upload(key, options).await.map_err(Arc::new)?;
        *upload = Some((key.clone(), id.clone()));
        Ok(id)
    }

    /// Bytes of the spool, read where reading may block.
    async fn spooled(&self, edit: &Arc<Edit>, range: ByteRange) -> Result<Bytes, FsError> {
        let edit = Arc::clone(edit);
        let read = self.runtime.spawn_blocking(move || match edit.spooled() {
            Some(file) => file.read(range),
            None => Ok(vec![0; usize::try_from(range.length()).unwrap_or_default()].into()),
        });
        read.await.map_err(|_| FsError::Interrupted)?.map_err(FsError::Spool)
    }

    /// The bytes of `range` of a file, wherever they are.
    pub(crate) async fn gather(&self, from: &Gathering<'_>, range: ByteRange) -> Result<Bytes, FsError> {
        let pieces = from.layout.pieces(range);
        if let [(whole, Source::Spool)] = pieces[..] {
            return self.spooled(from.edit, whole).await;
        }
        let mut all = BytesMut::with_capacity(usize::try_from(range.length()).unwrap_or_default());
        for (piece, source) in pieces {
            match (source, from.base) {
                (Source::Spool, _) => all.extend_from_slice(&self.spooled(from.edit, piece).await?),
                (Source::Base, Some(base)) => {
                    let slices = self.cache.read(base, piece).await?;
                    slices.iter().for_each(|slice| all.extend_from_slice(slice));
                }
                (Source::Away, _) => return Err(FsError::SentAway),
                // A layout without a base has every byte in the spool.
                (Source::Base, None) => return Err(FsError::Invalid("a file without a stored version")),
            }
        }
        Ok(all.freeze())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn what_is_larger_than_the_budget_goes_alone() {
        let budget = Budget::new(16 << 10);
        let large = budget.take(1 << 40).now_or_never().unwrap();
        assert!(budget.take(1).now_or_never().is_none());
        drop(large);
        let (one, two) = (budget.take(8 << 10).now_or_never(), budget.take(8 << 10).now_or_never());
        assert!(one.is_some() && two.is_some() && budget.take(1).now_or_never().is_none());
    }
}
