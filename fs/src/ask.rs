//! Questions to the store about one name: at most one at a time for each, with many waiters.
//!
//! A name can be an object, a directory, both or nothing. One LIST of what begins with the name, up to the
//! next `/`, answers all of that in one request, attributes included: the object comes first, and `name/`
//! before anything that sorts after it. Only where so many siblings begin with the name and sort before the
//! `/` (`a-1`, `a.x`) that they fill the short page does a second LIST ask for `name/` alone. HEAD and LIST in
//! parallel would always be two requests. A known file is asked for again by HEAD, which costs a tenth.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use rfuse_block::ObjectKey;
use rfuse_store::{ListEntry, ListPage, ListRequest, ObjectMeta, Operation, StoreError, StoreErrorKind, Urgency};

use crate::child::{FileMeta, Marker, What};
use crate::directories::Found;
use crate::expiry::Moment;
use crate::inodes::Node;
use crate::listing::Listing;
use crate::{FileSystem, FsError, Inode, lock, name};

/// What the store said, and when it was asked.
type Told = Result<(Option<What>, Moment), Arc<StoreError>>;

/// A question under way, with any number of waiters; dropped by the last of them, it is not asked any more.
type Waiting = Shared<BoxFuture<'static, Told>>;
type WeakWaiting = WeakShared<BoxFuture<'static, Told>>;

/// The questions under way. Bound: one for each waiting request of the kernel.
#[derive(Debug, Default)]
pub(crate) struct Asking(Mutex<HashMap<(ObjectKey, Question), WeakWaiting>>);

/// How to ask.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Question {
    /// What, if anything, has this name?
    What,
    /// What is known of this object?
    Object,
}

/// Entries of the page that answers what a name is.
const PAGE: u32 = 8;

/// Names of a directory that are asked for one by one before the directory is listed instead.
const PROBES_BEFORE_LISTING: usize = 2;

/// Pages listed on behalf of look-ups; in a larger directory names further on are asked for one by one.
const PAGES_FOR_LOOKUPS: u32 = 10;

impl FileSystem {
    /// Finds out what `name` in the directory of `prefix` is, once memory does not know. From the third such
    /// name on the directory is listed as well, and the page under way is waited for first.
    pub(crate) async fn find_out(self: &Arc<Self>, prefix: &ObjectKey, name: &[u8], probed: usize) -> Told {
        let now = self.clock.now();
        let listing = match probed < PROBES_BEFORE_LISTING {
            true => self.directories.listing(prefix, now),
            false => Some(self.directories.listing_or_begin(prefix, now)),
        };
        if let Some(listing) = listing.filter(|listing| listing.pages() < PAGES_FOR_LOOKUPS)
            && let Some(found) = self.wait_for_listing(&listing, name).await
        {
            return Ok(found);
        }
        self.ask(prefix, name, Question::What).await
    }

    async fn wait_for_listing(self: &Arc<Self>, listing: &Arc<Listing>, name: &[u8]) -> Option<(Option<What>, Moment)> {
        self.pull(listing, listing.end());
        listing.wait_for_page().await;
        match self.directories.find(&listing.prefix, name, self.clock.now()) {
            Found::Here { what, learnt } => Some((Some(what), learnt)),
            Found::Absent { learnt } => Some((None, learnt)),
            Found::Unknown { .. } => None,
        }
    }

    /// Whether what is known of the node is still believed, after a look at what listings say.
    pub(crate) fn is_fresh(&self, node: &Node) -> bool {
        let (now, ttl) = (self.clock.now(), self.config.metadata_ttl);
        if node.inode == Inode::ROOT || node.state().learnt.fresh(now, ttl).is_some() {
            return true;
        }
        let Some((prefix, name)) = node.place() else { return true };
        match self.directories.find(&prefix, &name, now) {
            Found::Here { what, learnt } if matches!(what, What::Directory(_)) == node.is_directory => {
                node.learn(&what, learnt);
                true
            }
            _ => false,
        }
    }

    /// Asks the store what the node is now.
    ///
    /// # Errors
    /// `NotFound` if it is no more, or is a directory instead of a file or the other way round.
    pub(crate) async fn refresh(self: &Arc<Self>, node: &Arc<Node>) -> Result<(), FsError> {
        let Some((prefix, name)) = node.place() else { return Ok(()) };
        let question = if node.is_directory { Question::What } else { Question::Object };
        let (what, learnt) = self.ask(&prefix, &name, question).await?;
        match what {
            Some(what) if matches!(what, What::Directory(_)) == node.is_directory => {
                node.learn(&what, learnt);
                Ok(())
            }
            _ => {
                node.doubt();
                Err(FsError::NotFound)
            }
        }
    }

