//! Names below the directory in the order object stores list them.
//!
//! A directory sorts as its name with a `/`: `a-b` comes before everything in `a/`. So one sorted look at
//! each directory on the way gives a flat listing in byte order, and a page starts by skipping to its token.
//! A link to a directory above itself is left out: it would never end. A directory that may not be read is one
//! entry of a flat listing, which goes on after it.

use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError};

use rfuse_block::ObjectKey;
use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;

use super::memo::{Names, Stamp};
use super::name::{is_hidden, why_not};
use super::{Root, read, root, write};
use crate::page::{PageBuilder, Step};
use crate::{ListPage, ListRequest, ObjectMeta, Operation, StoreError};

/// Entries of a page at most, as on Azure.
pub(super) const PAGE_MAX: u32 = 5000;

/// Directories within directories at most; each holds a descriptor while it is walked.
const DEPTH_MAX: usize = 256;

/// One page of names.
pub(super) fn list(root: &Root, request: ListRequest<'_>) -> Result<ListPage, StoreError> {
    let mut page = PageBuilder::new(request, PAGE_MAX)?;
    let prefix = request.prefix.as_bytes();
    let base = prefix.iter().rposition(|&byte| byte == b'/').map_or(&b""[..], |slash| &prefix[..=slash]);
    if !base.is_empty() && why_not(&base[..base.len() - 1]).is_some() {
        return Ok(ListPage::default());
    }
    let failed = |errno| root::failed(Operation::List, errno).about(request.prefix);
    let Some(ancestors) = ancestors(root, base).map_err(failed)? else { return Ok(ListPage::default()) };
    let mut walk = Walk { root, request, page: &mut page, ancestors };
    if walk.directory(&mut base.to_vec()).map_err(failed)? == Step::Next {
        page.no_more();
    }
    Ok(page.finish())
}

/// What tells a directory from every other one.
type Identity = (u64, u64);

fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

