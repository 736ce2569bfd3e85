//! A local directory whose files play the objects (`file:///DIR`).
//!
//! An object is a regular file below the directory, its key the path to it; a directory without visible
//! entries, or with metadata, is the object `dir/`. The version is made of inode, size and modification time. Every name is
//! resolved by the kernel beneath the directory (`openat2`), so neither `..` nor a symbolic link leads out;
//! links that stay inside are followed, all others do not exist. Names that a path cannot express (`a//b`,
//! `./a`, NUL, parts over 255 bytes) are [`BadName`](crate::StoreErrorKind::BadName). Names with a part that
//! starts with `.rfuse-` are ours: what is being written lives there until it is complete.
//!
//! What the page cache holds is read on the calling thread, which takes microseconds; anything that might
//! wait for a disk goes to the blocking pool, so that a slow disk never holds up a runtime worker. No
//! descriptor is kept: a kept one would go on serving a file that has been replaced.

mod memo;
mod name;
mod read;
mod root;
mod upload;
mod walk;
mod write;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rfuse_block::{ByteRange, ObjectKey, Version};

use self::name::Name;
use self::root::Root;
use crate::{
    Fetched, Get, Landing, ListPage, ListRequest, ObjectMeta, Operation, PartTag, Precondition, PutOptions, Store,
    StoreError, StoreErrorKind, UploadId,
};

/// The files below a directory.
#[derive(Debug)]
pub struct LocalStore {
    root: Arc<Root>,
}

impl LocalStore {
    /// Opens `directory`.
    ///
    /// # Errors
    /// `NoContainer` when there is no such directory, `Denied` when it may not be entered, `Unsupported` on a
    /// kernel before 5.6.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self { root: Arc::new(Root::open(directory)?) })
    }

    /// Runs `work` where it may wait for a disk.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: Operation,
        work: impl FnOnce(&Root) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let root = Arc::clone(&self.root);
        let task = tokio::task::spawn_blocking(move || work(&root));
        task.await.unwrap_or_else(|stopped| {
            let text = format!("the thread that read the disk stopped: {stopped}");
            Err(StoreError::new(StoreErrorKind::Other, operation, text))
        })
    }
}

#[async_trait]
impl Store for LocalStore {
    async fn get(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
        read::get(&self.root, get, landing).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        let key = key.clone();
        self.blocking(Operation::Head, move |root| read::head(root, &key)).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<ListPage, StoreError> {
        let (prefix, token) = (request.prefix.clone(), request.token.cloned());
        let ListRequest { delimited, limit, urgency, .. } = request;
        let work = move |root: &Root| {
            walk::list(root, ListRequest { prefix: &prefix, delimited, token: token.as_ref(), limit, urgency })
        };
        self.blocking(Operation::List, work).await
    }

    async fn put(
        &self,
        key: &ObjectKey,
        body: Bytes,
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError> {
        let (key, condition, options) = (key.clone(), condition.clone(), options.clone());
        self.blocking(Operation::Put, move |root| write::put(root, &key, &body, &condition, &options)).await
    }

    async fn begin_upload(&self, key: &ObjectKey, _options: &PutOptions) -> Result<UploadId, StoreError> {
        let key = key.clone();
        self.blocking(Operation::Upload, move |root| upload::begin(root, &key)).await
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
    ) -> Result<PartTag, StoreError> {
        let (key, upload) = (key.clone(), upload.clone());
        self.blocking(Operation::Upload, move |root| upload::put_part(root, &key, &upload, number, &body)).await
    }

    async fn copy_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        source: &ObjectKey,
        version: &Version,
        range: ByteRange,
    ) -> Result<PartTag, StoreError> {
        let (key, upload, source, version) = (key.clone(), upload.clone(), source.clone(), version.clone());
        let work = move |root: &Root| upload::copy_part(root, &key, &upload, number, (&source, &version), range);
        self.blocking(Operation::Upload, work).await
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError> {
        let (key, upload, parts) = (key.clone(), upload.clone(), parts.to_vec());
        let (condition, options) = (condition.clone(), options.clone());
        let work = move |root: &Root| upload::complete(root, &key, &upload, &parts, &condition, &options);
        self.blocking(Operation::Upload, work).await
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
        let (key, upload) = (key.clone(), upload.clone());
        self.blocking(Operation::Upload, move |root| upload::abort(root, &key, &upload)).await
    }

    async fn copy(
        &self,
        source: &ObjectKey,
        target: &ObjectKey,
        condition: &Precondition,
    ) -> Result<Version, StoreError> {
        let (source, target, condition) = (source.clone(), target.clone(), condition.clone());
        self.blocking(Operation::Copy, move |root| write::copy(root, &source, &target, &condition)).await
    }

    async fn delete(&self, key: &ObjectKey, version: Option<&Version>) -> Result<(), StoreError> {
        let (key, version) = (key.clone(), version.cloned());
        self.blocking(Operation::Delete, move |root| write::delete(root, &key, version.as_ref())).await
    }
}

#[cfg(test)]
mod tests;
