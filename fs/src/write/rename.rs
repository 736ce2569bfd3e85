//! New names for files and directories: copied by the store, then deleted under the old name.
//!
//! No store here renames. So a file is there under both names for a moment, and a directory moves object by
//! object: when the store fails in the middle, some are under the new name, none is lost, and the caller hears
//! the error.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use rfuse_block::{ByteRange, ObjectId, ObjectKey, Version};
use rfuse_store::{ListEntry, ListRequest, ObjectMeta, Precondition, PutOptions, Urgency};

use super::edit::User;
use crate::child::{FileMeta, Marker, What};
use crate::expiry::Moment;
use crate::posix::Posix;
use crate::spool::Line;
use crate::{Answer, FileSystem, FsError, Inode, name};

/// Objects of a directory that are copied or deleted at once.
const SIDE_BY_SIDE: usize = 16;
/// Larger objects are copied in parts: S3 copies 5 GiB by one request.
const COPY_MAX: u64 = 4 << 30;
/// Bytes of such a part.
const COPY_PART: u64 = 1 << 30;

/// What rename(2) may be told besides.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RenameMode {
    /// The new name must be free (`RENAME_NOREPLACE`).
    pub no_replace: bool,
}

/// A name and where it stands.
#[derive(Clone, Debug)]
struct Place {
    prefix: ObjectKey,
    name: Box<[u8]>,
}

impl Place {
    fn file(&self) -> ObjectKey {
        name::file_key(&self.prefix, &self.name)
    }

    fn directory(&self) -> ObjectKey {
        name::directory_key(&self.prefix, &self.name)
    }
}

impl FileSystem {
    /// Gives the file or directory `from` the name `to`, in the place of what has it.
    pub fn rename(self: &Arc<Self>, from: (Inode, &[u8]), to: (Inode, &[u8]), mode: RenameMode) -> Answer<()> {
        let place = |(parent, name): (Inode, &[u8])| {
            let prefix = self.directory_to_search(parent, name)?;
            Ok::<_, FsError>(Place { prefix, name: name.into() })
        };
        let places = self.deletable().and_then(|()| Ok((place(from)?, place(to)?)));
        let (from, to) = match places {
            Ok((from, to)) if from.file() == to.file() => return Answer::Ready(Ok(())),
            Ok(places) => places,
            Err(error) => return Answer::Ready(Err(error)),
        };
        let fs = Arc::clone(self);
        Answer::Pending(Box::pin(async move {
            let work = Arc::clone(&fs);
            let done = fs.runtime.spawn(async move { work.rename_now(&from, &to, mode).await });
            done.await.unwrap_or(Err(FsError::Interrupted))
        }))
    }

    async fn rename_now(self: &Arc<Self>, from: &Place, to: &Place, mode: RenameMode) -> Result<(), FsError> {
        let source = self.what_is(&from.prefix, &from.name).await?.ok_or(FsError::NotFound)?;
        let target = self.what_is(&to.prefix, &to.name).await?;
        match (&source, &target) {
            (_, Some(_)) if mode.no_replace => return Err(FsError::Exists),
            (What::File(_), Some(What::Directory(_))) => return Err(FsError::IsADirectory),
            (What::Directory(_), Some(What::File(_))) => return Err(FsError::NotADirectory),
            (_, Some(What::File(_))) if self.config.no_overwrite => {
                return Err(FsError::NotPermitted("this mount overwrites nothing"));
            }
            (What::Directory(_), Some(What::Directory(_))) => self.rmdir_now(&to.prefix, &to.name).await?,
            _ => {}
        }
        match source {
            What::File(meta) => self.rename_file(from, to, &meta, mode).await?,
            What::Directory(marker) => self.rename_directory(from, to, marker).await?,
        }
        self.touch(&from.prefix);
        self.touch(&to.prefix);
        self.keep_directory(&from.prefix).await;
        Ok(())
    }

