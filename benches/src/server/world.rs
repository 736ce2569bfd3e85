//! What the server has: objects, and uploads under way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::answer::Refusal;
use super::catalogue::{Catalogue, Object};
use super::content::Content;
use super::request::{Condition, Source};
use super::upload::Uploads;

/// Bytes that are no generated ones, at most, over all objects and uploads; more is refused as a full store does.
const KEPT_MAX: u64 = 512 << 20;

/// See above.
#[derive(Debug)]
pub(super) struct World {
    catalogue: RwLock<Catalogue>,
    uploads: Mutex<Uploads>,
    kept: Arc<AtomicU64>,
    writes: AtomicU64,
}

impl World {
    pub(super) fn new(catalogue: Catalogue) -> Self {
        let catalogue = RwLock::new(catalogue);
        Self { catalogue, uploads: Mutex::default(), kept: Arc::default(), writes: AtomicU64::new(0) }
    }

    pub(super) fn catalogue(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that have to be kept.
    pub(super) fn kept(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.kept)
    }

    /// Makes an object where `condition` holds; its tag.
    pub(super) fn write(
        &self,
        bucket: &str,
        name: &str,
        content: Content,
        condition: &Condition,
    ) -> Result<String, Refusal> {
        self.check_room()?;
        let mut catalogue = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        catalogue.objects(bucket).ok_or(Refusal::NoBucket)?;
        check(catalogue.object(bucket, name), condition)?;
        catalogue.put(bucket, name, content, self.writes.fetch_add(1, Ordering::Relaxed) + 1);
        catalogue.object(bucket, name).map(|object| object.tag(0)).ok_or(Refusal::Internal)
    }

    /// Takes an object away where `condition` holds.
    pub(super) fn delete(&self, bucket: &str, name: &str, condition: &Condition) -> Result<(), Refusal> {
        let mut catalogue = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        check(catalogue.object(bucket, name), condition)?;
        if catalogue.remove(bucket, name) { Ok(()) } else { Err(Refusal::NoObject) }
    }

    /// The bytes that a copy is made of, if the object still has the tag that is asked for.
    pub(super) fn read(&self, source: &Source, tag: Option<&str>) -> Result<Content, Refusal> {
        let catalogue = self.catalogue();
        let object = catalogue.object(&source.bucket, &source.name).ok_or(Refusal::NoObject)?;
        if tag.is_some_and(|tag| tag != object.tag(0)) {
            return Err(Refusal::Changed);
        }
        match &source.range {
            Some(range) if range.end > object.size || range.is_empty() => Err(Refusal::PastEnd),
            Some(range) => Ok(object.content.slice(range)),
            None => Ok((*object.content).clone()),
        }
    }

    /// Whether more may be written.
    pub(super) fn check_room(&self) -> Result<(), Refusal> {
        if self.kept.load(Ordering::Relaxed) > KEPT_MAX { Err(Refusal::Full) } else { Ok(()) }
    }
}

fn check(object: Option<&Object>, condition: &Condition) -> Result<(), Refusal> {
    match (condition, object) {
        (Condition::None, _) | (Condition::Absent, None) => Ok(()),
        (Condition::Absent, Some(_)) => Err(Refusal::Exists),
        (Condition::Tag(tag), Some(object)) if *tag == object.tag(0) => Ok(()),
        (Condition::Tag(_), _) => Err(Refusal::Changed),
    }
}
