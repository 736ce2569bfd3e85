//! What is remembered of directories: their listings, and names asked for one by one.
//!
//! Bound: about `entries_max` names over all directories. Above it the directories used longest ago are
//! forgotten until an eighth is free; they are simply listed again when they are needed. Listings that open
//! handles read from stay until those close.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rfuse_block::ObjectKey;
use rfuse_config::FsConfig;

use crate::child::{Marker, What};
use crate::expiry::Moment;
use crate::listing::{Known, Listing, Totals};

/// The directories that something is known of.
#[derive(Debug)]
pub(crate) struct Directories {
    metadata_ttl: Duration,
    negative_ttl: Duration,
    entries_max: usize,
    totals: Arc<Totals>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    directories: HashMap<ObjectKey, Directory>,
    /// Names asked for one by one, over all directories.
    probed: usize,
    tick: u64,
}

#[derive(Debug, Default)]
struct Directory {
    listing: Option<Arc<Listing>>,
    probes: HashMap<Box<[u8]>, Probe>,
    /// When it was used last, in ticks of the table.
    used: u64,
    /// When a name in it was last changed by this mount: what was listed before is not what it holds.
    changed: Moment,
    /// When this mount last gave it a name or took one away, which is its time of last write from then on.
    touched: Option<SystemTime>,
}

#[derive(Clone, Debug)]
struct Probe {
    /// None: there is no such name.
    what: Option<What>,
    learnt: Moment,
}

/// What is known about a name, and still believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// It is there.
    Here { what: What, learnt: Moment },
    /// It was not there then.
    Absent { learnt: Moment },
    /// The store has to be asked.
    Unknown {
        /// Names of this directory that were asked for one by one and are still believed.
        probed: usize,
    },
}