    /// Asks the object of a file by HEAD, which alone tells some stores' metadata.
    pub(crate) async fn ask_object(self: &Arc<Self>, node: &Arc<Node>) -> Result<Option<FileMeta>, FsError> {
        let Some((prefix, name)) = node.place() else { return Ok(None) };
        match self.ask(&prefix, &name, Question::Object).await?.0 {
            Some(What::File(meta)) => Ok(Some(meta)),
            _ => Ok(None),
        }
    }

    fn ask(self: &Arc<Self>, prefix: &ObjectKey, name: &[u8], question: Question) -> Waiting {
        let key = (name::file_key(prefix, name), question);
        let mut asking = lock(&self.asking.0);
        if let Some(shared) = asking.get(&key).and_then(WeakWaiting::upgrade) {
            return shared;
        }
        asking.retain(|_, weak| weak.upgrade().is_some());
        let (fs, prefix, name, id) = (Arc::clone(self), prefix.clone(), Box::<[u8]>::from(name), key.clone());
        let told = async move {
            let learnt = fs.clock.now();
            let told = match question {
                Question::What => fs.ask_what(&id.0).await,
                Question::Object => fs.ask_head(&id.0).await,
            };
            match (&told, question) {
                // HEAD of a name that became a directory finds nothing; the next lookup will ask anew.
                (Ok(None), Question::Object) => fs.directories.doubt(&prefix, &name),
                (Ok(what), _) => fs.directories.learn(&prefix, &name, what.as_ref(), learnt),
                (Err(_), _) => {}
            }
            lock(&fs.asking.0).remove(&id);
            told.map(|what| (what, learnt)).map_err(Arc::new)
        };
        let shared = told.boxed().shared();
        if let Some(weak) = shared.downgrade() {
            asking.insert(key, weak);
        }
        shared
    }

    async fn ask_head(&self, key: &ObjectKey) -> Result<Option<What>, StoreError> {
        match self.store.head(key).await {
            Ok(meta) => Ok(Some(what_of(&meta))),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ask_what(&self, key: &ObjectKey) -> Result<Option<What>, StoreError> {
        let page = match self.first_entries(key, true, PAGE).await {
            // A credential that may read but not list still reaches the files it knows by name.
            Err(error) if error.kind == StoreErrorKind::Denied => {
                return self.ask_head(key).await.map_err(|_| error);
            }
            other => other?,
        };
        let directory = key.join(b"/");
        match read_page(&page, key, &directory) {
            Reading::Decided(what) => Ok(what),
            Reading::Undecided(file) => {
                let page = self.first_entries(&directory, false, 1).await?;
                Ok(match page.entries.first() {
                    Some(ListEntry::Object(meta)) if meta.key == directory => {
                        Some(What::Directory(Some(Marker::of(meta))))
                    }
                    Some(_) => Some(What::Directory(None)),
                    None => file,
                })
            }
        }
    }

    /// The first page with an entry in it; a store may send empty ones.
    async fn first_entries(&self, prefix: &ObjectKey, delimited: bool, limit: u32) -> Result<ListPage, StoreError> {
        let mut token = None;
        // A store that sends this many empty pages is broken; 1,000 bounds what it costs.
        for _ in 0..1000 {
            let request =
                ListRequest { prefix, delimited, token: token.as_ref(), limit: Some(limit), urgency: Urgency::Demand };
            let page = self.store.list(request).await?;
            if !page.entries.is_empty() || page.next.is_none() {
                return Ok(page);
            }
            token = page.next;
        }
        Err(StoreError::new(StoreErrorKind::Malformed, Operation::List, "the store sends nothing but empty pages"))
    }
}

/// What a page says about a name.
#[derive(PartialEq, Eq, Debug)]
enum Reading {
    Decided(Option<What>),
    /// It may be a directory still; else it is this.
    Undecided(Option<What>),
}

/// Reads the page of names that begin with `key`; `directory` is the key with a `/`.
fn read_page(page: &ListPage, key: &ObjectKey, directory: &ObjectKey) -> Reading {
    let mut file = None;
    let mut is_past = page.next.is_none();
    for entry in &page.entries {
        match entry {
            ListEntry::Object(meta) if meta.key == *key => match what_of(meta) {
                what @ What::Directory(_) => return Reading::Decided(Some(what)),
                what @ What::File(_) => file = Some(what),
            },
            ListEntry::Object(meta) if meta.key == *directory => {
                return Reading::Decided(Some(What::Directory(Some(Marker::of(meta)))));
            }
            other if other.key() == directory => return Reading::Decided(Some(What::Directory(None))),
            other => is_past |= other.key() > directory,
        }
    }
    if is_past { Reading::Decided(file) } else { Reading::Undecided(file) }
}

fn what_of(meta: &ObjectMeta) -> What {
    if meta.is_directory { What::Directory(Some(Marker::of(meta))) } else { What::File(FileMeta::of(meta, None)) }
}