/// The directories above `base`, the top first; none when `base` is not there.
fn ancestors(root: &Root, base: &[u8]) -> Result<Option<Vec<Identity>>, Errno> {
    let mut found = Vec::new();
    for (slash, _) in base.iter().enumerate().filter(|&(_, &byte)| byte == b'/') {
        let above = base[..slash].iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        match root.stat(&base[..above]) {
            Ok(stat) => found.push(identity(&stat)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
    Ok(Some(found))
}

struct Walk<'a, 'p> {
    root: &'a Root,
    request: ListRequest<'p>,
    page: &'a mut PageBuilder<'p>,
    /// The directories being walked, the top first.
    ancestors: Vec<Identity>,
}

impl Walk<'_, '_> {
    /// Offers what is in the directory `path` (empty, or ending in `/`) and, in a flat listing, below it.
    fn directory(&mut self, path: &mut Vec<u8>) -> Result<Step, Errno> {
        let directory = match self.root.directory(path.strip_suffix(b"/").unwrap_or(path)) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP) => return Ok(Step::Next),
            // Not what was asked for, only on the way: it is there, and who opens it hears why it stays shut.
            Err(Errno::ACCESS | Errno::PERM) if self.is_below_prefix(path) => return Ok(self.page.offer_shut(path)),
            Err(errno) => return Err(errno),
        };
        let stat = rustix::fs::fstat(&directory)?;
        if self.ancestors.contains(&identity(&stat)) {
            return Ok(Step::Next);
        }
        if self.ancestors.len() >= DEPTH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        self.ancestors.push(identity(&stat));
        let step = self.names(&directory, &stat, path);
        self.ancestors.pop();
        step
    }

    fn names(&mut self, directory: &OwnedFd, stat: &Stat, path: &mut Vec<u8>) -> Result<Step, Errno> {
        let names = self.sorted(directory, stat, path)?;
        if !path.is_empty() && path.as_slice() >= self.page.from() && path.starts_with(self.request.prefix.as_bytes()) {
            let metadata = write::read_options(directory).metadata;
            if names.is_empty() || !metadata.is_empty() {
                let meta = ObjectMeta { metadata, ..read::meta(&ObjectKey::new(path.as_slice()), stat) };
                let step = self.page.offer(path, || Some(meta));
                if names.is_empty() || step == Step::Done {
                    return Ok(step);
                }
            }
        }
        let length = path.len();
        let Some(first) = first_wanted(&names, path, self.page.from()) else { return Ok(Step::Next) };
        for at in first..names.len() {
            path.truncate(length);
            path.extend_from_slice(names.get(at));
            if self.entry(directory, path, length)? == Step::Done {
                path.truncate(length);
                return Ok(Step::Done);
            }
        }
        path.truncate(length);
        self.memo().forget(path);
        Ok(Step::Next)
    }

    /// Whether the directory `path` lies below all that was asked for.
    fn is_below_prefix(&self, path: &[u8]) -> bool {
        path.len() > self.request.prefix.as_bytes().len()
    }

    /// Offers one entry of `directory`; its name starts at `start` of `path`.
    fn entry(&mut self, directory: &OwnedFd, path: &mut Vec<u8>, start: usize) -> Result<Step, Errno> {
        let is_wanted = path.starts_with(self.request.prefix.as_bytes());
        if path.ends_with(b"/") && is_wanted && !self.request.delimited {
            return self.directory(path);
        }
        if path.ends_with(b"/") && is_wanted {
            return Ok(self.page.offer_marked(path, || directory_meta(directory, path, start)));
        }
        let root = self.root;
        Ok(self.page.offer(path, || file_meta(root, directory, path, start)))
    }

    /// The visible names in `directory`, sorted; directories end in `/`.
    fn sorted(&self, directory: &OwnedFd, stat: &Stat, path: &[u8]) -> Result<Arc<Names>, Errno> {
        let stamp = Stamp::of(stat);
        if self.request.token.is_some()
            && let Some(names) = self.memo().recall(path, stamp)
        {
            return Ok(names);
        }
        let mut names = Names::default();
        let mut full = path.to_vec();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." || is_hidden(name) {
                continue;
            }
            full.truncate(path.len());
            full.extend_from_slice(name);
            match self.kind(directory, &full, path.len(), entry.file_type()) {
                Some(FileType::Directory) => names.add(name, b"/"),
                Some(FileType::RegularFile) => names.add(name, b""),
                _ => {}
            }
        }
        names.sort();
        let names = Arc::new(names);
        if names.len() > PAGE_MAX as usize {
            self.memo().keep(path, stamp, &names);
        }
        Ok(names)
    }

    /// What an entry is once links are followed; none when it is nothing we show.
    fn kind(&self, directory: &OwnedFd, path: &[u8], start: usize, seen: FileType) -> Option<FileType> {
        let seen = match seen {
            FileType::Unknown => {
                let stat = rustix::fs::statat(directory, &path[start..], AtFlags::SYMLINK_NOFOLLOW).ok()?;
                FileType::from_raw_mode(stat.st_mode)
            }
            seen => seen,
        };
        if seen != FileType::Symlink {
            return Some(seen);
        }
        let target = self.root.stat(path).ok()?;
        let leads_up = root::is_directory(&target) && self.ancestors.contains(&identity(&target));
        (!leads_up).then(|| FileType::from_raw_mode(target.st_mode))
    }

    fn memo(&self) -> std::sync::MutexGuard<'_, super::memo::Memo> {
        self.root.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where in the sorted `names` of directory `path` the names not below `from` start; none when all are below.
fn first_wanted(names: &Names, path: &[u8], from: &[u8]) -> Option<usize> {
    match from.strip_prefix(path) {
        // A directory that `from` lies in is wanted although its name is less.
        Some(rest) => {
            Some(names.partition_point(|name| name < rest && !(name.ends_with(b"/") && rest.starts_with(name))))
        }
        None if path < from => None,
        None => Some(0),
    }
}

/// What is known of a directory that something is kept beside.
fn directory_meta(directory: &OwnedFd, path: &[u8], start: usize) -> Option<ObjectMeta> {
    let name = path[start..].strip_suffix(b"/")?;
    let metadata = write::options_at(directory, name).metadata;
    if metadata.is_empty() {
        return None;
    }
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    root::is_directory(&stat).then(|| ObjectMeta { metadata, ..read::meta(&ObjectKey::new(path), &stat) })
}

fn file_meta(root: &Root, directory: &OwnedFd, path: &[u8], start: usize) -> Option<ObjectMeta> {
    let mut stat = rustix::fs::statat(directory, &path[start..], AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        stat = root.stat(path).ok()?;
    }
    let mut meta = root::is_file(&stat).then(|| read::meta(&ObjectKey::new(path), &stat))?;
    let options = write::options_at(directory, &path[start..]);
    (meta.content_type, meta.metadata) = (options.content_type, options.metadata);
    Some(meta)
}