impl Directories {
    pub(crate) fn new(config: &FsConfig) -> Self {
        Self {
            metadata_ttl: config.metadata_ttl,
            negative_ttl: config.negative_ttl,
            entries_max: config.entries_max.max(1),
            totals: Arc::default(),
            table: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of `name` in the directory of `prefix`.
    pub(crate) fn find(&self, prefix: &ObjectKey, name: &[u8], now: Moment) -> Found {
        let mut table = self.lock();
        let Some(directory) = table.used(prefix) else { return Found::Unknown { probed: 0 } };
        let mut found = Found::Unknown { probed: directory.probes.len() };
        let mut newest = Moment::NEVER;
        if let Some(listing) = &directory.listing {
            match listing.find(name) {
                Known::Here { what, learnt } if learnt.fresh(now, self.metadata_ttl).is_some() => {
                    newest = learnt;
                    found = Found::Here { what, learnt };
                }
                Known::Absent if listing.begun.fresh(now, self.negative_ttl).is_some() => {
                    newest = listing.begun;
                    found = Found::Absent { learnt: newest };
                }
                _ => {}
            }
        }
        match directory.probes.get(name) {
            // Changed here, and not believed since.
            Some(Probe { learnt: Moment::NEVER, .. }) => found = Found::Unknown { probed: 0 },
            Some(Probe { what, learnt }) if *learnt >= newest => match what {
                Some(what) if learnt.fresh(now, self.metadata_ttl).is_some() => {
                    found = Found::Here { what: what.clone(), learnt: *learnt };
                }
                None if learnt.fresh(now, self.negative_ttl).is_some() => found = Found::Absent { learnt: *learnt },
                _ => {}
            },
            _ => {}
        }
        found
    }

    /// Remembers what the store said about one name.
    pub(crate) fn learn(&self, prefix: &ObjectKey, name: &[u8], what: Option<&What>, learnt: Moment) {
        let mut table = self.lock();
        // What was asked before the last change of ours may be about what was there before it.
        if table.directories.get(prefix).is_some_and(|directory| learnt < directory.changed) {
            return;
        }
        self.note(&mut table, prefix, name, what, learnt);
    }

    fn note(&self, table: &mut Table, prefix: &ObjectKey, name: &[u8], what: Option<&What>, learnt: Moment) {
        table.tick += 1;
        let tick = table.tick;
        let directory = table.directories.entry(prefix.clone()).or_default();
        directory.used = tick;
        let is_listed = directory.listing.as_ref().is_some_and(|listing| listing.correct(name, what, learnt));
        if is_listed && what.is_some() {
            if directory.probes.remove(name).is_some() {
                table.probed -= 1;
            }
            return;
        }
        let probe = Probe { what: what.cloned(), learnt };
        if directory.probes.insert(name.into(), probe).is_none() {
            table.probed += 1;
        }
        self.trim(table);
    }

    /// Notes that this mount has changed a name; what it is now is believed as learnt at `learnt`.
    pub(crate) fn change(&self, prefix: &ObjectKey, name: &[u8], what: Option<&What>, learnt: Moment, now: Moment) {
        let mut table = self.lock();
        self.note(&mut table, prefix, name, what, learnt);
        if let Some(directory) = table.directories.get_mut(prefix) {
            directory.changed = directory.changed.max(now);
        }
    }

    /// Whether this mount has changed a name since the listing began, so that it must not be read from the
    /// beginning again.
    pub(crate) fn is_overtaken(&self, listing: &Listing) -> bool {
        let table = self.lock();
        table.directories.get(&listing.prefix).is_some_and(|directory| listing.begun <= directory.changed)
    }

    /// Nothing is known of the directories in or below `prefix` any more.
    pub(crate) fn forget_below(&self, prefix: &ObjectKey) {
        let mut table = self.lock();
        let below = |key: &ObjectKey| key.as_bytes().starts_with(prefix.as_bytes());
        let gone: usize =
            table.directories.iter().filter(|(key, _)| below(key)).map(|(_, directory)| directory.probes.len()).sum();
        table.directories.retain(|key, _| !below(key));
        table.probed -= gone;
    }

    /// Whatever is known about one name is no longer believed.
    pub(crate) fn doubt(&self, prefix: &ObjectKey, name: &[u8]) {
        let mut table = self.lock();
        let Some(directory) = table.directories.get_mut(prefix) else { return };
        if let Some(listing) = &directory.listing {
            listing.correct(name, None, Moment::NEVER);
        }
        // Not forgotten: a listing from before this mount made the name would have it that there is none.
        if let Some(probe) = directory.probes.get_mut(name) {
            *probe = Probe { what: None, learnt: Moment::NEVER };
        }
    }

    /// The listing of the directory, if it is fresh and a new reader can use it.
    pub(crate) fn listing(&self, prefix: &ObjectKey, now: Moment) -> Option<Arc<Listing>> {
        let mut table = self.lock();
        let directory = table.used(prefix)?;
        let (listing, changed) = (directory.listing.clone()?, directory.changed);
        self.is_usable(&listing, changed, now).then_some(listing)
    }

    fn is_usable(&self, listing: &Listing, changed: Moment, now: Moment) -> bool {
        listing.begun.fresh(now, self.metadata_ttl).is_some() && listing.begun > changed && listing.is_usable()
    }

    /// The same, or else a new, empty listing in the place of any other.
    pub(crate) fn listing_or_begin(&self, prefix: &ObjectKey, now: Moment) -> Arc<Listing> {
        self.install(prefix, now, || self.private_listing(prefix, now)).0
    }

    /// A new, empty listing that only its reader knows.
    pub(crate) fn private_listing(&self, prefix: &ObjectKey, now: Moment) -> Arc<Listing> {
        Listing::paged(prefix.clone(), now, self.entries_max, &self.totals)
    }

    /// An empty listing for a flat listing to fill; none if the directory is known or being listed.
    pub(crate) fn begin_flat(&self, prefix: &ObjectKey, now: Moment, position: u64) -> Option<Arc<Listing>> {
        let flat = || Listing::flat(prefix.clone(), now, position, self.entries_max, &self.totals);
        let (listing, is_new) = self.install(prefix, now, flat);
        is_new.then_some(listing)
    }

    /// The listing that a new reader can use, or the one that `make` makes, and whether it is that one.
    fn install(&self, prefix: &ObjectKey, now: Moment, make: impl FnOnce() -> Arc<Listing>) -> (Arc<Listing>, bool) {
        let mut table = self.lock();
        table.tick += 1;
        let tick = table.tick;
        let directory = table.directories.entry(prefix.clone()).or_default();
        directory.used = tick;
        let changed = directory.changed;
        if let Some(listing) = directory.listing.as_ref().filter(|listing| self.is_usable(listing, changed, now)) {
            return (Arc::clone(listing), false);
        }
        let listing = make();
        directory.listing = Some(Arc::clone(&listing));
        (listing, true)
    }

    /// The marker of the directory, if it has been listed with it.
    pub(crate) fn marker(&self, prefix: &ObjectKey) -> Option<Marker> {
        self.lock().directories.get(prefix)?.listing.as_ref()?.marker()
    }

    /// Notes that the directory's time of last write is `time`; none where its marker tells it.
    pub(crate) fn touch(&self, prefix: &ObjectKey, time: Option<SystemTime>) {
        self.lock().directories.entry(prefix.clone()).or_default().touched = time;
    }

    /// When this mount last gave the directory a name or took one away, as far as that is remembered.
    pub(crate) fn touched(&self, prefix: &ObjectKey) -> Option<SystemTime> {
        self.lock().directories.get(prefix)?.touched
    }

    /// Whether `name` is the first directory in the directory of `prefix`, as far as that is listed.
    pub(crate) fn is_first_directory(&self, prefix: &ObjectKey, name: &[u8]) -> bool {
        let listing = self.lock().directories.get(prefix).and_then(|directory| directory.listing.clone());
        listing.is_some_and(|listing| listing.is_first_directory(name))
    }

    /// Keeps the bound; called when names were added.
    pub(crate) fn keep_bound(&self) {
        if self.entries() > self.entries_max {
            let mut table = self.lock();
            self.trim(&mut table);
        }
    }

    fn trim(&self, table: &mut Table) {
        let over = |table: &Table, most: usize| table.probed + self.listed() > most;
        if !over(table, self.entries_max) {
            return;
        }
        let mut by_use: Vec<(u64, ObjectKey)> =
            table.directories.iter().map(|(prefix, directory)| (directory.used, prefix.clone())).collect();
        by_use.sort_unstable();
        for (_, prefix) in by_use {
            if !over(table, self.entries_max - self.entries_max / 8) {
                break;
            }
            if let Some(directory) = table.directories.remove(&prefix) {
                table.probed -= directory.probes.len();
            }
        }
    }

    fn listed(&self) -> usize {
        usize::try_from(self.totals.kept()).unwrap_or(usize::MAX)
    }

    /// Names remembered.
    pub(crate) fn entries(&self) -> usize {
        self.lock().probed + self.listed()
    }

    /// Objects met that no path leads to.
    pub(crate) fn unreachable(&self) -> u64 {
        self.totals.unreachable()
    }

    /// Names remembered not to exist, and directories with a listing.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let table = self.lock();
        let negative = table.directories.values().flat_map(|d| d.probes.values()).filter(|p| p.what.is_none()).count();
        (negative, table.directories.values().filter(|directory| directory.listing.is_some()).count())
    }
}

impl Table {
    /// The directory of `prefix`, used now.
    fn used(&mut self, prefix: &ObjectKey) -> Option<&mut Directory> {
        self.tick += 1;
        let directory = self.directories.get_mut(prefix)?;
        directory.used = self.tick;
        Some(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expiry::Clock;

    fn directories(entries_max: usize) -> Directories {
        Directories::new(&FsConfig { entries_max, ..FsConfig::default() })
    }

    #[test]
    fn names_never_exceed_the_bound_and_the_latest_stay() {
        let (directories, clock) = (directories(100), Clock::manual());
        for number in 0..10_000 {
            let prefix = ObjectKey::from(format!("{}/", number / 10).as_str());
            directories.learn(&prefix, format!("{number}").as_bytes(), None, clock.now());
            assert!(directories.entries() <= 100);
        }
        let last = directories.find(&ObjectKey::from("999/"), b"9999", clock.now());
        assert!(matches!(last, Found::Absent { .. }));
    }

    #[test]
    fn a_name_made_since_a_listing_is_not_absent_when_it_is_doubted() {
        let (directories, clock) = (directories(100), Clock::manual());
        let root = ObjectKey::from("");
        let listing = directories.listing_or_begin(&root, clock.now());
        listing.claim(0);
        listing.land(Ok(rfuse_store::ListPage::default()), clock.now());
        assert!(matches!(directories.find(&root, b"a", clock.now()), Found::Absent { .. }));
        clock.advance(Duration::from_millis(1));
        directories.change(&root, b"a", Some(&What::Directory(None)), clock.now(), clock.now());
        assert!(matches!(directories.find(&root, b"a", clock.now()), Found::Here { .. }));
        directories.doubt(&root, b"a");
        assert_eq!(directories.find(&root, b"a", clock.now()), Found::Unknown { probed: 0 });
    }

    #[test]
    fn what_was_learnt_last_is_believed() {
        let (directories, clock) = (directories(100), Clock::manual());
        let root = ObjectKey::from("");
        directories.learn(&root, b"a", None, clock.now());
        directories.learn(&root, b"a", Some(&What::Directory(None)), clock.now());
        assert!(matches!(directories.find(&root, b"a", clock.now()), Found::Here { .. }));
        directories.doubt(&root, b"a");
        assert_eq!(directories.find(&root, b"a", clock.now()), Found::Unknown { probed: 0 });
    }
}
