//! The contract between rfuse and the places objects live.
//!
//! Every call is one request as far as an implementation is concerned: it does not retry, wait its turn,
//! count or log; wrappers do. Every implementation answers the questions of the conformance suite the same
//! way. Names are bytes and go to the store as they are.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use rfuse_block::{ByteRange, ObjectKey, Version};

use crate::{Landing, StoreError};

/// Who waits for a request: decides who goes first when requests queue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Urgency {
    /// A reader waits.
    Demand,
    /// Nobody waits yet: fetched ahead, or warmed.
    Ahead,
}

/// One ranged GET.
#[derive(Clone, Copy, Debug)]
pub struct Get<'a> {
    /// Which object.
    pub key: &'a ObjectKey,
    /// The only version to accept, or none for whatever is there.
    pub version: Option<&'a Version>,
    /// Which bytes; never empty.
    pub range: ByteRange,
    /// Who waits for it.
    pub urgency: Urgency,
}

/// What the answer to a GET said about the object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// The version the bytes belong to.
    pub version: Version,
    /// The size of the whole object in bytes.
    pub object_size: u64,
}

/// What is known of an object without its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectMeta {
    /// Its name.
    pub key: ObjectKey,
    /// Its size in bytes.
    pub size: u64,
    /// The version this is about.
    pub version: Version,
    /// When it was last written, as the store says.
    pub modified: SystemTime,
    /// Its `Content-Type`, where the store gives one.
    pub content_type: Option<String>,
    /// User metadata, keys in lower case (stores differ in case). Empty in S3 listings.
    pub metadata: BTreeMap<String, String>,
    /// Whether the store itself calls this a directory (a hierarchical namespace entry, or
    /// `hdi_isfolder=true` metadata).
    pub is_directory: bool,
}

/// Where a listing goes on; opaque.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token(pub String);

/// One page of a listing.
#[derive(Clone, Copy, Debug)]
pub struct ListRequest<'a> {
    /// Only names that start with these bytes; may be empty.
    pub prefix: &'a ObjectKey,
    /// Whether names below the next `/` after the prefix are rolled up into one entry.
    pub delimited: bool,
    /// Where the page before ended.
    pub token: Option<&'a Token>,
    /// At most this many entries; the store may return fewer and still have more.
    pub limit: Option<u32>,
    /// Who waits for it.
    pub urgency: Urgency,
}

/// One entry of a listing, in the store's order: names that share a prefix are neighbours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListEntry {
    /// An object.
    Object(ObjectMeta),
    /// Everything that starts with this name, which ends in `/`. In a listing that is not delimited: what is
    /// below it cannot be listed from here, and asking for it says why (a local directory without permission).
    Prefix(ObjectKey),
}

impl ListEntry {
    /// The name, of either kind.
    pub fn key(&self) -> &ObjectKey {
        match self {
            Self::Object(meta) => &meta.key,
            Self::Prefix(key) => key,
        }
    }
}

/// The entries of one page, and whether there is another.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListPage {
    /// What this page holds; may be empty even if more follows.
    pub entries: Vec<ListEntry>,
    /// Where the next page starts; none at the end.
    pub next: Option<Token>,
}

/// What must hold of the object for a write to happen; else [`Changed`](crate::StoreErrorKind::Changed) or
/// [`Exists`](crate::StoreErrorKind::Exists).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Precondition {
    /// Write whatever is there.
    None,
    /// Only if there is no such object.
    Absent,
    /// Only over this version.
    Matches(Version),
}

/// What is stored beside the bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PutOptions {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// User metadata, keys in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// An upload in parts that has begun; opaque.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UploadId(pub String);

/// The store's receipt for one part; opaque.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PartTag(pub String);

/// A place where objects live.
///
/// Dropping the future of a call cancels it. All methods but `get`, `head` and `list` may answer
/// [`Unsupported`](crate::StoreErrorKind::Unsupported); a wrapper must forward every one of them.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The bytes of `get.range`, put into `landing`, which is as long as the range.
    ///
    /// # Errors
    /// `Changed` when the object has another version; `PastEnd` when the range starts at or after the end;
    /// `Cut` when fewer bytes came than the range holds (those that came have landed); `Malformed` when the
    /// answer is for other bytes. A range that only ends after the object is `Cut` too: callers know the size.
    async fn get(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError>;

    /// What is known of the object.
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError>;

    /// One page of names.
    async fn list(&self, request: ListRequest<'_>) -> Result<ListPage, StoreError>;

    /// Writes a whole object; what it is afterwards.
    async fn put(
        &self,
        key: &ObjectKey,
        body: Bytes,
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError>;

    /// Begins an upload in parts; nothing is visible before [`Store::complete_upload`].
    async fn begin_upload(&self, key: &ObjectKey, options: &PutOptions) -> Result<UploadId, StoreError>;

    /// Sends part `number`, counted from 1; sent again, the later one counts.
    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
    ) -> Result<PartTag, StoreError>;

    /// Makes part `number` of bytes the store already has.
    async fn copy_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        source: &ObjectKey,
        version: &Version,
        range: ByteRange,
    ) -> Result<PartTag, StoreError>;

    /// Makes the object of its parts, in order.
    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError>;

    /// Gives an upload up and frees its parts.
    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError>;

    /// Copies an object inside the store.
    async fn copy(
        &self,
        source: &ObjectKey,
        target: &ObjectKey,
        condition: &Precondition,
    ) -> Result<Version, StoreError>;

    /// Deletes an object, if it has this version where one is given; deleting what is not there is `NotFound`
    /// where the store can tell, success elsewhere (S3).
    async fn delete(&self, key: &ObjectKey, version: Option<&Version>) -> Result<(), StoreError>;
}
