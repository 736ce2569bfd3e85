//! A changed file becomes an object: whole, and only over the version that was opened.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use rfuse_block::{ObjectId, ObjectKey, Version};
use rfuse_cache::PinnedObject;
use rfuse_store::{PartTag, Precondition, PutOptions, StoreErrorKind, UploadId};

use super::edit::{Edit, State};
use super::layout::Layout;
use super::plan::{From, Part, Plan, plan};
use super::send::Gathering;
use crate::child::{FileMeta, What};
use crate::expiry::Moment;
use crate::{FileSystem, FsError, name};

/// Requests of one upload side by side; the budget bounds their bytes over all files.
const SIDE_BY_SIDE: usize = 16;

/// So long the memory of parts is kept for the next file.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// What is to be stored.
struct Order {
    key: ObjectKey,
    layout: Layout,
    base: Option<PinnedObject>,
    options: PutOptions,
    condition: Precondition,
    modified: SystemTime,
    changed: SystemTime,
    sent: std::collections::BTreeMap<u64, PartTag>,
}

impl FileSystem {
    /// Stores `edit` if the store does not have it as it is. Goes on when the caller stops waiting.
    pub(crate) async fn store(self: &Arc<Self>, edit: &Arc<Edit>) -> Result<(), FsError> {
        let (fs, edit) = (Arc::clone(self), Arc::clone(edit));
        let stored = self.runtime.spawn(async move { fs.store_in_turn(&edit).await });
        stored.await.unwrap_or(Err(FsError::Interrupted))
    }

    async fn store_in_turn(self: &Arc<Self>, edit: &Arc<Edit>) -> Result<(), FsError> {
        let _turn = edit.turn.lock().await;
        if !edit.state().needs_store() {
            return Ok(());
        }
        let _quiet = edit.quiet().await;
        let order = {
            let state = edit.state();
            if !state.needs_store() {
                return Ok(());
            }
            if state.is_lost {
                return Err(FsError::Stale(state.key.clone()));
            }
            self.order(&state)
        };
        match self.carry_out(edit, &order).await {
            Ok(version) => {
                self.stored(edit, &order, version);
                // Still there when parts were sent of a file that became one PUT in the end.
                self.give_up_upload(edit).await;
                Ok(())
            }
            Err(error) => {
                self.not_stored(edit, &order, &error).await;
                Err(error)
            }
        }
    }

    /// What is stored beside the bytes of a file.
    pub(crate) fn options(&self, state: &State) -> PutOptions {
        let mut options = state.options.clone();
        if self.config.posix {
            let modified = state.posix.modified.or(Some(state.modified));
            crate::posix::Posix { modified, ..state.posix }.write(&mut options.metadata);
        }
        options
    }

    fn order(&self, state: &State) -> Order {
        let condition = match &state.base {
            _ if self.config.overwrite_on_conflict => Precondition::None,
            Some(base) => Precondition::Matches(base.id.version.clone()),
            None => Precondition::Absent,
        };
        Order {
            key: state.key.clone(),
            layout: state.layout.clone(),
            base: state.base.clone(),
            options: self.options(state),
            condition,
            modified: state.posix.modified.unwrap_or(state.modified),
            changed: state.changed,
            sent: state.sent_parts(),
        }
    }

    async fn carry_out(self: &Arc<Self>, edit: &Arc<Edit>, order: &Order) -> Result<Version, FsError> {
        let from = Gathering { edit, layout: &order.layout, base: order.base.as_ref() };
        match plan(&order.layout, self.writing.grid, &order.sent) {
            Plan::Whole => {
                let size = order.layout.size();
                let _room = self.writing.budget.take(size).await;
                let body = self.gather(&from, rfuse_block::ByteRange::new(0, size)).await?;
                let put = self.store.put(&order.key, body, &order.condition, &order.options).await;
                put.map_err(|error| Arc::new(error).into())
            }
            Plan::Parts(parts) => self.upload(&from, order, parts).await,
        }
    }

