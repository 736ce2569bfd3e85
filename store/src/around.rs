//! What every store around a store has in common: each call goes to the inner one, in some company.
//!
//! A wrapper says once how a call is accompanied (`through`) and, apart because bytes arrive in it, how a GET
//! is (`get_through`). The macro writes the rest, so that no wrapper can forget a method.

use rfuse_block::{ObjectKey, Version};

use crate::{ListPage, ObjectMeta, Operation, PartTag, Precondition, UploadId, Urgency};

/// What a wrapper may know of a call other than a GET.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    pub(crate) urgency: Urgency,
    /// Of which object; none for a listing.
    pub(crate) key: Option<&'a ObjectKey>,
    /// Bytes it sends.
    pub(crate) sends: u64,
    /// Whether what an earlier try of the same call did can make a later one fail.
    pub(crate) again: Again,
}

/// What a second try of a call means when the first may have happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Again {
    /// The same as the first.
    Same,
    /// It is refused, because the first has changed what its condition is about.
    Refused,
}

impl<'a> Call<'a> {
    pub(crate) fn of(operation: Operation, key: &'a ObjectKey) -> Self {
        Self { operation, urgency: Urgency::Demand, key: Some(key), sends: 0, again: Again::Same }
    }

    pub(crate) fn list(urgency: Urgency) -> Self {
        Self { operation: Operation::List, urgency, key: None, sends: 0, again: Again::Same }
    }

    pub(crate) fn sending(self, bytes: usize) -> Self {
        Self { sends: bytes as u64, ..self }
    }

    pub(crate) fn under(self, condition: &Precondition) -> Self {
        let again = if *condition == Precondition::None { Again::Same } else { Again::Refused };
        Self { again, ..self }
    }

    pub(crate) fn once(self) -> Self {
        Self { again: Again::Refused, ..self }
    }
}

/// What a call answers.
pub(crate) trait Answer: Sized + Send {
    /// The answer of a call whose work is found done already; none when there is more to say than that.
    fn of_done() -> Option<Self> {
        None
    }
}

impl Answer for () {
    fn of_done() -> Option<Self> {
        Some(())
    }
}

impl Answer for ObjectMeta {}
impl Answer for ListPage {}
impl Answer for Version {}
impl Answer for UploadId {}
impl Answer for PartTag {}

/// Implements [`Store`](crate::Store) for a wrapper that has a field `inner` and the two methods
/// `get_through(get, landing)` and `through(call, send)`, where `send()` makes the call once. A wrapper with type
/// parameters says `for [PARAMETERS]` before its name.
macro_rules! store_around {
    (for [$($generics:tt)*] $wrapper:ty) => {
        #[async_trait::async_trait]
        impl<$($generics)*> $crate::Store for $wrapper {
            async fn get(
                &self,
                get: $crate::Get<'_>,
                landing: &mut $crate::Landing<'_>,
            ) -> Result<$crate::Fetched, $crate::StoreError> {
                self.get_through(get, landing).await
            }

            async fn head(&self, key: &rfuse_block::ObjectKey) -> Result<$crate::ObjectMeta, $crate::StoreError> {
                let call = $crate::around::Call::of($crate::Operation::Head, key);
                self.through(call, || self.inner.head(key)).await
            }

            async fn list(&self, request: $crate::ListRequest<'_>) -> Result<$crate::ListPage, $crate::StoreError> {
                let call = $crate::around::Call::list(request.urgency);
                self.through(call, || self.inner.list(request)).await
            }

            async fn put(
                &self,
                key: &rfuse_block::ObjectKey,
                body: bytes::Bytes,
                condition: &$crate::Precondition,
                options: &$crate::PutOptions,
            ) -> Result<rfuse_block::Version, $crate::StoreError> {
                let call = $crate::around::Call::of($crate::Operation::Put, key).sending(body.len()).under(condition);
                self.through(call, || self.inner.put(key, body.clone(), condition, options)).await
            }

            async fn begin_upload(
                &self,
                key: &rfuse_block::ObjectKey,
                options: &$crate::PutOptions,
            ) -> Result<$crate::UploadId, $crate::StoreError> {
                let call = $crate::around::Call::of($crate::Operation::Upload, key);
                self.through(call, || self.inner.begin_upload(key, options)).await
            }

            async fn put_part(
                &self,
                key: &rfuse_block::ObjectKey,
                upload: &$crate::UploadId,
                number: u32,
                body: bytes::Bytes,
            ) -> Result<$crate::PartTag, $crate::StoreError> {
                let call = $crate::around::Call::of($crate::Operation::Upload, key).sending(body.len());
                self.through(call, || self.inner.put_part(key, upload, number, body.clone())).await
            }

            async fn copy_part(
                &self,
                key: &rfuse_block::ObjectKey,
                upload: &$crate::UploadId,
                number: u32,
                source: &rfuse_block::ObjectKey,
                version: &rfuse_block::Version,
                range: rfuse_block::ByteRange,
            ) -> Result<$crate::PartTag, $crate::StoreError> {
                let call = $crate::around::Call::of($crate::Operation::Upload, key);
                self.through(call, || self.inner.copy_part(key, upload, number, source, version, range)).await
            }

            async fn complete_upload(
                &self,
                key: &rfuse_block::ObjectKey,
                upload: &$crate::UploadId,
                parts: &[$crate::PartTag],
                condition: &$crate::Precondition,
                options: &$crate::PutOptions,
            ) -> Result<rfuse_block::Version, $crate::StoreError> {
                let call = $crate::around::Call::of($crate::Operation::Upload, key).once();
                self.through(call, || self.inner.complete_upload(key, upload, parts, condition, options)).await
            }

            async fn abort_upload(
                &self,
                key: &rfuse_block::ObjectKey,
                upload: &$crate::UploadId,
            ) -> Result<(), $crate::StoreError> {
                let call = $crate::around::Call::of($crate::Operation::Upload, key);
                self.through(call, || self.inner.abort_upload(key, upload)).await
            }

            async fn copy(
                &self,
                source: &rfuse_block::ObjectKey,
                target: &rfuse_block::ObjectKey,
                condition: &$crate::Precondition,
            ) -> Result<rfuse_block::Version, $crate::StoreError> {
                let call = $crate::around::Call::of($crate::Operation::Copy, source).under(condition);
                self.through(call, || self.inner.copy(source, target, condition)).await
            }

            async fn delete(
                &self,
                key: &rfuse_block::ObjectKey,
                version: Option<&rfuse_block::Version>,
            ) -> Result<(), $crate::StoreError> {
                let call = $crate::around::Call::of($crate::Operation::Delete, key);
                self.through(call, || self.inner.delete(key, version)).await
            }
        }
    };
    ($wrapper:ty) => {
        $crate::around::store_around!(for [] $wrapper);
    };
}

pub(crate) use store_around;
