//! Open directories: one reader's place in a listing.

use std::sync::{Arc, Mutex};

use rfuse_block::ObjectKey;

use crate::child::{Child, What};
use crate::counters::Count;
use crate::lister::Source;
use crate::listing::{Known, Listing, Taken};
use crate::write::edits::Edited;
use crate::{Answer, DirEntry, FileSystem, FsError, Handle, Inode, inodes, lock, name};

/// An open directory.
#[derive(Debug)]
pub(crate) struct OpenDirectory {
    prefix: ObjectKey,
    reading: Mutex<Reading>,
}

#[derive(Debug)]
struct Reading {
    listing: Arc<Listing>,
    /// Whether it has been read from the beginning already.
    has_begun: bool,
    /// Names of files that are being written, some of which the store does not have yet.
    edited: Arc<[Edited]>,
}

/// Cookies before the first name: `.` and `..`.
const DOTS: u64 = 2;

/// One attempt to read.
enum Step {
    Done(Result<Vec<DirEntry>, FsError>),
    Wait(Arc<Listing>),
}

impl FileSystem {
    /// Opens a directory.
    pub fn opendir(self: &Arc<Self>, inode: Inode) -> Answer<Handle> {
        self.counters.add(Count::Opendir);
        let prefix = match self.node(inode) {
            Ok(node) if node.is_directory => node.key(),
            Ok(_) => return Answer::Ready(Err(FsError::NotADirectory)),
            Err(error) => return Answer::Ready(Err(error)),
        };
        match self.source(&prefix) {
            Source::Listing(listing) => Answer::Ready(Ok(self.open_listing(prefix, listing))),
            Source::Flat(flat) => {
                let fs = Arc::clone(self);
                Answer::Pending(Box::pin(async move {
                    let listing = fs.after_flat(&prefix, &flat).await;
                    Ok(fs.open_listing(prefix, listing))
                }))
            }
        }
    }

    fn open_listing(self: &Arc<Self>, prefix: ObjectKey, listing: Arc<Listing>) -> Handle {
        self.pull(&listing, 0);
        let edited = self.writing.edits.in_directory(&prefix).into();
        let reading = Mutex::new(Reading { listing, has_begun: false, edited });
        self.open_directories.insert(&Arc::new(OpenDirectory { prefix, reading }))
    }

    /// Up to `limit` entries (at least one) from `cookie` on: 0 is the beginning, else [`DirEntry::next`] of
    /// the entry before. An empty answer is the end; a short one is not.
    pub fn readdir(self: &Arc<Self>, handle: Handle, cookie: u64, limit: usize) -> Answer<Vec<DirEntry>> {
        self.counters.add(Count::Readdir);
        let Some(directory) = self.open_directories.get(handle) else {
            return Answer::Ready(Err(FsError::Unknown(handle.0)));
        };
        let limit = limit.max(1);
        let mut listing = match self.read_directory(&directory, cookie, limit, cookie == 0) {
            Step::Done(answer) => return Answer::Ready(answer),
            Step::Wait(listing) => listing,
        };
        let fs = Arc::clone(self);
        Answer::Pending(Box::pin(async move {
            loop {
                listing.wait_for_page().await;
                match fs.read_directory(&directory, cookie, limit, false) {
                    Step::Done(answer) => return answer,
                    Step::Wait(next) => listing = next,
                }
            }
        }))
    }

    /// Closes a directory.
    pub fn releasedir(&self, handle: Handle) {
        self.open_directories.remove(handle);
    }

    /// Counts one reference to the inode of `entry`, which was read from the directory `handle`: for each
    /// entry of a readdirplus that fits into the kernel's buffer. It is this inode that the kernel must be told;
    /// nearly always that of the entry. `.` and `..` are not counted.
    pub fn remember(&self, handle: Handle, entry: &DirEntry) -> Inode {
        let listed = entry.attr.inode;
        let Some(directory) = self.open_directories.get(handle) else { return listed };
        if !name::is_name(&entry.name) {
            return listed;
        }
        let listing = Arc::clone(&lock(&directory.reading).listing);
        let is_directory = entry.attr.kind == crate::FileKind::Directory;
        let key = key_of(&directory.prefix, &entry.name, is_directory);
        match listing.find(&entry.name) {
            Known::Here { what, learnt } if matches!(what, What::Directory(_)) == is_directory => {
                self.refer(&key, &what, learnt).inode
            }
            _ => self.refer_node(&key, is_directory).inode,
        }
    }

