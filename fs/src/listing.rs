//! One listing of one directory: as far as it has come, and who waits for more.
//!
//! Pages are asked for when a reader comes near the end of what is there, one at a time, so a reader that
//! stops costs one page at most. A listing is shared by everybody who reads the directory while it is fresh;
//! names keep their number for its life. Bound: it keeps at most `kept_max` names; beyond, the older half is
//! dropped, and who still needs them begins a listing of their own.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rfuse_block::ObjectKey;
use rfuse_store::{ListEntry, ListPage, ObjectMeta, StoreError, Token};
use tokio::sync::Notify;

use crate::child::{Child, FileMeta, Marker, What};
use crate::expiry::Moment;
use crate::gather::Gather;
use crate::name::{Place, place};

/// A listing of one directory.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The directory; empty for the root, else ending in `/`.
    pub(crate) prefix: ObjectKey,
    /// When it began: the store's answers are at least as new as this.
    pub(crate) begun: Moment,
    /// Objects that the flat listing had passed when it reached this directory; 0 for others.
    pub(crate) position: u64,
    kept_max: usize,
    state: Mutex<State>,
    changed: Notify,
    totals: Arc<Totals>,
}

/// What all listings of a mount add up to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Names kept now.
    kept: AtomicU64,
    /// Objects met that no path leads to, each directory counted once.
    unreachable: AtomicU64,
    /// The directories that were counted, [`REPORTS_MAX`] at most; later ones are neither counted nor logged.
    reported: Mutex<HashSet<ObjectKey>>,
}

/// Directories whose unreachable objects are counted and logged.
const REPORTS_MAX: usize = 1024;

#[derive(Debug)]
struct State {
    gather: Gather,
    phase: Phase,
    pages: u32,
    /// Names the last page brought.
    page_length: u64,
    /// What this listing has added to the common count.
    counted: usize,
}

#[derive(Clone, Debug)]
enum Phase {
    /// The next page starts here and nobody asks for it.
    Paused(Option<Token>),
    /// A page is on its way.
    Fetching,
    /// A flat listing fills it.
    Flat,
    Complete,
    Failed(Arc<StoreError>),
}

/// What a reader gets.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Names, the first with the number that was asked for.
    Names(Vec<Child>),
    /// There are no more.
    End,
    /// More will come.
    Wait,
    /// The names asked for were dropped.
    Dropped,
    /// The store failed.
    Failed(Arc<StoreError>),
}

/// What a listing knows about one name.
#[derive(Debug)]
pub(crate) enum Known {
    /// It is there.
    Here { what: What, learnt: Moment },
    /// It was not there when the listing began.
    Absent,
    /// The listing has not come so far, or no longer keeps it.
    Unknown,
}

impl Listing {
    /// An empty listing that will be asked for page by page.
    pub(crate) fn paged(prefix: ObjectKey, begun: Moment, kept_max: usize, totals: &Arc<Totals>) -> Arc<Self> {
        Arc::new(Self::begin(prefix, begun, kept_max, totals, Phase::Paused(None)))
    }

    /// An empty listing that a flat listing, which has passed `position` objects, will fill.
    pub(crate) fn flat(
        prefix: ObjectKey,
        begun: Moment,
        position: u64,
        kept_max: usize,
        totals: &Arc<Totals>,
    ) -> Arc<Self> {
        let mut listing = Self::begin(prefix, begun, kept_max, totals, Phase::Flat);
        listing.position = position;
        Arc::new(listing)
    }

