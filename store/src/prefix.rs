//! A part of a store as a store: every name gets a prefix on the way in and loses it on the way out.
//!
//! Outermost of all wrappers, so that errors, too, speak of names as the caller knows them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rfuse_block::{ByteRange, ObjectKey, Version};

use crate::{
    Fetched, Get, Landing, ListEntry, ListPage, ListRequest, ObjectMeta, Operation, PartTag, Precondition, PutOptions,
    Store, StoreError, StoreErrorKind, UploadId,
};

/// The objects whose names start with a prefix.
#[derive(Debug)]
pub struct Prefixed {
    inner: Arc<dyn Store>,
    prefix: ObjectKey,
}

impl Prefixed {
    /// The objects of `inner` below `prefix`, which is empty or ends in `/`.
    pub fn new(inner: Arc<dyn Store>, prefix: &[u8]) -> Self {
        Self { inner, prefix: ObjectKey::new(prefix) }
    }

    fn inside(&self, key: &ObjectKey) -> ObjectKey {
        self.prefix.join(key.as_bytes())
    }

    /// The name without the prefix; none for a name that does not have it.
    fn outside(&self, key: &ObjectKey) -> Option<ObjectKey> {
        key.as_bytes().strip_prefix(self.prefix.as_bytes()).map(ObjectKey::new)
    }

    fn told(&self, error: StoreError) -> StoreError {
        let key = error.key.as_ref().map(|key| self.outside(key).unwrap_or_else(|| key.clone()));
        StoreError { key, ..error }
    }

    /// The object called as the prefix is, where there is one: the marker of the directory that is the top.
    /// It has no name here.
    fn is_top(&self, key: &ObjectKey) -> bool {
        !self.prefix.as_bytes().is_empty() && *key == self.prefix
    }

    fn entry(&self, entry: ListEntry) -> Result<Option<ListEntry>, StoreError> {
        if self.is_top(entry.key()) {
            return Ok(None);
        }
        let foreign = || {
            let text = "the store lists a name that does not start with the prefix asked for";
            StoreError::new(StoreErrorKind::Malformed, Operation::List, text)
        };
        let key = self.outside(entry.key()).ok_or_else(foreign)?;
        Ok(Some(match entry {
            ListEntry::Object(meta) => ListEntry::Object(ObjectMeta { key, ..meta }),
            ListEntry::Prefix(_) => ListEntry::Prefix(key),
        }))
    }
}

#[async_trait]
impl Store for Prefixed {
    async fn get(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
        let key = self.inside(named(Operation::Get, get.key)?);
        self.inner.get(Get { key: &key, ..get }, landing).await.map_err(|error| self.told(error))
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        let inside = self.inside(named(Operation::Head, key)?);
        let meta = self.inner.head(&inside).await.map_err(|error| self.told(error))?;
        Ok(ObjectMeta { key: key.clone(), ..meta })
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<ListPage, StoreError> {
        let prefix = self.inside(request.prefix);
        let page = self.inner.list(ListRequest { prefix: &prefix, ..request }).await;
        let page = page.map_err(|error| self.told(error))?;
        let entries = page.entries.into_iter().filter_map(|entry| self.entry(entry).transpose());
        Ok(ListPage { entries: entries.collect::<Result<_, _>>()?, next: page.next })
    }

    async fn put(
        &self,
        key: &ObjectKey,
        body: Bytes,
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError> {
        let key = self.inside(named(Operation::Put, key)?);
        self.inner.put(&key, body, condition, options).await.map_err(|error| self.told(error))
    }

    async fn begin_upload(&self, key: &ObjectKey, options: &PutOptions) -> Result<UploadId, StoreError> {
        let key = self.inside(named(Operation::Upload, key)?);
        self.inner.begin_upload(&key, options).await.map_err(|error| self.told(error))
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
    ) -> Result<PartTag, StoreError> {
        self.inner.put_part(&self.inside(key), upload, number, body).await.map_err(|error| self.told(error))
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
        let (key, source) = (self.inside(key), self.inside(named(Operation::Upload, source)?));
        let tag = self.inner.copy_part(&key, upload, number, &source, version, range).await;
        tag.map_err(|error| self.told(error))
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError> {
        let version = self.inner.complete_upload(&self.inside(key), upload, parts, condition, options).await;
        version.map_err(|error| self.told(error))
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
        self.inner.abort_upload(&self.inside(key), upload).await.map_err(|error| self.told(error))
    }

    async fn copy(
        &self,
        source: &ObjectKey,
        target: &ObjectKey,
        condition: &Precondition,
    ) -> Result<Version, StoreError> {
        let (source, target) =
            (self.inside(named(Operation::Copy, source)?), self.inside(named(Operation::Copy, target)?));
        self.inner.copy(&source, &target, condition).await.map_err(|error| self.told(error))
    }

    async fn delete(&self, key: &ObjectKey, version: Option<&Version>) -> Result<(), StoreError> {
        let key = self.inside(named(Operation::Delete, key)?);
        self.inner.delete(&key, version).await.map_err(|error| self.told(error))
    }
}

/// The key, unless it is empty: with the prefix before it, that would be the prefix's own marker.
fn named(operation: Operation, key: &ObjectKey) -> Result<&ObjectKey, StoreError> {
    if key.as_bytes().is_empty() {
        return Err(StoreError::new(StoreErrorKind::BadName, operation, "a name needs at least one byte"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{MemoryStore, Urgency};

    fn below(prefix: &str) -> Prefixed {
        let memory = MemoryStore::new();
        for key in ["top/", "top/a", "top/b/c", "topple", "other/a"] {
            memory.put_now(key, key);
        }
        Prefixed::new(Arc::new(memory), prefix.as_bytes())
    }

    fn list(store: &Prefixed, delimited: bool) -> Vec<String> {
        let prefix = ObjectKey::from("");
        let request = ListRequest { prefix: &prefix, delimited, token: None, limit: None, urgency: Urgency::Demand };
        let page = store.list(request).now_or_never().unwrap().unwrap();
        page.entries.iter().map(|entry| entry.key().to_string()).collect()
    }

    #[test]
    fn only_what_is_below_the_prefix_is_there_and_its_marker_has_no_name() {
        let store = below("top/");
        assert_eq!(list(&store, true), ["a", "b/"]);
        assert_eq!(list(&store, false), ["a", "b/c"]);
        assert_eq!(list(&below(""), true), ["other/", "top/", "topple"]);
    }

    #[test]
    fn names_and_errors_are_those_of_the_caller() {
        let store = below("top/");
        assert_eq!(store.head(&"b/c".into()).now_or_never().unwrap().unwrap().key, "b/c".into());
        let error = store.head(&"gone".into()).now_or_never().unwrap().unwrap_err();
        assert_eq!(error.key, Some("gone".into()));
        let error = store.head(&"".into()).now_or_never().unwrap().unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::BadName);
    }
}