    async fn rename_file(
        self: &Arc<Self>,
        from: &Place,
        to: &Place,
        meta: &FileMeta,
        mode: RenameMode,
    ) -> Result<(), FsError> {
        let (old, new) = (from.file(), to.file());
        let user = self.open_change(&old).await?;
        if let Some(user) = &user {
            self.store(user.edit()).await?;
        }
        if let Some(replaced) = self.open_change(&new).await? {
            let edit = Arc::clone(replaced.edit());
            let removed = self.remove_name(&edit, false).await;
            drop(replaced);
            self.finish(&edit);
            removed?;
        }
        let condition = if mode.no_replace { Precondition::Absent } else { Precondition::None };
        let size = user.as_ref().map_or(meta.size, |user| user.edit().state().layout.size());
        let version = self.copy(&old, &new, size, &condition).await?;
        self.delete(&old).await?;
        if let Some(node) = self.inodes.at(&new) {
            self.inodes.unlink(&node);
        }
        self.inodes.rename(&old, &new);
        let meta = match &user {
            Some(user) => {
                self.rebase(user, &new, &version);
                self.writing.edits.rename(&old, &new);
                self.edit_meta(user.edit()).0
            }
            None => FileMeta { version, ..meta.clone() },
        };
        let now = self.clock.now();
        let learnt = if self.config.posix { now } else { Moment::NEVER };
        self.directories.change(&from.prefix, &from.name, None, now, now);
        self.directories.change(&to.prefix, &to.name, Some(&What::File(meta.clone())), learnt, now);
        if let Some(node) = self.inodes.at(&new) {
            node.stored(&meta, learnt, now);
        }
        if let Some(user) = user {
            let edit = Arc::clone(user.edit());
            drop(user);
            self.finish(&edit);
        }
        Ok(())
    }

    /// The change goes on over the copy.
    fn rebase(&self, user: &User, key: &ObjectKey, version: &Version) {
        let mut state = user.edit().state();
        state.key = key.clone();
        if let Some(base) = &state.base {
            let id = ObjectId { key: key.clone(), version: version.clone() };
            state.base = Some(self.cache.pin(id, base.size));
        }
        let (head, whole) = (state.head(), ByteRange::new(0, state.layout.size()));
        let dirty: Vec<ByteRange> = state.layout.dirty().within(whole).collect();
        drop(state);
        let Some(file) = user.edit().spooled() else { return };
        let lines = dirty.into_iter().map(|range| Line::Write(range.start(), range.length()));
        let noted = file.note_stored(head).and_then(|()| lines.into_iter().try_for_each(|line| file.note(&line)));
        if let Err(error) = noted {
            tracing::warn!(%error, "the journal of a file in the spool cannot be written");
        }
    }

    async fn copy(
        &self,
        source: &ObjectKey,
        target: &ObjectKey,
        size: u64,
        condition: &Precondition,
    ) -> Result<Version, FsError> {
        if size <= COPY_MAX {
            return self.store.copy(source, target, condition).await.map_err(|error| Arc::new(error).into());
        }
        let meta = self.store.head(source).await.map_err(Arc::new)?;
        let options = PutOptions { content_type: meta.content_type, metadata: meta.metadata };
        let upload = self.store.begin_upload(target, &options).await.map_err(Arc::new)?;
        let numbers = 1..=u32::try_from(meta.size.div_ceil(COPY_PART)).unwrap_or(u32::MAX);
        let parts = numbers.map(|number| {
            let range = ByteRange::at(u64::from(number - 1) * COPY_PART, COPY_PART).clamp_to(meta.size);
            self.store.copy_part(target, &upload, number, source, &meta.version, range)
        });
        let tags: Result<Vec<_>, _> = stream::iter(parts).buffered(SIDE_BY_SIDE).try_collect().await;
        let completed = match tags {
            Ok(tags) => self.store.complete_upload(target, &upload, &tags, condition, &options).await,
            Err(error) => Err(error),
        };
        if completed.is_err()
            && let Err(error) = self.store.abort_upload(target, &upload).await
        {
            tracing::debug!(key = %target, %error, "an upload could not be given up");
        }
        completed.map_err(|error| Arc::new(error).into())
    }

