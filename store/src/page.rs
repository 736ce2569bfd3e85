//! One page of a listing, built from names offered in byte order.
//!
//! The stores that sort their own names (memory, local directory) walk them; this decides what the page
//! holds: prefix, roll-up at `/`, limit, and where the next page starts. A token is the least name the next
//! page may hold, so a listing goes on rightly whatever was added or removed meanwhile.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rfuse_block::ObjectKey;

use crate::{ListEntry, ListPage, ListRequest, ObjectMeta, Operation, StoreError, StoreErrorKind, Token};

/// A page being built.
#[derive(Debug)]
pub(crate) struct PageBuilder<'a> {
    prefix: &'a [u8],
    delimited: bool,
    limit: usize,
    /// The least name that may still come.
    from: Vec<u8>,
    entries: Vec<ListEntry>,
    ended: bool,
    next: Option<Token>,
}

/// How the walk goes on after a name was offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// With the next name.
    Next,
    /// With the least name not below [`PageBuilder::from`]: what lies between is rolled up.
    Seek,
    /// Not at all.
    Done,
}

impl<'a> PageBuilder<'a> {
    /// An empty page for `request`, of at most `page_max` entries.
    ///
    /// # Errors
    /// `Malformed` when the token is none of ours.
    pub(crate) fn new(request: ListRequest<'a>, page_max: u32) -> Result<Self, StoreError> {
        let prefix = request.prefix.as_bytes();
        let from = match request.token {
            None => prefix.to_vec(),
            Some(Token(text)) => URL_SAFE_NO_PAD.decode(text).map_err(|_| {
                StoreError::new(StoreErrorKind::Malformed, Operation::List, "the continuation token is none of ours")
            })?,
        };
        let from = from.max(prefix.to_vec());
        let limit = request.limit.unwrap_or(page_max).clamp(1, page_max) as usize;
        let delimited = request.delimited;
        Ok(Self { prefix, delimited, limit, from, entries: Vec::new(), ended: false, next: None })
    }

    /// The least name that may still be offered.
    pub(crate) fn from(&self) -> &[u8] {
        &self.from
    }

    /// Whether names are still wanted.
    pub(crate) fn is_open(&self) -> bool {
        !self.ended
    }

    /// Offers the next name; `make` is asked for the object only when the page takes it, and may find that it
    /// is gone.
    pub(crate) fn offer(&mut self, key: &[u8], make: impl FnOnce() -> Option<ObjectMeta>) -> Step {
        if !key.starts_with(self.prefix) {
            return self.end(None);
        }
        if self.entries.len() >= self.limit {
            return self.end(Some(Token(URL_SAFE_NO_PAD.encode(key))));
        }
        match self.roll_up(key) {
            Some(prefix) => {
                self.from = after_everything_below(prefix);
                self.entries.push(ListEntry::Prefix(ObjectKey::new(prefix)));
                Step::Seek
            }
            None => {
                self.entries.extend(make().map(ListEntry::Object));
                Step::Next
            }
        }
    }

    /// Offers the directory `key`, which ends in `/` and is rolled up; where `make` knows what is kept beside it,
    /// it is an object.
    pub(crate) fn offer_marked(&mut self, key: &[u8], make: impl FnOnce() -> Option<ObjectMeta>) -> Step {
        let before = self.entries.len();
        let step = self.offer(key, || None);
        if self.entries.len() > before
            && let Some(meta) = make()
        {
            self.entries.truncate(before);
            self.entries.push(ListEntry::Object(meta));
        }
        step
    }

    /// Offers the directory `key`, which ends in `/` and in which nothing can be listed.
    pub(crate) fn offer_shut(&mut self, key: &[u8]) -> Step {
        if key < self.from.as_slice() {
            return Step::Next;
        }
        match self.offer(key, || None) {
            Step::Next => self.entries.push(ListEntry::Prefix(ObjectKey::new(key))),
            step => return step,
        }
        Step::Next
    }

    /// There are no more names.
    pub(crate) fn no_more(&mut self) {
        self.end(None);
    }

    /// The finished page.
    pub(crate) fn finish(self) -> ListPage {
        ListPage { entries: self.entries, next: self.next }
    }

    fn end(&mut self, next: Option<Token>) -> Step {
        self.ended = true;
        self.next = next;
        Step::Done
    }

    /// The common prefix `key` is rolled up into, `/` included.
    fn roll_up<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        if !self.delimited {
            return None;
        }
        let slash = key[self.prefix.len()..].iter().position(|&byte| byte == b'/')?;
        Some(&key[..=self.prefix.len() + slash])
    }
}

/// The least name after every name that starts with `prefix`, which ends in `/`.
pub(crate) fn after_everything_below(prefix: &[u8]) -> Vec<u8> {
    let mut after = prefix.to_vec();
    if let Some(last) = after.last_mut() {
        *last = b'/' + 1;
    }
    after
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;
    use crate::{MemoryStore, Store, Urgency};

    /// All names of a listing, page by page.
    fn walk(store: &MemoryStore, prefix: &ObjectKey, delimited: bool, limit: u32) -> Vec<Vec<u8>> {
        let (mut names, mut token) = (Vec::new(), None);
        loop {
            let request =
                ListRequest { prefix, delimited, token: token.as_ref(), limit: Some(limit), urgency: Urgency::Demand };
            let page = store.list(request).now_or_never().unwrap().unwrap();
            assert!(page.entries.len() <= limit as usize);
            names.extend(page.entries.iter().map(|entry| entry.key().as_bytes().to_vec()));
            match page.next {
                Some(next) => token = Some(next),
                None => return names,
            }
        }
    }

    /// The same by the definition.
    fn expected(keys: &BTreeSet<Vec<u8>>, prefix: &[u8], delimited: bool) -> Vec<Vec<u8>> {
        let roll_up = |key: &Vec<u8>| match key[prefix.len()..].iter().position(|&b| b == b'/') {
            Some(at) if delimited => key[..=prefix.len() + at].to_vec(),
            _ => key.clone(),
        };
        let mut names: Vec<_> = keys.iter().filter(|key| key.starts_with(prefix)).map(roll_up).collect();
        names.dedup();
        names
    }

    proptest! {
        #[test]
        fn pages_together_are_the_listing(
            keys in proptest::collection::btree_set("[a/.\u{0}-]{1,6}", 0..40),
            prefix in "[a/]{0,2}",
            delimited: bool,
            limit in 1u32..9,
        ) {
            let keys: BTreeSet<Vec<u8>> = keys.into_iter().map(String::into_bytes).collect();
            let store = MemoryStore::new();
            for key in &keys {
                store.put_now(ObjectKey::new(key.as_slice()), "x");
            }
            let found = walk(&store, &ObjectKey::from(&*prefix), delimited, limit);
            prop_assert_eq!(found, expected(&keys, prefix.as_bytes(), delimited));
        }
    }

    #[test]
    fn a_foreign_token_is_refused() {
        let (prefix, token) = (ObjectKey::from(""), Token("%".into()));
        let request = ListRequest {
            prefix: &prefix,
            delimited: false,
            token: Some(&token),
            limit: None,
            urgency: Urgency::Demand,
        };
        assert_eq!(PageBuilder::new(request, 10).unwrap_err().kind, StoreErrorKind::Malformed);
    }
}
