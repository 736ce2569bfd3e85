//! Turns the keys of a listing, in the store's order, into the names of one directory.
//!
//! An object `a` and a prefix `a/` are one name, and the directory has it. Between the two in the listing can
//! lie any number of names that start with `a` (`a-1`, `a.txt`), so an object is held back until the listing
//! has left everything that starts with its name; names that share a prefix are neighbours in every store's
//! order. Held names are prefixes of one another, so at most 255 are held. The order of the names follows
//! from the keys alone, not from where pages end or whether the listing was flat.
//!
//! Pure: no IO, no clock.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::child::{Child, Marker, What};
use crate::expiry::Moment;

/// The names of a directory, in order, found by number or by name.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    children: Vec<Child>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// Objects whose name may still turn out to be a directory's; each name is a prefix of the next.
    held: Vec<Child>,
    /// Numbers before this one were dropped.
    base: u64,
    /// The directory's own marker.
    marker: Option<Marker>,
    /// The first name that is a directory's.
    first_directory: Option<Box<[u8]>>,
    /// Objects whose name is a directory's, markers with bytes, and parts that cannot be names.
    unreachable: u64,
    last_nowhere: Option<Box<[u8]>>,
}

impl Gather {
    /// The directory's own marker came by.
    pub(crate) fn take_marker(&mut self, size: u64, marker: Marker) {
        self.marker = Some(marker);
        if size > 0 {
            self.unreachable += 1;
        }
    }

    /// An object in this directory.
    pub(crate) fn file(&mut self, child: Child) {
        self.settle(&child.name);
        self.held.push(child);
    }

    /// A directory in this directory, seen by itself or by something below it.
    pub(crate) fn directory(&mut self, name: &[u8], marker: Option<Marker>, learnt: Moment) {
        // Flat listings name it once for each object below.
        if let Some(last) = self.children.last_mut()
            && *last.name == *name
            && let What::Directory(known) = &mut last.what
        {
            *known = known.take().or(marker);
            return;
        }
        self.settle(name);
        if self.held.last().is_some_and(|held| *held.name == *name) {
            self.held.pop();
            self.unreachable += 1;
        }
        match self.position(name) {
            Some(at) => {
                if let What::Directory(known) = &mut self.children[at].what {
                    *known = known.take().or(marker);
                }
            }
            None => self.push(Child { name: name.into(), what: What::Directory(marker), learnt }),
        }
    }

    /// Something behind a part that cannot be a name; counted once a part.
    pub(crate) fn nowhere(&mut self, part: &[u8]) {
        if self.last_nowhere.as_deref() != Some(part) {
            self.last_nowhere = Some(part.into());
            self.unreachable += 1;
        }
    }

    /// The listing is over: nothing need be held back.
    pub(crate) fn finish(&mut self) {
        while !self.held.is_empty() {
            let child = self.held.remove(0);
            self.push(child);
        }
        self.last_nowhere = None;
    }

    /// Lets go of the held names that `next` does not start with. The shorter ones are the older.
    fn settle(&mut self, next: &[u8]) {
        let keep = self.held.iter().take_while(|held| next.starts_with(&held.name)).count();
        for child in self.held.split_off(keep) {
            self.push(child);
        }
    }

    fn push(&mut self, child: Child) {
        if self.first_directory.is_none() && matches!(child.what, What::Directory(_)) {
            self.first_directory = Some(child.name.clone());
        }
        let hash = hash(&self.hasher, &child.name);
        let number = u32::try_from(self.children.len()).unwrap_or(u32::MAX);
        self.children.push(child);
        if self.base == 0 {
            let (children, hasher) = (&self.children, &self.hasher);
            self.index.insert_unique(hash, number, |&at| hash_at(hasher, children, at));
        }
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        let found = self.index.find(hash(&self.hasher, name), |&at| *self.children[at as usize].name == *name);
        found.map(|&at| at as usize)
    }

    /// What is known of `name` so far.
    pub(crate) fn find(&self, name: &[u8]) -> Option<&Child> {
        self.position(name).map(|at| &self.children[at])
    }

    /// The same, to bring it up to date.
    pub(crate) fn find_mut(&mut self, name: &[u8]) -> Option<&mut Child> {
        self.position(name).map(|at| &mut self.children[at])
    }

    /// The names from number `from` on; none if they were dropped.
    pub(crate) fn from(&self, from: u64) -> Option<&[Child]> {
        let at = from.checked_sub(self.base)?;
        Some(self.children.get(usize::try_from(at).unwrap_or(usize::MAX)..).unwrap_or_default())
    }