    async fn rename_directory(
        self: &Arc<Self>,
        from: &Place,
        to: &Place,
        marker: Option<Marker>,
    ) -> Result<(), FsError> {
        let (old, new) = (from.directory(), to.directory());
        if new.as_bytes().starts_with(old.as_bytes()) {
            return Err(FsError::Invalid("a directory cannot move into itself"));
        }
        let mut users = Vec::new();
        for key in self.open_below(&old) {
            if let Some(user) = self.open_change(&key).await? {
                self.store(user.edit()).await?;
                users.push((key, user));
            }
        }
        let objects = self.objects_below(from).await?;
        let moved = |key: &ObjectKey| match key.as_bytes().strip_prefix(old.as_bytes()) {
            Some(rest) => new.join(rest),
            // The marker without a slash.
            None => to.file(),
        };
        let copies: Vec<_> =
            objects.iter().map(|object| self.copy_object(object, moved(&object.key)).boxed()).collect();
        let copied: Vec<_> = stream::iter(copies).buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
        let versions: std::collections::HashMap<ObjectKey, Version> = copied.into_iter().flatten().collect();
        // Markers last and the innermost first, so that a store of real directories finds them empty.
        let keys = objects.iter().map(|object| &object.key);
        let (markers, files): (Vec<&ObjectKey>, Vec<&ObjectKey>) = keys.partition(|key| key.as_bytes().ends_with(b"/"));
        let deletions: Vec<_> = files.into_iter().map(|key| self.delete_if_there(key).boxed()).collect();
        stream::iter(deletions).buffer_unordered(SIDE_BY_SIDE).try_collect::<Vec<()>>().await?;
        let mut markers: std::collections::BTreeSet<ObjectKey> = markers.into_iter().cloned().collect();
        if self.config.real_directories {
            markers.insert(old.clone());
            markers.extend(objects.iter().flat_map(|object| directories_above(&object.key, &old)));
        }
        for marker in markers.into_iter().rev() {
            self.delete_if_there(&marker).await?;
        }
        self.inodes.rename(&old, &new);
        for (key, user) in users {
            let target = moved(&key);
            if let Some(version) = versions.get(&key) {
                self.rebase(&user, &target, version);
            }
            user.edit().state().key = target.clone();
            self.writing.edits.rename(&key, &target);
            let edit = Arc::clone(user.edit());
            drop(user);
            self.finish(&edit);
        }
        self.directories.forget_below(&old);
        self.directories.forget_below(&new);
        self.inodes.doubt_below(&new);
        let marker = marker.unwrap_or_else(|| Marker::new(Posix::default()));
        let (now, what) = (self.clock.now(), What::Directory(Some(marker)));
        self.directories.change(&from.prefix, &from.name, None, now, now);
        self.directories.change(&to.prefix, &to.name, Some(&what), now, now);
        Ok(())
    }

    async fn copy_object(
        &self,
        object: &ObjectMeta,
        target: ObjectKey,
    ) -> Result<Option<(ObjectKey, Version)>, FsError> {
        if object.is_directory || object.key.as_bytes().ends_with(b"/") {
            self.copy_marker(object, &target).await?;
            return Ok(None);
        }
        let version = self.copy(&object.key, &target, object.size, &Precondition::None).await?;
        Ok(Some((object.key.clone(), version)))
    }

    async fn copy_marker(&self, object: &ObjectMeta, target: &ObjectKey) -> Result<(), FsError> {
        let mut options = PutOptions { content_type: object.content_type.clone(), metadata: object.metadata.clone() };
        if object.is_directory && !target.as_bytes().ends_with(b"/") {
            options.metadata.insert("hdi_isfolder".to_owned(), "true".to_owned());
        }
        let put = self.store.put(target, bytes::Bytes::new(), &Precondition::None, &options).await;
        put.map(drop).map_err(|error| Arc::new(error).into())
    }

    async fn delete_if_there(&self, key: &ObjectKey) -> Result<(), FsError> {
        match self.delete(key).await {
            Err(FsError::NotFound) => Ok(()),
            other => other,
        }
    }

    /// Files below a directory that are open or being changed.
    fn open_below(&self, directory: &ObjectKey) -> Vec<ObjectKey> {
        let mut keys: Vec<ObjectKey> = self.writing.edits.below(directory).into_iter().map(|(key, _)| key).collect();
        keys.extend(self.inodes.open_below(directory));
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Every object of a directory, its markers included. Bound: what the store lists.
    async fn objects_below(&self, from: &Place) -> Result<Vec<ObjectMeta>, FsError> {
        let (directory, folder) = (from.directory(), from.file());
        let mut objects = Vec::new();
        if let Ok(meta) = self.store.head(&folder).await
            && meta.is_directory
        {
            objects.push(meta);
        }
        let mut token = None;
        loop {
            let request = ListRequest {
                prefix: &directory,
                delimited: false,
                token: token.as_ref(),
                limit: None,
                urgency: Urgency::Demand,
            };
            let page = self.store.list(request).await.map_err(Arc::new)?;
            objects.extend(page.entries.into_iter().filter_map(|entry| match entry {
                ListEntry::Object(meta) => Some(meta),
                ListEntry::Prefix(_) => None,
            }));
            token = page.next;
            if token.is_none() {
                return Ok(objects);
            }
        }
    }
}

/// The directories in `top` that `key` lies in.
fn directories_above<'a>(key: &'a ObjectKey, top: &ObjectKey) -> impl Iterator<Item = ObjectKey> + 'a {
    let (bytes, start) = (key.as_bytes(), top.as_bytes().len());
    let slashes = bytes.iter().enumerate().skip(start).filter(|&(_, &byte)| byte == b'/');
    slashes.map(|(slash, _)| ObjectKey::new(&bytes[..=slash]))
}
