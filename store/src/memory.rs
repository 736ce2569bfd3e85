//! A store in this process: for tests, benches and `mem:`.
//!
//! It behaves as an ideal object store does: names are any bytes, listings are in byte order and paged,
//! versions are a counter, conditions are atomic. An object may also be generated from its position, so that
//! 32 TB cost nothing. Everything put is held in memory without a bound; it is not a cache.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use rfuse_block::{ByteRange, ObjectKey, Version};

use crate::page::{PageBuilder, Step};
use crate::{
    Fetched, Get, Landing, ListPage, ListRequest, ObjectMeta, Operation, PartTag, Precondition, PutOptions, Store,
    StoreError, StoreErrorKind, UploadId, pattern,
};

/// Entries of a listing page unless fewer are asked for, as on S3.
const PAGE_MAX: u32 = 1000;

/// Objects in memory.
#[derive(Debug)]
pub struct MemoryStore {
    contents: RwLock<Contents>,
    page_max: u32,
}

#[derive(Debug, Default)]
struct Contents {
    objects: BTreeMap<ObjectKey, Object>,
    uploads: HashMap<UploadId, Upload>,
    /// Counts versions, uploads and parts, so that no two are ever alike.
    counter: u64,
}

#[derive(Clone, Debug)]
struct Object {
    body: Body,
    version: Version,
    modified: SystemTime,
    options: PutOptions,
}

#[derive(Clone, Debug)]
enum Body {
    Bytes(Bytes),
    Pattern { size: u64, seed: u64 },
}

#[derive(Debug)]
struct Upload {
    key: ObjectKey,
    parts: HashMap<PartTag, (u32, Bytes)>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { contents: RwLock::default(), page_max: PAGE_MAX }
    }

    /// An empty store whose listing pages hold at most `entries` (at least 1).
    pub fn with_page_max(entries: u32) -> Self {
        Self { page_max: entries.max(1), ..Self::new() }
    }

    /// Writes an object at once, over whatever is there.
    pub fn put_now(&self, key: impl Into<ObjectKey>, body: impl Into<Bytes>) -> Version {
        self.put_with(key, body, PutOptions::default())
    }

    /// Writes an object with metadata at once, over whatever is there.
    pub fn put_with(&self, key: impl Into<ObjectKey>, body: impl Into<Bytes>, options: PutOptions) -> Version {
        self.write().store(key.into(), Body::Bytes(body.into()), options)
    }

    /// Makes an object of `size` bytes whose content follows from `seed` as [`pattern`] says; costs no memory.
    pub fn put_pattern(&self, key: impl Into<ObjectKey>, size: u64, seed: u64) -> Version {
        self.write().store(key.into(), Body::Pattern { size, seed }, PutOptions::default())
    }

    /// Removes an object at once; whether it was there.
    pub fn remove_now(&self, key: impl Into<ObjectKey>) -> bool {
        self.write().objects.remove(&key.into()).is_some()
    }

    /// How many objects there are.
    pub fn object_count(&self) -> usize {
        self.read().objects.len()
    }

    /// How many uploads in parts have begun and neither completed nor been given up.
    pub fn upload_count(&self) -> usize {
        self.read().uploads.len()
    }

    fn read(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Contents> {
        self.contents.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn store(&mut self, key: ObjectKey, body: Body, options: PutOptions) -> Version {
        let version = Version::new(format!("\"m{:x}\"", self.count()));
        let object = Object { body, version: version.clone(), modified: SystemTime::now(), options };
        self.objects.insert(key, object);
        version
    }

    fn find(&self, operation: Operation, key: &ObjectKey) -> Result<&Object, StoreError> {
        self.objects
            .get(key)
            .ok_or_else(|| StoreError::new(StoreErrorKind::NotFound, operation, "there is no such object").about(key))
    }

    fn check(&self, operation: Operation, key: &ObjectKey, condition: &Precondition) -> Result<(), StoreError> {
        if key.as_bytes().is_empty() {
            return Err(StoreError::new(StoreErrorKind::BadName, operation, "a name needs at least one byte"));
        }
        match (condition, self.objects.get(key)) {
            (Precondition::None, _) | (Precondition::Absent, None) => Ok(()),
            (Precondition::Absent, Some(_)) => {
                Err(StoreError::new(StoreErrorKind::Exists, operation, "the object exists already").about(key))
            }
            (Precondition::Matches(wanted), Some(object)) if object.version == *wanted => Ok(()),
            (Precondition::Matches(_), _) => Err(changed(operation, key)),
        }
    }

    fn upload(&mut self, key: &ObjectKey, upload: &UploadId) -> Result<&mut Upload, StoreError> {
        match self.uploads.get_mut(upload) {
            Some(found) if found.key == *key => Ok(found),
            _ => {
                Err(StoreError::new(StoreErrorKind::NotFound, Operation::Upload, "there is no such upload").about(key))
            }
        }
    }

    fn add_part(&mut self, key: &ObjectKey, id: &UploadId, number: u32, body: Bytes) -> Result<PartTag, StoreError> {
        let tag = PartTag(format!("{number}-{:x}", self.count()));
        let upload = self.upload(key, id)?;
        upload.parts.retain(|_, (other, _)| *other != number);
        upload.parts.insert(tag.clone(), (number, body));
        Ok(tag)
    }

    fn take_parts(&mut self, key: &ObjectKey, id: &UploadId, tags: &[PartTag]) -> Result<Bytes, StoreError> {
        let upload = self.upload(key, id)?;
        let mut body = BytesMut::new();
        for tag in tags {
            let (_, part) = upload.parts.get(tag).ok_or_else(|| {
                StoreError::new(StoreErrorKind::Other, Operation::Upload, "a part of the upload is missing").about(key)
            })?;
            body.extend_from_slice(part);
        }
        self.uploads.remove(id);
        Ok(body.freeze())
    }
}

impl Object {
    fn size(&self) -> u64 {
        match &self.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Pattern { size, .. } => *size,
        }
    }

    fn meta(&self, key: &ObjectKey) -> ObjectMeta {
        ObjectMeta {
            key: key.clone(),
            size: self.size(),
            version: self.version.clone(),
            modified: self.modified,
            content_type: self.options.content_type.clone(),
            metadata: self.options.metadata.clone(),
            is_directory: self.options.metadata.get("hdi_isfolder").is_some_and(|v| v.eq_ignore_ascii_case("true")),
        }
    }

    fn land(&self, range: ByteRange, landing: &mut Landing<'_>) {
        match &self.body {
            Body::Bytes(bytes) => {
                // What does not fit is the caller's mistake and noticed there: a landing is as long as its range.
                let _ = landing.push(&bytes[range.start() as usize..range.end() as usize]);
            }
            Body::Pattern { seed, .. } => {
                let mut offset = range.start();
                while offset < range.end() {
                    let Some(spare) = landing.spare().next() else { return };
                    let count = (spare.len() as u64).min(range.end() - offset);
                    pattern::fill(*seed, offset, &mut spare[..count as usize]);
                    landing.advance(count);
                    offset += count;
                }
            }
        }
    }
}