    fn begin(prefix: ObjectKey, begun: Moment, kept_max: usize, totals: &Arc<Totals>, phase: Phase) -> Self {
        let state = State { gather: Gather::default(), phase, pages: 0, page_length: 0, counted: 0 };
        let (state, totals) = (Mutex::new(state), Arc::clone(totals));
        Self { prefix, begun, position: 0, kept_max, state, changed: Notify::new(), totals }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to `limit` names from number `from` on.
    pub(crate) fn take(&self, from: u64, limit: usize) -> Taken {
        let state = self.lock();
        match (state.gather.from(from), &state.phase) {
            (None, _) => Taken::Dropped,
            (Some([]), Phase::Complete) => Taken::End,
            (Some([]), Phase::Failed(error)) => Taken::Failed(Arc::clone(error)),
            (Some([]), _) => Taken::Wait,
            (Some(names), _) => Taken::Names(names[..limit.min(names.len())].to_vec()),
        }
    }

    /// What is known about `name`.
    pub(crate) fn find(&self, name: &[u8]) -> Known {
        let state = self.lock();
        match state.gather.find(name) {
            Some(child) => Known::Here { what: child.what.clone(), learnt: child.learnt },
            None if matches!(state.phase, Phase::Complete) && state.gather.is_whole() => Known::Absent,
            None => Known::Unknown,
        }
    }

    /// Corrects what is known about a name; whether it is listed here.
    pub(crate) fn correct(&self, name: &[u8], what: Option<&What>, learnt: Moment) -> bool {
        let mut state = self.lock();
        let Some(child) = state.gather.find_mut(name) else { return false };
        match what {
            Some(what) => (child.what, child.learnt) = (what.clone(), learnt),
            None => child.learnt = Moment::NEVER,
        }
        true
    }

    /// The number after the last name that is there so far.
    pub(crate) fn end(&self) -> u64 {
        self.lock().gather.end()
    }

    /// Takes on the next page if a reader at number `position` needs it and nobody fetches it; the page's
    /// token then.
    pub(crate) fn claim(&self, position: u64) -> Option<Option<Token>> {
        let mut state = self.lock();
        let needed = position + state.page_length >= state.gather.end();
        match &state.phase {
            Phase::Paused(token) if needed => {
                let token = token.clone();
                state.phase = Phase::Fetching;
                Some(token)
            }
            _ => None,
        }
    }

    /// Takes in the page that was claimed, learnt at `now`.
    pub(crate) fn land(&self, page: Result<ListPage, Arc<StoreError>>, now: Moment) {
        let mut state = self.lock();
        match page {
            Ok(page) => {
                let before = state.gather.end();
                self.gather(&mut state.gather, &page.entries, now);
                state.pages += 1;
                state.phase = page.next.map_or(Phase::Complete, |token| Phase::Paused(Some(token)));
                if matches!(state.phase, Phase::Complete) {
                    state.gather.finish();
                }
                state.page_length = state.gather.end() - before;
            }
            Err(error) => state.phase = Phase::Failed(error),
        }
        self.settle(state);
    }

    fn gather(&self, gather: &mut Gather, entries: &[ListEntry], now: Moment) {
        for entry in entries {
            // A store that answers with names outside what was asked is not followed there.
            let Some(rest) = entry.key().as_bytes().strip_prefix(self.prefix.as_bytes()) else { continue };
            let meta = match entry {
                ListEntry::Object(meta) => Some(meta),
                ListEntry::Prefix(_) => None,
            };
            add(gather, rest, meta, now);
        }
    }

    /// Takes in one entry of a flat listing, `meta` being none for a directory that could not be listed: `rest`
    /// is its key after this directory's prefix.
    pub(crate) fn add(&self, rest: &[u8], meta: Option<&ObjectMeta>, now: Moment) {
        let mut state = self.lock();
        add(&mut state.gather, rest, meta, now);
    }

    /// The flat listing has left this directory.
    pub(crate) fn complete(&self) {
        let mut state = self.lock();
        state.gather.finish();
        state.phase = Phase::Complete;
        state.page_length = state.gather.end();
        self.settle(state);
    }

    /// Keeps the bounds, counts, and wakes who waits.
    fn settle(&self, mut state: MutexGuard<'_, State>) {
        if state.gather.kept() > self.kept_max {
            state.gather.drop_older_half();
        }
        let (before, now) = (state.counted, state.gather.kept());
        state.counted = now;
        let unreachable = if matches!(state.phase, Phase::Complete) { state.gather.unreachable() } else { 0 };
        drop(state);
        self.totals.kept.fetch_add(now as u64, Ordering::Relaxed);
        self.totals.kept.fetch_sub(before as u64, Ordering::Relaxed);
        self.totals.report(&self.prefix, unreachable);
        self.changed.notify_waiters();
    }

    /// Waits for the next page, if one is on its way.
    pub(crate) async fn wait_for_page(&self) {
        let mut changed = std::pin::pin!(self.changed.notified());
        changed.as_mut().enable();
        if self.is_fetching() {
            changed.await;
        }
    }

    /// Whether a page is on its way.
    pub(crate) fn is_fetching(&self) -> bool {
        matches!(self.lock().phase, Phase::Fetching)
    }

    /// Whether a new reader should use it: not failed, nothing dropped, not in the hands of a flat listing.
    pub(crate) fn is_usable(&self) -> bool {
        let state = self.lock();
        state.gather.is_whole() && !matches!(state.phase, Phase::Failed(_) | Phase::Flat)
    }

    /// Pages fetched so far.
    pub(crate) fn pages(&self) -> u32 {
        self.lock().pages
    }

    /// The directory's own marker, if there is one and it was listed.
    pub(crate) fn marker(&self) -> Option<Marker> {
        self.lock().gather.marker().cloned()
    }

    /// Whether the directory turned out to have nothing, not even a marker.
    pub(crate) fn is_gone(&self) -> bool {
        let state = self.lock();
        matches!(state.phase, Phase::Complete) && !state.gather.exists()
    }

    /// Whether `name` is the first directory listed here.
    pub(crate) fn is_first_directory(&self, name: &[u8]) -> bool {
        self.lock().gather.first_directory() == Some(name)
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        let counted = self.lock().counted as u64;
        self.totals.kept.fetch_sub(counted, Ordering::Relaxed);
    }
}

impl Totals {
    /// Names kept now.
    pub(crate) fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Objects met that no path leads to.
    pub(crate) fn unreachable(&self) -> u64 {
        self.unreachable.load(Ordering::Relaxed)
    }