    fn read_directory(self: &Arc<Self>, directory: &OpenDirectory, cookie: u64, limit: usize, begins: bool) -> Step {
        let position = cookie.saturating_sub(DOTS);
        let mut entries = self.dots(directory, cookie, limit);
        if entries.len() == limit {
            return Step::Done(Ok(entries));
        }
        let mut listing = self.listing_of(directory, begins);
        loop {
            self.pull(&listing, position);
            return Step::Done(match listing.take(position, limit - entries.len()) {
                Taken::Names(names) => {
                    let numbered = (position + DOTS + 1..).zip(&names);
                    entries.extend(numbered.map(|(next, child)| self.dir_entry(&directory.prefix, child, next)));
                    Ok(entries)
                }
                Taken::End => {
                    self.doubt_if_gone(&listing);
                    let edited = Arc::clone(&lock(&directory.reading).edited);
                    self.add_edited(&directory.prefix, &listing, &edited, position, limit, &mut entries);
                    Ok(entries)
                }
                Taken::Failed(error) => Err(error.into()),
                Taken::Wait => return Step::Wait(listing),
                Taken::Dropped => {
                    // This reader is far behind the one that the listing follows: it gets one of its own.
                    listing = self.directories.private_listing(&directory.prefix, self.clock.now());
                    lock(&directory.reading).listing = Arc::clone(&listing);
                    continue;
                }
            });
        }
    }

    /// The listing being read; a new one when an expired one is read from the beginning again.
    fn listing_of(self: &Arc<Self>, directory: &OpenDirectory, from_beginning: bool) -> Arc<Listing> {
        let mut reading = lock(&directory.reading);
        if from_beginning {
            let now = self.clock.now();
            let is_old = reading.listing.begun.fresh(now, self.config.metadata_ttl).is_none()
                || self.directories.is_overtaken(&reading.listing);
            if reading.has_begun {
                reading.edited = self.writing.edits.in_directory(&directory.prefix).into();
            }
            if reading.has_begun && is_old && !reading.listing.is_fetching() {
                reading.listing = self.directories.listing_or_begin(&directory.prefix, now);
            }
            reading.has_begun = true;
        }
        Arc::clone(&reading.listing)
    }

    /// Adds the files that are being written and are not listed; their numbers come after those of the listing,
    /// which is complete.
    fn add_edited(
        &self,
        prefix: &ObjectKey,
        listing: &Listing,
        edited: &[Edited],
        position: u64,
        limit: usize,
        entries: &mut Vec<DirEntry>,
    ) {
        let end = listing.end();
        let from = usize::try_from(position.saturating_sub(end)).unwrap_or(usize::MAX);
        for (number, (name, edit)) in edited.iter().enumerate().skip(from) {
            if entries.len() == limit {
                break;
            }
            if matches!(listing.find(name), Known::Here { .. }) || edit.state().is_unlinked {
                continue;
            }
            let inode = inodes::number(&name::file_key(prefix, name));
            let attr = self.edit_attr(inode, edit);
            let next = end + DOTS + number as u64 + 1;
            entries.push(DirEntry { name: name.to_vec(), attr, next, ttl: std::time::Duration::ZERO });
        }
    }

    /// Those of `.` and `..` that come at or after `cookie`.
    fn dots(&self, directory: &OpenDirectory, cookie: u64, limit: usize) -> Vec<DirEntry> {
        let parent = name::split(directory.prefix.as_bytes()).map(|(parent, _)| ObjectKey::new(parent));
        let both = [(&b"."[..], &directory.prefix), (b"..", parent.as_ref().unwrap_or(&directory.prefix))];
        let dots = (1..).zip(both).map(|(next, (name, prefix))| DirEntry {
            name: name.into(),
            attr: self.directory_attr(prefix, None),
            next,
            ttl: self.config.metadata_ttl,
        });
        dots.skip(usize::try_from(cookie).unwrap_or(usize::MAX)).take(limit).collect()
    }

    fn dir_entry(&self, prefix: &ObjectKey, child: &Child, next: u64) -> DirEntry {
        let key = key_of(prefix, &child.name, matches!(child.what, What::Directory(_)));
        if let Some(edit) = self.writing.edits.find(&key) {
            let attr = self.edit_attr(inodes::number(&key), &edit);
            return DirEntry { name: child.name.to_vec(), attr, next, ttl: std::time::Duration::ZERO };
        }
        let attr = self.attr(inodes::number(&key), &key, &child.what);
        DirEntry { name: child.name.to_vec(), attr, next, ttl: self.ttl(child.learnt) }
    }

    /// A directory that only its objects implied ends with the last of them.
    fn doubt_if_gone(&self, listing: &Listing) {
        if listing.is_gone()
            && let Some((parent, name)) = name::split(listing.prefix.as_bytes())
        {
            self.directories.doubt(&ObjectKey::new(parent), name);
        }
    }
}

fn key_of(prefix: &ObjectKey, name: &[u8], is_directory: bool) -> ObjectKey {
    if is_directory { name::directory_key(prefix, name) } else { name::file_key(prefix, name) }
}