fn changed(operation: Operation, key: &ObjectKey) -> StoreError {
    StoreError::new(StoreErrorKind::Changed, operation, "the object has another version now").about(key)
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
        let object = self.read().find(Operation::Get, get.key)?.clone();
        if get.version.is_some_and(|wanted| *wanted != object.version) {
            return Err(changed(Operation::Get, get.key));
        }
        let size = object.size();
        if get.range.start() >= size {
            let text = format!("the range {} starts after the {size} bytes of the object", get.range);
            return Err(StoreError::new(StoreErrorKind::PastEnd, Operation::Get, text).about(get.key));
        }
        let range = get.range.clamp_to(size);
        landing.pin(&object.version);
        object.land(range, landing);
        if range != get.range {
            let text = format!("the object ends at {size}, inside the range {}", get.range);
            return Err(StoreError::new(StoreErrorKind::Cut, Operation::Get, text).about(get.key));
        }
        Ok(Fetched { version: object.version, object_size: size })
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        Ok(self.read().find(Operation::Head, key)?.meta(key))
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<ListPage, StoreError> {
        let contents = self.read();
        let mut page = PageBuilder::new(request, self.page_max)?;
        while page.is_open() {
            let from = ObjectKey::new(page.from());
            let mut step = Step::Next;
            for (key, object) in contents.objects.range(from..) {
                step = page.offer(key.as_bytes(), || Some(object.meta(key)));
                if step != Step::Next {
                    break;
                }
            }
            if step == Step::Next {
                page.no_more();
            }
        }
        Ok(page.finish())
    }

    async fn put(
        &self,
        key: &ObjectKey,
        body: Bytes,
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError> {
        let mut contents = self.write();
        contents.check(Operation::Put, key, condition)?;
        Ok(contents.store(key.clone(), Body::Bytes(body), options.clone()))
    }

    async fn begin_upload(&self, key: &ObjectKey, _options: &PutOptions) -> Result<UploadId, StoreError> {
        let mut contents = self.write();
        contents.check(Operation::Upload, key, &Precondition::None)?;
        let id = UploadId(format!("u{:x}", contents.count()));
        contents.uploads.insert(id.clone(), Upload { key: key.clone(), parts: HashMap::new() });
        Ok(id)
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
    ) -> Result<PartTag, StoreError> {
        // A copy: the sender's memory is his again when the part is sent.
        self.write().add_part(key, upload, number, Bytes::copy_from_slice(&body))
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
        let mut contents = self.write();
        let object = contents.find(Operation::Upload, source)?;
        if object.version != *version {
            return Err(changed(Operation::Upload, source));
        }
        if range.end() > object.size() {
            let text = format!("the range {range} ends after the {} bytes of the object", object.size());
            return Err(StoreError::new(StoreErrorKind::PastEnd, Operation::Upload, text).about(source));
        }
        let mut bytes = vec![0; range.length() as usize];
        object.land(range, &mut Landing::one(&mut bytes));
        contents.add_part(key, upload, number, bytes.into())
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError> {
        let mut contents = self.write();
        contents.check(Operation::Upload, key, condition)?;
        let body = contents.take_parts(key, upload, parts)?;
        Ok(contents.store(key.clone(), Body::Bytes(body), options.clone()))
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
        let mut contents = self.write();
        contents.upload(key, upload)?;
        contents.uploads.remove(upload);
        Ok(())
    }

    async fn copy(
        &self,
        source: &ObjectKey,
        target: &ObjectKey,
        condition: &Precondition,
    ) -> Result<Version, StoreError> {
        let mut contents = self.write();
        contents.check(Operation::Copy, target, condition)?;
        let Object { body, options, .. } = contents.find(Operation::Copy, source)?.clone();
        Ok(contents.store(target.clone(), body, options))
    }

    async fn delete(&self, key: &ObjectKey, version: Option<&Version>) -> Result<(), StoreError> {
        let mut contents = self.write();
        let object = contents.find(Operation::Delete, key)?;
        if version.is_some_and(|wanted| *wanted != object.version) {
            return Err(changed(Operation::Delete, key));
        }
        contents.objects.remove(key);
        Ok(())
    }
}
