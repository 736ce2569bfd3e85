//! A flat listing that runs ahead of a walker and fills every directory it passes.
//!
//! Keys come in the store's order, in which everything below a directory is one run: when the cursor leaves
//! the run, the directory is complete. Pages are asked for one after another as long as the walker follows.
//! Bound: it runs at most `ahead_max` objects ahead of the furthest directory that the walker opened, so a
//! walk that stops, or never was one, costs that many names and no more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rfuse_block::ObjectKey;
use rfuse_store::{ListEntry, ListPage, Token};
use tokio::sync::Notify;

use crate::expiry::Moment;
use crate::listing::Listing;
use crate::name::{Place, place};

/// A flat listing below one directory.
#[derive(Debug)]
pub(crate) struct Flat {
    /// Everything below this is listed.
    pub(crate) root: ObjectKey,
    ahead_max: u64,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// The key the last page ended with.
    cursor: Vec<u8>,
    /// The directories the cursor is in, outermost first.
    path: Vec<Step>,
    /// Objects passed, and how many of them the walker has passed too.
    passed: u64,
    followed: u64,
}

#[derive(Debug)]
enum Phase {
    Paused(Option<Token>),
    Fetching,
    Over,
}

#[derive(Debug)]
struct Step {
    prefix: ObjectKey,
    /// None where the directory is known already.
    listing: Option<Arc<Listing>>,
}

/// Whether it is worth waiting for the flat listing to bring a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Prospect {
    /// The directory may come with the page under way.
    Near,
    /// It has been passed, or nothing is under way.
    None,
}

impl Flat {
    pub(crate) fn new(root: ObjectKey, ahead_max: u64) -> Arc<Self> {
        let state = State { phase: Phase::Paused(None), cursor: Vec::new(), path: Vec::new(), passed: 0, followed: 0 };
        Arc::new(Self { root, ahead_max, state: Mutex::new(state), changed: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes on the next page, if nobody fetches it and the walker is not too far behind; its token then.
    pub(crate) fn claim(&self) -> Option<Option<Token>> {
        let mut state = self.lock();
        if state.passed.saturating_sub(state.followed) >= self.ahead_max {
            return None;
        }
        let Phase::Paused(token) = &state.phase else { return None };
        let token = token.clone();
        state.phase = Phase::Fetching;
        Some(token)
    }

    /// Takes in the page that was claimed. `install` makes the listing of a directory that is reached
    /// after so many objects, none if it is known already.
    pub(crate) fn land(
        &self,
        page: &ListPage,
        now: Moment,
        mut install: impl FnMut(&ObjectKey, u64) -> Option<Arc<Listing>>,
    ) {
        let mut state = self.lock();
        for entry in &page.entries {
            if entry.key().as_bytes().starts_with(self.root.as_bytes()) {
                state.pass(&self.root, entry, now, &mut install);
            }
        }
        state.phase = page.next.clone().map_or(Phase::Over, |token| Phase::Paused(Some(token)));
        if matches!(state.phase, Phase::Over) {
            state.leave(0);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The listing is given up; who waits for it lists alone.
    pub(crate) fn give_up(&self) {
        let mut state = self.lock();
        state.phase = Phase::Over;
        state.path.clear();
        drop(state);
        self.changed.notify_waiters();
    }

    /// The walker has come to the directory that was reached after `passed` objects.
    pub(crate) fn follow(&self, passed: u64) {
        let mut state = self.lock();
        state.followed = state.followed.max(passed);
    }

    /// Whether no more will come.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.lock().phase, Phase::Over)
    }

    /// Whether the directory of `prefix` may be complete after the page under way.
    pub(crate) fn prospect(&self, prefix: &ObjectKey) -> Prospect {
        let state = self.lock();
        let behind = !state.cursor.starts_with(prefix.as_bytes()) && state.cursor.as_slice() > prefix.as_bytes();
        if behind || !matches!(state.phase, Phase::Fetching) { Prospect::None } else { Prospect::Near }
    }

    /// Waits for the page under way, if there is one.
    pub(crate) async fn wait_for_page(&self) {
        let mut changed = std::pin::pin!(self.changed.notified());
        changed.as_mut().enable();
        if matches!(self.lock().phase, Phase::Fetching) {
            changed.await;
        }
    }
}

impl State {
    /// Moves the cursor over one object, or a directory that could not be listed: nothing is installed for
    /// that, so that who opens it asks the store and hears why.
    fn pass(
        &mut self,
        root: &ObjectKey,
        entry: &ListEntry,
        now: Moment,
        install: &mut impl FnMut(&ObjectKey, u64) -> Option<Arc<Listing>>,
    ) {
        let (key, meta) = match entry {
            ListEntry::Object(meta) => (meta.key.as_bytes(), Some(meta)),
            ListEntry::Prefix(prefix) => (prefix.as_bytes(), None),
        };
        let inside = self.path.iter().take_while(|step| key.starts_with(step.prefix.as_bytes())).count();
        self.leave(inside);
        self.passed += 1;
        loop {
            let here = self.path.last().map_or(root.as_bytes(), |step| step.prefix.as_bytes());
            let (start, rest) = (here.len(), &key[here.len()..]);
            if let Some(listing) = self.path.last().and_then(|step| step.listing.as_ref()) {
                listing.add(rest, meta, now);
            }
            let Place::Below(name) = place(rest) else { break };
            let prefix = ObjectKey::new(&key[..start + name.len() + 1]);
            if meta.is_none() && prefix.as_bytes() == key {
                break;
            }
            let listing = install(&prefix, self.passed);
            self.path.push(Step { prefix, listing });
        }
        self.cursor.clear();
        self.cursor.extend_from_slice(key);
    }

    /// Leaves all but the outermost `depth` directories, which makes them complete.
    fn leave(&mut self, depth: usize) {
        for step in self.path.drain(depth..).rev() {
            if let Some(listing) = step.listing {
                listing.complete();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use rfuse_block::Version;
    use rfuse_store::ObjectMeta;

    use super::*;
    use crate::expiry::Clock;
    use crate::listing::Known;

    fn object(key: &str) -> ListEntry {
        ListEntry::Object(ObjectMeta {
            key: key.into(),
            size: 1,
            version: Version::new("\"1\""),
            modified: SystemTime::UNIX_EPOCH,
            content_type: None,
            metadata: Default::default(),
            is_directory: false,
        })
    }

    #[test]
    fn a_directory_that_could_not_be_listed_is_shown_and_left_to_who_opens_it() {
        let (flat, now, totals) = (Flat::new("".into(), 100), Clock::manual().now(), Arc::default());
        let entries = vec![object("a/x"), ListEntry::Prefix("a/shut/".into()), object("b/y")];
        let mut installed = Vec::new();
        flat.claim();
        flat.land(&ListPage { entries, next: None }, now, |prefix, position| {
            let listing = Listing::flat(prefix.clone(), now, position, 100, &totals);
            installed.push(Arc::clone(&listing));
            Some(listing)
        });
        let prefixes: Vec<_> = installed.iter().map(|listing| listing.prefix.clone()).collect();
        assert_eq!(prefixes, ["a/".into(), "b/".into()]);
        assert!(matches!(installed[0].find(b"shut"), Known::Here { .. }));
        assert!(matches!(installed[0].find(b"other"), Known::Absent));
    }
}
