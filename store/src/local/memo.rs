//! The sorted names of directories larger than a page, kept from one page to the next.
//!
//! Without it a directory of a million names would be read and sorted once a page. What is kept is used only
//! to go on with a listing, and only while the directory's times say that it has not changed.

use std::collections::VecDeque;
use std::sync::Arc;

use rustix::fs::Stat;

/// Names kept at most, over all directories; a larger directory is read again for each page.
const NAMES_MAX: usize = 1 << 20;

/// The names in one directory.
#[derive(Default, Debug)]
pub(super) struct Names {
    text: Vec<u8>,
    /// Start and length of each name in `text`.
    spans: Vec<(u32, u16)>,
}

impl Names {
    /// Adds `name` with `ending`; names beyond 4 GiB of text are refused by leaving them out, which no
    /// directory reaches.
    pub(super) fn add(&mut self, name: &[u8], ending: &[u8]) {
        let Ok(start) = u32::try_from(self.text.len()) else { return };
        let Ok(length) = u16::try_from(name.len() + ending.len()) else { return };
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(ending);
        self.spans.push((start, length));
    }

    /// Puts the names in byte order.
    pub(super) fn sort(&mut self) {
        let text = &self.text;
        self.spans.sort_unstable_by_key(|&span| slice(text, span));
    }

    /// Name number `at`.
    pub(super) fn get(&self, at: usize) -> &[u8] {
        slice(&self.text, self.spans[at])
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// How many of the sorted names `is_before` holds for.
    pub(super) fn partition_point(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        self.spans.partition_point(|&span| is_before(slice(&self.text, span)))
    }
}

fn slice(text: &[u8], (start, length): (u32, u16)) -> &[u8] {
    &text[start as usize..start as usize + usize::from(length)]
}

/// Which state of which directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp([i128; 2], u64, u64);

impl Stamp {
    pub(super) fn of(stat: &Stat) -> Self {
        let nanos = |seconds: i64, nanos: u64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let times = [
            nanos(stat.st_mtime, u64::from(stat.st_mtime_nsec as u32)),
            nanos(stat.st_ctime, u64::from(stat.st_ctime_nsec as u32)),
        ];
        Self(times, stat.st_dev, stat.st_ino)
    }
}

/// Directories that listings are in the middle of, the oldest first.
#[derive(Default, Debug)]
pub(super) struct Memo {
    kept: VecDeque<(Vec<u8>, Stamp, Arc<Names>)>,
}

impl Memo {
    /// The names of directory `path`, unless it has changed.
    pub(super) fn recall(&self, path: &[u8], stamp: Stamp) -> Option<Arc<Names>> {
        let (_, kept_stamp, names) = self.kept.iter().find(|(kept, ..)| kept == path)?;
        (*kept_stamp == stamp).then(|| Arc::clone(names))
    }

    /// Keeps the names of directory `path`; the oldest give way.
    pub(super) fn keep(&mut self, path: &[u8], stamp: Stamp, names: &Arc<Names>) {
        self.forget(path);
        self.kept.push_back((path.to_vec(), stamp, Arc::clone(names)));
        while self.kept.iter().map(|(.., names)| names.len()).sum::<usize>() > NAMES_MAX {
            self.kept.pop_front();
        }
    }

    /// A listing has passed the end of directory `path`.
    pub(super) fn forget(&mut self, path: &[u8]) {
        self.kept.retain(|(kept, ..)| kept != path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Arc<Names> {
        let mut names = Names::default();
        for i in 0..count {
            names.add(i.to_string().as_bytes(), b"");
        }
        Arc::new(names)
    }

    #[test]
    fn a_changed_directory_is_not_recalled() {
        let mut memo = Memo::default();
        let (before, after) = (Stamp([1, 1], 1, 1), Stamp([2, 1], 1, 1));
        memo.keep(b"a/", before, &names(3));
        assert!(memo.recall(b"a/", before).is_some());
        assert!(memo.recall(b"a/", after).is_none());
        assert!(memo.recall(b"b/", before).is_none());
    }

    #[test]
    fn the_oldest_gives_way_at_the_bound() {
        let mut memo = Memo::default();
        let stamp = Stamp([1, 1], 1, 1);
        memo.keep(b"a/", stamp, &names(NAMES_MAX / 2 + 1));
        memo.keep(b"b/", stamp, &names(NAMES_MAX / 2));
        assert!(memo.recall(b"a/", stamp).is_none());
        assert!(memo.recall(b"b/", stamp).is_some());
    }
}
