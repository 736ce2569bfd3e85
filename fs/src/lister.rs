//! Fetches pages of listings, and decides whether a directory is listed alone or in a walk.

use std::sync::Arc;

use rfuse_block::ObjectKey;
use rfuse_store::{ListPage, ListRequest, Operation, StoreError, StoreErrorKind, Token, Urgency};

use crate::flat::{Flat, Prospect};
use crate::listing::Listing;
use crate::walk::Decision;
use crate::{FileSystem, lock, name};

/// Objects that a flat listing runs ahead of the walker: ten pages of S3, two of Azure. What a walk that
/// never was one costs at most.
const AHEAD_MAX: u64 = 10_000;

/// Flat listings at a time; the oldest is given up for a fifth.
const FLATS_MAX: usize = 4;

/// Where a directory's names will come from.
pub(crate) enum Source {
    /// From this listing.
    Listing(Arc<Listing>),
    /// Perhaps from this flat listing, after its next page.
    Flat(Arc<Flat>),
}

impl FileSystem {
    /// Asks for the next page of `listing` if a reader at number `position` needs it.
    pub(crate) fn pull(self: &Arc<Self>, listing: &Arc<Listing>, position: u64) {
        let Some(token) = listing.claim(position) else { return };
        let (fs, listing) = (Arc::clone(self), Arc::clone(listing));
        self.runtime.spawn(async move {
            let now = fs.clock.now();
            let page = fs.page(&listing.prefix, true, token.as_ref(), Urgency::Demand).await;
            listing.land(page.map_err(Arc::new), now);
            fs.directories.keep_bound();
        });
    }

    /// Where the names of the directory, which is being opened, come from.
    pub(crate) fn source(self: &Arc<Self>, prefix: &ObjectKey) -> Source {
        let now = self.clock.now();
        let is_first = name::split(prefix.as_bytes())
            .is_some_and(|(parent, name)| self.directories.is_first_directory(&ObjectKey::new(parent), name));
        let listing = self.directories.listing(prefix, now);
        let decision = lock(&self.walker).opened(prefix, is_first, listing.is_some(), now);
        // Names that are believed for less than it takes to walk are not worth listing ahead.
        if let Decision::Walk(root) = decision
            && self.config.metadata_ttl.as_secs() >= 1
        {
            self.begin_flat(root);
        }
        let flat = self.flat_over(prefix);
        if let (Some(flat), Some(listing)) = (&flat, &listing) {
            flat.follow(listing.position);
        }
        if let Some(flat) = &flat {
            self.pull_flat(flat);
        }
        match (listing, flat) {
            (Some(listing), _) => Source::Listing(listing),
            (None, Some(flat)) if flat.prospect(prefix) == Prospect::Near => Source::Flat(flat),
            (None, _) => Source::Listing(self.directories.listing_or_begin(prefix, now)),
        }
    }

    /// The listing of the directory, after the flat listing's next page came or did not.
    pub(crate) async fn after_flat(self: &Arc<Self>, prefix: &ObjectKey, flat: &Arc<Flat>) -> Arc<Listing> {
        flat.wait_for_page().await;
        let now = self.clock.now();
        match self.directories.listing(prefix, now) {
            Some(listing) => {
                flat.follow(listing.position);
                self.pull_flat(flat);
                listing
            }
            None => self.directories.listing_or_begin(prefix, now),
        }
    }

    fn begin_flat(&self, root: ObjectKey) {
        let ahead_max = AHEAD_MAX.min(self.config.entries_max as u64 / 4);
        let mut flats = lock(&self.flats);
        flats.retain(|flat| !flat.is_over());
        if flats.iter().any(|flat| flat.root == root) {
            return;
        }
        if flats.len() == FLATS_MAX {
            flats.remove(0).give_up();
        }
        tracing::debug!(directory = %root, "a walk: listing flat");
        flats.push(Flat::new(root, ahead_max));
    }

    /// The innermost flat listing that the directory lies in.
    fn flat_over(&self, prefix: &ObjectKey) -> Option<Arc<Flat>> {
        let flats = lock(&self.flats);
        let over = flats.iter().filter(|flat| {
            !flat.is_over() && flat.root != *prefix && prefix.as_bytes().starts_with(flat.root.as_bytes())
        });
        over.max_by_key(|flat| flat.root.as_bytes().len()).cloned()
    }

    /// Lets a flat listing go on as far as it may.
    fn pull_flat(self: &Arc<Self>, flat: &Arc<Flat>) {
        let Some(mut token) = flat.claim() else { return };
        let (fs, flat) = (Arc::clone(self), Arc::clone(flat));
        self.runtime.spawn(async move {
            loop {
                let now = fs.clock.now();
                match fs.page(&flat.root, false, token.as_ref(), Urgency::Demand).await {
                    Ok(page) => {
                        flat.land(&page, now, |prefix, position| fs.directories.begin_flat(prefix, now, position));
                    }
                    Err(error) => {
                        // Nothing is lost: the walker lists by directory, and hears of errors there.
                        tracing::debug!(directory = %flat.root, %error, "flat listing given up");
                        flat.give_up();
                    }
                }
                fs.directories.keep_bound();
                match flat.claim() {
                    Some(next) => token = next,
                    None => break,
                }
            }
        });
    }

    /// One page, within the deadline, so that nobody waits for ever on a page that never comes.
    async fn page(
        &self,
        prefix: &ObjectKey,
        delimited: bool,
        token: Option<&Token>,
        urgency: Urgency,
    ) -> Result<ListPage, StoreError> {
        let request = ListRequest { prefix, delimited, token, limit: None, urgency };
        tokio::time::timeout(self.config.deadline, self.store.list(request)).await.unwrap_or_else(|_| {
            let text = format!("no page of a listing within {:?}", self.config.deadline);
            Err(StoreError::new(StoreErrorKind::TimedOut, Operation::List, text))
        })
    }
}
