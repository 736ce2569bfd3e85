//! The questions every store is asked, and must answer the same way (feature `testing`).
//!
//! [`conformance!`](crate::conformance!) makes one test a question, so that a failing one is named. A store
//! says in [`Abilities`] what it cannot do by its nature; a question about that is then skipped aloud. A
//! question panics when the answer is wrong: it is a test that several stores share.

#![expect(clippy::unwrap_used, reason = "a question is a test: a wrong answer must panic")]

mod listing;
mod names;
mod reading;
mod writing;

use std::sync::Arc;

use bytes::Bytes;
use rfuse_block::{ByteRange, ObjectKey, Version};

pub use self::listing::*;
pub use self::names::*;
pub use self::reading::*;
pub use self::writing::*;
use crate::{
    Get, Landing, ListEntry, ListRequest, Precondition, PutOptions, Store, StoreError, StoreErrorKind, Urgency,
};

/// What a store can do; the default is everything.
#[derive(Clone, Debug)]
pub struct Abilities {
    /// Listings carry the metadata of the objects (not S3, not a local directory).
    pub lists_metadata: bool,
    /// The deletion of what is not there is `NotFound` (not S3).
    pub misses_the_deleted: bool,
    /// A deletion may be of one version only.
    pub deletes_versions: bool,
    /// A copy may have a precondition.
    pub copies_under_conditions: bool,
    /// Parts may be made of bytes of other objects.
    pub copies_parts: bool,
    /// Bytes a part has at least, unless it is the last one (5 MiB on S3).
    pub part_min: usize,
    /// Names that no path can say are kept apart or refused. Not by a server that keeps objects as files and
    /// takes `a//b` for `a/b`: what has left us in two requests it makes one of.
    pub holds_or_refuses_odd_paths: bool,
    /// An object and what lies below its name are both listed, or the second is refused (not MinIO, which takes it
    /// and lists it no more).
    pub lists_below_objects: bool,
    /// Kinds of error by which it refuses a name it cannot hold; `BadName` should do.
    pub name_refusals: Vec<StoreErrorKind>,
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            lists_metadata: true,
            misses_the_deleted: true,
            deletes_versions: true,
            copies_under_conditions: true,
            copies_parts: true,
            part_min: 1,
            holds_or_refuses_odd_paths: true,
            lists_below_objects: true,
            name_refusals: vec![StoreErrorKind::BadName],
        }
    }
}

/// An empty store that is asked one question.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The store, empty.
    pub store: Arc<dyn Store>,
    /// What it can do.
    pub abilities: Abilities,
    /// The same store, asked for a container that does not exist; none where there is no such thing.
    pub without_container: Option<Arc<dyn Store>>,
    /// Whatever must live as long as the store, such as its directory.
    pub keep: Option<Arc<dyn Send + Sync + KeepAlive>>,
}

/// Anything that is kept until the question is answered.
pub trait KeepAlive: std::fmt::Debug {}

impl<T: std::fmt::Debug> KeepAlive for T {}