    /// Counts and logs the unreachable objects of a directory, once.
    fn report(&self, directory: &ObjectKey, unreachable: u64) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if unreachable == 0 || reported.len() >= REPORTS_MAX || !reported.insert(directory.clone()) {
            return;
        }
        drop(reported);
        self.unreachable.fetch_add(unreachable, Ordering::Relaxed);
        tracing::warn!(
            %directory,
            objects = unreachable,
            "objects here cannot be reached as files: their names have a part that is empty, `.`, `..`, longer than \
             255 bytes or holds a NUL, or a directory has the same name; rename them in the store"
        );
    }
}

/// Adds the key whose bytes after the directory's prefix are `rest`.
fn add(gather: &mut Gather, rest: &[u8], meta: Option<&ObjectMeta>, learnt: Moment) {
    match (place(rest), meta) {
        (Place::Itself, Some(meta)) => gather.take_marker(meta.size, Marker::of(meta)),
        (Place::Itself, None) => {}
        (Place::Nowhere(part), _) => gather.nowhere(part),
        (Place::Below(name), meta) => {
            let is_marker = rest.len() == name.len() + 1;
            gather.directory(name, meta.filter(|_| is_marker).map(Marker::of), learnt);
        }
        (Place::Here(name), Some(meta)) if meta.is_directory => gather.directory(name, Some(Marker::of(meta)), learnt),
        (Place::Here(name), Some(meta)) => {
            let what = What::File(FileMeta::of(meta, gather.last_content_type()));
            gather.file(Child { name: name.into(), what, learnt });
        }
        // A prefix always ends in `/`; one that does not is not ours to guess at.
        (Place::Here(_), None) => {}
    }
}
