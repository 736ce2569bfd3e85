//! A store whose reads wait for as long as a gate is shut, and that knows how many do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use bytes::Bytes;
use rfuse_block::{ByteRange, ObjectKey, Version};
use rfuse_store::{
    Fetched, Get, Landing, ListPage, ListRequest, MemoryStore, ObjectMeta, Operation, PartTag, Precondition,
    PutOptions, Store, StoreError, StoreErrorKind, UploadId,
};
use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Gated {
    inner: Arc<MemoryStore>,
    shut: watch::Sender<bool>,
    waiting: AtomicUsize,
    gets: AtomicUsize,
}

impl Gated {
    pub(crate) fn new(inner: Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            shut: watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
            gets: AtomicUsize::new(0),
        })
    }

    pub(crate) fn shut(&self) {
        self.shut.send_replace(true);
    }

    pub(crate) fn open(&self) {
        self.shut.send_replace(false);
    }

    /// Reads that wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Reads so far.
    pub(crate) fn gets(&self) -> usize {
        self.gets.load(SeqCst)
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

fn unsupported<T>(operation: Operation) -> Result<T, StoreError> {
    Err(StoreError::new(StoreErrorKind::Unsupported, operation, "not needed here"))
}

#[async_trait]
impl Store for Gated {
    async fn get(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
        self.gets.fetch_add(1, SeqCst);
        let mut shut = self.shut.subscribe();
        let counted = Counted::new(&self.waiting);
        let _ = shut.wait_for(|shut| !shut).await;
        drop(counted);
        self.inner.get(get, landing).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        self.inner.head(key).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<ListPage, StoreError> {
        self.inner.list(request).await
    }

    async fn put(&self, _: &ObjectKey, _: Bytes, _: &Precondition, _: &PutOptions) -> Result<Version, StoreError> {
        unsupported(Operation::Put)
    }

    async fn begin_upload(&self, _: &ObjectKey, _: &PutOptions) -> Result<UploadId, StoreError> {
        unsupported(Operation::Upload)
    }

    async fn put_part(&self, _: &ObjectKey, _: &UploadId, _: u32, _: Bytes) -> Result<PartTag, StoreError> {
        unsupported(Operation::Upload)
    }

    async fn copy_part(
        &self,
        _: &ObjectKey,
        _: &UploadId,
        _: u32,
        _: &ObjectKey,
        _: &Version,
        _: ByteRange,
    ) -> Result<PartTag, StoreError> {
        unsupported(Operation::Upload)
    }

    async fn complete_upload(
        &self,
        _: &ObjectKey,
        _: &UploadId,
        _: &[PartTag],
        _: &Precondition,
        _: &PutOptions,
    ) -> Result<Version, StoreError> {
        unsupported(Operation::Upload)
    }

    async fn abort_upload(&self, _: &ObjectKey, _: &UploadId) -> Result<(), StoreError> {
        unsupported(Operation::Upload)
    }

    async fn copy(&self, _: &ObjectKey, _: &ObjectKey, _: &Precondition) -> Result<Version, StoreError> {
        unsupported(Operation::Copy)
    }

    async fn delete(&self, _: &ObjectKey, _: Option<&Version>) -> Result<(), StoreError> {
        unsupported(Operation::Delete)
    }
}