    async fn upload(
        self: &Arc<Self>,
        from: &Gathering<'_>,
        order: &Order,
        parts: Vec<Part>,
    ) -> Result<Version, FsError> {
        let upload = self.upload_of(from.edit, &order.key, &order.options).await?;
        let made = parts.into_iter().map(|part| self.make_part(from, order, &upload, part).boxed());
        let tags: Vec<Vec<PartTag>> = stream::iter(made).buffered(SIDE_BY_SIDE).try_collect().await?;
        let completed =
            self.store.complete_upload(&order.key, &upload, &tags.concat(), &order.condition, &order.options).await;
        let version = completed.map_err(Arc::new)?;
        *from.edit.upload.lock().await = None;
        Ok(version)
    }

    /// Makes one part; several of the grid where the store cannot copy what was planned as one.
    async fn make_part(
        self: &Arc<Self>,
        from: &Gathering<'_>,
        order: &Order,
        upload: &UploadId,
        part: Part,
    ) -> Result<Vec<PartTag>, FsError> {
        let range = part.range;
        match (part.from, &order.base) {
            (From::Sent(tag), _) => return Ok(vec![tag]),
            (From::Base, Some(base)) if self.writing.copies_parts.load(Ordering::Relaxed) => {
                let (source, version) = (&base.id.key, &base.id.version);
                match self.store.copy_part(&order.key, upload, part.number, source, version, range).await {
                    Ok(tag) => return Ok(vec![tag]),
                    Err(error) if error.kind == StoreErrorKind::Unsupported => {
                        self.writing.copies_parts.store(false, Ordering::Relaxed);
                    }
                    Err(error) => return Err(Arc::new(error).into()),
                }
            }
            _ => {}
        }
        let grid = self.writing.grid;
        let mut tags = Vec::new();
        for index in grid.index(range.start())..=grid.index(range.end() - 1) {
            let range = grid.part(index).intersect(range);
            let _room = self.writing.budget.take(range.length()).await;
            let body = self.gather(from, range).await?;
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let tag = self.store.put_part(&order.key, upload, number, body).await;
            tags.push(tag.map_err(|error| FsError::from(Arc::new(error)))?);
        }
        Ok(tags)
    }

    fn stored(&self, edit: &Arc<Edit>, order: &Order, version: Version) {
        let size = order.layout.size();
        let base = self.cache.pin(ObjectId { key: order.key.clone(), version: version.clone() }, size);
        let (posix, head) = {
            let mut state = edit.state();
            state.options = order.options.clone();
            state.posix.modified = Some(order.modified);
            state.stored(base, self.writing.grid);
            (state.posix, state.head())
        };
        if let Some(file) = edit.spooled()
            && let Err(error) = file.note_stored(head)
        {
            tracing::warn!(%error, "the journal of a file in the spool cannot be written");
        }
        let meta = FileMeta {
            size,
            version,
            // The file's own time is kept beside it, where anything is.
            modified: if self.config.posix { order.changed } else { order.modified },
            content_type: order.options.content_type.as_deref().map(Arc::from),
            is_symlink: false,
            posix: FileMeta::kept(posix),
        };
        self.note_stored(edit, &order.key, &meta);
    }

    /// Names and inodes know of the object that was just stored. Where the store keeps no times of ours, the
    /// first who asks for them asks the store.
    pub(crate) fn note_stored(&self, edit: &Arc<Edit>, key: &ObjectKey, meta: &FileMeta) {
        let learnt = if self.config.posix { self.clock.now() } else { Moment::NEVER };
        for node in edit.nodes() {
            node.stored(meta, learnt, self.clock.now());
        }
        if let Some((prefix, name)) = name::split(key.as_bytes()) {
            let what = What::File(meta.clone());
            self.directories.change(&ObjectKey::new(prefix), name, Some(&what), learnt, self.clock.now());
        }
    }