    /// The number after the last name that is known.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.children.len() as u64
    }

    /// Names kept.
    pub(crate) fn kept(&self) -> usize {
        self.children.len() + self.held.len()
    }

    /// Drops the older half of the names; from then on they are found by number only.
    pub(crate) fn drop_older_half(&mut self) {
        let half = self.children.len() / 2;
        self.children.drain(..half);
        self.children.shrink_to_fit();
        self.base += half as u64;
        self.index = HashTable::new();
    }

    /// Whether all names seen are still kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.base == 0
    }

    /// The content type of the file before, to share.
    pub(crate) fn last_content_type(&self) -> Option<&Arc<str>> {
        match &self.held.last().or(self.children.last())?.what {
            What::File(meta) => meta.content_type.as_ref(),
            What::Directory(_) => None,
        }
    }

    /// The directory's own marker, where there is one.
    pub(crate) fn marker(&self) -> Option<&Marker> {
        self.marker.as_ref()
    }

    /// Whether anything shows that the directory exists.
    pub(crate) fn exists(&self) -> bool {
        self.marker.is_some() || self.end() > 0 || self.unreachable > 0
    }

    /// The first directory in the store's order.
    pub(crate) fn first_directory(&self) -> Option<&[u8]> {
        self.first_directory.as_deref()
    }

    /// Objects that no path leads to.
    pub(crate) fn unreachable(&self) -> u64 {
        self.unreachable
    }
}

fn hash(hasher: &RandomState, name: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(name);
    hasher.finish()
}

fn hash_at(hasher: &RandomState, children: &[Child], at: u32) -> u64 {
    hash(hasher, &children[at as usize].name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    use rfuse_block::Version;

    use crate::child::FileMeta;

    fn file(name: &str) -> Child {
        let meta = FileMeta {
            size: 1,
            version: Version::new("v"),
            modified: SystemTime::UNIX_EPOCH,
            content_type: None,
            is_symlink: false,
            posix: None,
        };
        Child { name: name.as_bytes().into(), what: What::File(meta), learnt: Moment::NEVER }
    }

    fn names(gather: &Gather) -> Vec<String> {
        gather
            .from(0)
            .unwrap()
            .iter()
            .map(|child| {
                let end = if matches!(child.what, What::Directory(_)) { "/" } else { "" };
                format!("{}{end}", child.name.escape_ascii())
            })
            .collect()
    }

    #[test]
    fn a_directory_takes_the_name_of_an_object_however_far_apart_they_are() {
        let mut gather = Gather::default();
        gather.file(file("a"));
        for number in 0..3000 {
            gather.file(file(&format!("a-{number:04}")));
        }
        assert!(gather.find(b"a").is_none(), "nobody may see a file that may turn out to be a directory");
        gather.directory(b"a", None, Moment::NEVER);
        gather.file(file("b"));
        gather.finish();
        assert_eq!(gather.kept(), 3002);
        assert!(matches!(gather.find(b"a").unwrap().what, What::Directory(_)));
        assert_eq!(gather.unreachable(), 1);
    }

    #[test]
    fn an_object_is_shown_once_its_name_is_left() {
        let mut gather = Gather::default();
        gather.file(file("a"));
        gather.file(file("ab"));
        gather.file(file("b"));
        assert_eq!(names(&gather), ["a", "ab"]);
        gather.finish();
        assert_eq!(names(&gather), ["a", "ab", "b"]);
    }

    #[test]
    fn marker_object_and_prefix_are_one_directory() {
        let mut gather = Gather::default();
        let marker = Marker { modified: SystemTime::UNIX_EPOCH, posix: None };
        gather.directory(b"d", Some(marker.clone()), Moment::NEVER);
        gather.file(file("d-1"));
        gather.directory(b"d", None, Moment::NEVER);
        gather.finish();
        assert_eq!(names(&gather), ["d/", "d-1"]);
        assert_eq!(gather.find(b"d").unwrap().what, What::Directory(Some(marker)));
    }

    #[test]
    fn dropped_names_are_known_to_be_dropped() {
        let mut gather = Gather::default();
        for number in 0..10 {
            gather.file(file(&format!("{number}")));
        }
        gather.finish();
        gather.drop_older_half();
        assert!(gather.from(4).is_none() && !gather.is_whole());
        assert_eq!(gather.from(5).unwrap().len(), 5);
        assert_eq!((gather.end(), gather.kept()), (10, 5));
        assert!(gather.find(b"9").is_none(), "a listing that is not whole answers no question about a name");
    }
}