impl Subject {
    /// A store that can do everything and has no containers.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, abilities: Abilities::default(), without_container: None, keep: None }
    }

    /// Whether to go on; says so when the store cannot do what is asked.
    fn can(&self, ability: bool, what: &str) -> bool {
        if !ability {
            report(&format!("SKIPPED: this store does not {what}"));
        }
        ability
    }

    async fn put(&self, key: &str, body: impl Into<Bytes>) -> Version {
        self.try_put(&key.into(), body.into(), &Precondition::None).await.unwrap()
    }

    async fn try_put(&self, key: &ObjectKey, body: Bytes, condition: &Precondition) -> Result<Version, StoreError> {
        self.store.put(key, body, condition, &PutOptions::default()).await
    }

    async fn read(&self, key: &str, start: u64, end: u64) -> Result<Vec<u8>, StoreError> {
        self.read_version(&key.into(), None, start, end).await
    }

    async fn read_version(
        &self,
        key: &ObjectKey,
        version: Option<&Version>,
        start: u64,
        end: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let range = ByteRange::new(start, end);
        let mut bytes = vec![0; (end - start) as usize];
        let mut landing = Landing::one(&mut bytes);
        let get = Get { key, version, range, urgency: Urgency::Demand };
        let fetched = self.store.get(get, &mut landing).await?;
        assert_eq!(landing.missing(), 0, "the answer is a success, so every byte has landed");
        assert!(version.is_none_or(|wanted| *wanted == fetched.version), "the version is the one asked for");
        assert!(end <= fetched.object_size, "the object has the bytes read");
        drop(landing);
        Ok(bytes)
    }

    /// The whole content of an object of this size.
    async fn content(&self, key: &ObjectKey) -> Result<Vec<u8>, StoreError> {
        let meta = self.store.head(key).await?;
        if meta.size == 0 { Ok(Vec::new()) } else { self.read_version(key, Some(&meta.version), 0, meta.size).await }
    }

    /// Every page of a listing: the entries of each.
    async fn pages(&self, prefix: &ObjectKey, delimited: bool, limit: Option<u32>) -> Vec<Vec<ListEntry>> {
        let (mut pages, mut token) = (Vec::new(), None);
        loop {
            let token_now = token.as_ref();
            let request = ListRequest { prefix, delimited, token: token_now, limit, urgency: Urgency::Demand };
            let page = self.store.list(request).await.unwrap();
            pages.push(page.entries);
            assert!(pages.len() < 1000, "a listing ends");
            match page.next {
                Some(next) => token = Some(next),
                None => return pages,
            }
        }
    }

    /// The names of a listing, as text.
    async fn names(&self, prefix: &str, delimited: bool, limit: Option<u32>) -> Vec<String> {
        let entries = self.pages(&prefix.into(), delimited, limit).await.concat();
        entries.iter().map(|entry| String::from_utf8_lossy(entry.key().as_bytes()).into_owned()).collect()
    }
}

#[expect(clippy::print_stderr, reason = "a skipped question must be seen")]
fn report(text: &str) {
    eprintln!("{text}");
}

fn kind<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> StoreErrorKind {
    answer.unwrap_err().kind
}

/// Makes a module of tests, one a question: `conformance!(NAME, FUTURE)`, where the future gives an
/// `Option<Subject>`, none where the store is not to be had here.
#[macro_export]
macro_rules! conformance {
    ($store:ident, $subject:expr) => {
        mod $store {
            use super::*;
            $crate::conformance!(@ask $subject;
                exact_ranges_are_delivered,
                a_whole_object_is_delivered,
                many_buffers_are_filled_in_order,
                a_large_range_is_delivered,
                an_empty_object_has_no_bytes,
                a_range_past_the_end_is_told,
                a_range_over_the_end_is_cut,
                another_version_is_changed,
                a_replaced_object_is_changed,
                what_is_not_there_is_not_found,
                what_was_put_is_known,
                a_missing_container_is_told,
                listings_are_in_byte_order,
                pages_together_are_the_listing,
                a_limit_is_kept,
                names_are_rolled_up_at_the_delimiter,
                a_prefix_need_not_end_in_a_delimiter,
                an_empty_listing_is_no_error,
                listed_metadata_is_that_of_the_object,
                a_name_that_is_odd_in_a_url_is_kept_exactly_or_refused,
                a_name_that_is_odd_as_a_path_is_kept_exactly_or_refused,
                an_object_and_a_prefix_of_one_name_are_both_there_or_refused,
                long_names_are_kept_exactly_or_refused,
                metadata_survives,
                a_put_replaces_what_is_there,
                absent_protects_what_is_there,
                matches_protects_another_version,
                an_upload_is_its_parts_in_order,
                an_upload_is_invisible_until_it_is_complete,
                an_upload_given_up_leaves_nothing,
                an_upload_keeps_its_condition,
                a_part_may_be_copied,
                a_copy_is_the_same,
                a_copy_keeps_its_condition,
                what_was_deleted_is_not_there,
                a_deletion_is_of_one_version,
            );
        }
    };
    (@ask $subject:expr; $($question:ident,)*) => {
        $(
            #[tokio::test]
            async fn $question() {
                let Some(subject) = $subject.await else { return };
                $crate::conformance::$question(&subject).await;
            }
        )*
    };
}