    async fn not_stored(&self, edit: &Arc<Edit>, order: &Order, error: &FsError) {
        let is_lost = match error {
            FsError::Stale(_) => true,
            FsError::Store(error) => matches!(error.kind, StoreErrorKind::Exists | StoreErrorKind::Changed),
            _ => false,
        };
        self.put_on_disk(edit).await;
        let spooled = edit.spooled().map(|file| file.path().display().to_string()).unwrap_or_default();
        if is_lost {
            edit.state().is_lost = true;
            tracing::error!(
                key = %order.key, %error, spooled,
                "somebody else stored this object since it was opened here; what was written here is kept in the spool"
            );
        } else {
            tracing::warn!(key = %order.key, %error, spooled, "a file could not be stored; its bytes are in the spool");
        }
        if is_lost {
            self.give_up_upload(edit).await;
        }
    }

    /// So that the bytes outlive this process, and this machine's power.
    async fn put_on_disk(&self, edit: &Arc<Edit>) {
        let edit = Arc::clone(edit);
        let drained =
            self.runtime.spawn_blocking(move || edit.spooled().map_or(Ok(()), crate::spool::SpoolFile::secure));
        if let Ok(Err(error)) = drained.await {
            tracing::error!(%error, "local disk does not take the bytes of a file that could not be stored");
        }
    }

    /// Frees what an upload under way has at the store; not where it has bytes that are nowhere else and somebody
    /// may still want.
    pub(crate) async fn give_up_upload(&self, edit: &Arc<Edit>) {
        {
            let state = edit.state();
            if state.layout.has_away() && !state.is_unlinked {
                tracing::error!(
                    key = %state.key,
                    "parts of this file are only in its unfinished upload; the store keeps it for `rfuse recover --upload`"
                );
                return;
            }
        }
        let upload = edit.upload.lock().await.take();
        if let Some((key, id)) = upload {
            edit.state().forget_all_sent();
            if let Err(error) = self.store.abort_upload(&key, &id).await {
                tracing::debug!(%key, %error, "an upload could not be given up; the store keeps its parts for a while");
            }
        }
    }

    /// Frees the memory of parts once nobody has written for a while.
    fn trim_later(self: &Arc<Self>) {
        if !self.writing.edits.is_empty() || self.writing.is_trimming.swap(true, Ordering::AcqRel) {
            return;
        }
        let fs = Arc::downgrade(self);
        self.runtime.spawn(async move {
            tokio::time::sleep(KEPT_FOR).await;
            let Some(fs) = fs.upgrade() else { return };
            fs.writing.is_trimming.store(false, Ordering::Release);
            if fs.writing.edits.is_empty() {
                fs.writing.buffers.trim();
            }
        });
    }

    /// Ends the change of a file nobody uses any more; what could not be stored stays in the spool.
    pub(crate) fn finish(self: &Arc<Self>, edit: &Arc<Edit>) {
        let key = edit.state().key.clone();
        let ended = self.writing.edits.remove_if(&key, edit, || {
            let state = edit.state();
            let is_open = edit.nodes().iter().any(|node| node.handles() > 0);
            !state.is_used() && !is_open
        });
        if !ended {
            return;
        }
        self.trim_later();
        // Parts were sent of what was cut off again, or could not be stored.
        if edit.upload.try_lock().is_ok_and(|upload| upload.is_some()) {
            let (fs, edit) = (Arc::clone(self), Arc::clone(edit));
            self.runtime.spawn(async move { fs.give_up_upload(&edit).await });
        }
        let needs_store = edit.state().needs_store();
        for node in edit.nodes() {
            node.edit.set(None);
            if needs_store {
                node.forget_pages();
            }
        }
        if needs_store && let Some(file) = edit.spooled() {
            let spooled = file.keep();
            tracing::error!(%key, spooled = %spooled.display(), "a closed file was never stored; the spool keeps it");
        }
        if needs_store && let Some((prefix, name)) = name::split(key.as_bytes()) {
            self.directories.change(&ObjectKey::new(prefix), name, None, Moment::NEVER, self.clock.now());
        }
    }
}
