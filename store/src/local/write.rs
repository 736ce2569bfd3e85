//! Files written whole: beside their place under a hidden name, made durable, then moved in.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::PoisonError;

use bytes::Bytes;
use rfuse_block::{ObjectKey, Version};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::name::{HIDDEN, split};
use super::{Name, Root, root};
use crate::{Operation, Precondition, PutOptions, StoreError, StoreErrorKind};

/// The extended attribute that holds the content type and the metadata, as JSON.
const OPTIONS_ATTRIBUTE: &str = "user.rfuse.object";

/// The longest value of an extended attribute on Linux.
const OPTIONS_MAX: usize = 64 << 10;

/// A file on its way to `key`: invisible until published, removed when dropped before.
pub(super) struct Draft {
    /// What is written to.
    pub(super) file: File,
    directory: OwnedFd,
    hidden: Vec<u8>,
    name: Vec<u8>,
}

impl Draft {
    /// Begins a file for `path`, making the directories above it.
    pub(super) fn begin(root: &Root, path: &[u8]) -> Result<Self, Errno> {
        let (above, name) = split(path);
        let directory = make_directories(root, above)?;
        let hidden = [HIDDEN, format!("draft-{:016x}", fastrand::u64(..)).as_bytes()].concat();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&directory, &hidden, flags, Mode::from_raw_mode(0o666))?;
        Ok(Self { file: file.into(), directory, hidden, name: name.to_vec() })
    }

    /// Makes the file durable and moves it to its place if `condition` holds; its version.
    pub(super) fn publish(
        self,
        root: &Root,
        key: &ObjectKey,
        operation: Operation,
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError> {
        let failed = root::failed_at(operation, key);
        write_options(&self.file, options).map_err(&failed)?;
        rustix::fs::fsync(&self.file).map_err(&failed)?;
        self.place(root, condition).map_err(|errno| refused(errno, operation, condition).about(key))?;
        rustix::fs::fsync(&self.directory).map_err(&failed)?;
        Ok(root::version(&rustix::fs::fstat(&self.file).map_err(&failed)?))
    }

    /// Moves the file to its place. A version is compared and replaced in one step only as far as writers in
    /// this process go; `Absent` is the kernel's own.
    fn place(&self, root: &Root, condition: &Precondition) -> Result<(), Errno> {
        let _one_at_a_time = root.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let flags = match condition {
            Precondition::None => RenameFlags::empty(),
            Precondition::Absent => RenameFlags::NOREPLACE,
            Precondition::Matches(wanted) => match rustix::fs::statat(&self.directory, &self.name, AtFlags::empty()) {
                Ok(stat) if root::version(&stat) == *wanted => RenameFlags::empty(),
                Ok(_) | Err(Errno::NOENT) => return Err(Errno::CANCELED),
                Err(errno) => return Err(errno),
            },
        };
        rustix::fs::renameat_with(&self.directory, &self.hidden, &self.directory, &self.name, flags)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a move there is no such name any more, and nobody to tell if it cannot be removed.
        let _ = rustix::fs::unlinkat(&self.directory, &self.hidden, AtFlags::empty());
    }
}

/// The error for a file that did not get its place.
fn refused(errno: Errno, operation: Operation, condition: &Precondition) -> StoreError {
    let (kind, text) = match errno {
        Errno::CANCELED => (StoreErrorKind::Changed, "the file has another version now"),
        Errno::EXIST if *condition == Precondition::Absent => (StoreErrorKind::Exists, "the file exists already"),
        Errno::INVAL if *condition == Precondition::Absent => {
            (StoreErrorKind::Unsupported, "this file system cannot create a file only if there is none")
        }
        Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST => (StoreErrorKind::BadName, "a directory has this name"),
        errno => return root::failed(operation, errno),
    };
    StoreError::new(kind, operation, text)
}

/// Opens the directory `path`, making it and those above where they are missing.
fn make_directories(root: &Root, path: &[u8]) -> Result<OwnedFd, Errno> {
    match root.directory(path) {
        Err(Errno::NOENT) if !path.is_empty() => {}
        // A file is in the way.
        Err(Errno::NOTDIR) => return Err(Errno::INVAL),
        other => return other,
    }
    let (above, name) = split(path);
    let directory = make_directories(root, above)?;
    match rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    rustix::fs::fsync(&directory)?;
    root.directory(path)
}

/// Writes a whole file, or makes the directory that a key ending in `/` names.
pub(super) fn put(
    root: &Root,
    key: &ObjectKey,
    body: &Bytes,
    condition: &Precondition,
    options: &PutOptions,
) -> Result<Version, StoreError> {
    let failed = root::failed_at(Operation::Put, key);
    match Name::parse(Operation::Put, key)? {
        Name::File(path) => {
            let mut draft = Draft::begin(root, path).map_err(&failed)?;
            draft.file.write_all(body).map_err(|error| failed(errno_of(&error)))?;
            draft.publish(root, key, Operation::Put, condition, options)
        }
        Name::Directory(path) if body.is_empty() => put_directory(root, key, path, condition, options),
        Name::Directory(_) => {
            let text = "a local directory holds no bytes under a name that ends in `/`";
            Err(StoreError::new(StoreErrorKind::BadName, Operation::Put, text).about(key))
        }
    }
}

fn put_directory(
    root: &Root,
    key: &ObjectKey,
    path: &[u8],
    condition: &Precondition,
    options: &PutOptions,
) -> Result<Version, StoreError> {
    let failed = root::failed_at(Operation::Put, key);
    let before = root.stat(path).ok();
    match (condition, &before) {
        (Precondition::Absent, Some(_)) => {
            return Err(
                StoreError::new(StoreErrorKind::Exists, Operation::Put, "the directory exists already").about(key)
            );
        }
        (Precondition::Matches(wanted), stat) if stat.as_ref().map(root::version).as_ref() != Some(wanted) => {
            return Err(changed(Operation::Put, key));
        }
        _ => {}
    }
    let directory = make_directories(root, path).map_err(&failed)?;
    // Only metadata says more than that the directory is there; its type is every directory's.
    let kept = PutOptions { content_type: None, metadata: options.metadata.clone() };
    if kept == PutOptions::default() && before.is_some() {
        forget_options(&directory).map_err(&failed)?;
    }
    write_options(&directory, &kept).map_err(&failed)?;
    Ok(root::version(&rustix::fs::fstat(&directory).map_err(&failed)?))
}

/// Copies a file.
pub(super) fn copy(
    root: &Root,
    source: &ObjectKey,
    target: &ObjectKey,
    condition: &Precondition,
) -> Result<Version, StoreError> {
    let (Name::File(from), Name::File(to)) =
        (Name::parse(Operation::Copy, source)?, Name::parse(Operation::Copy, target)?)
    else {
        let text = "a local directory copies files only";
        return Err(StoreError::new(StoreErrorKind::Unsupported, Operation::Copy, text).about(source));
    };
    let failed = root::failed_at(Operation::Copy, source);
    let (file, before) = root.file(from, ResolveFlags::empty()).map_err(&failed)?;
    let options = read_options(&file);
    let mut file = File::from(file);
    let mut draft = Draft::begin(root, to).map_err(root::failed_at(Operation::Copy, target))?;
    std::io::copy(&mut file, &mut draft.file).map_err(|error| failed(errno_of(&error)))?;
    let after = rustix::fs::fstat(&file).map_err(&failed)?;
    if root::version(&after) != root::version(&before) {
        return Err(changed(Operation::Copy, source));
    }
    draft.publish(root, target, Operation::Copy, condition, &options)
}

/// Removes a file, or an empty directory.
pub(super) fn delete(root: &Root, key: &ObjectKey, version: Option<&Version>) -> Result<(), StoreError> {
    let failed = root::failed_at(Operation::Delete, key);
    let (path, flags) = match Name::parse(Operation::Delete, key)? {
        Name::File(path) => (path, AtFlags::empty()),
        Name::Directory(path) => (path, AtFlags::REMOVEDIR),
    };
    let (above, name) = split(path);
    let directory = root.directory(above).map_err(&failed)?;
    let _one_at_a_time = root.replacing.lock().unwrap_or_else(PoisonError::into_inner);
    let stat = root.stat(path).map_err(&failed)?;
    if root::is_directory(&stat) != (flags == AtFlags::REMOVEDIR) {
        return Err(failed(Errno::NOENT));
    }
    if version.is_some_and(|wanted| *wanted != root::version(&stat)) {
        return Err(changed(Operation::Delete, key));
    }
    rustix::fs::unlinkat(&directory, name, flags).map_err(|errno| match errno {
        Errno::NOTEMPTY | Errno::EXIST => {
            StoreError::new(StoreErrorKind::Other, Operation::Delete, "the directory is not empty").about(key)
        }
        errno => failed(errno),
    })?;
    rustix::fs::fsync(&directory).map_err(failed)
}

fn changed(operation: Operation, key: &ObjectKey) -> StoreError {
    StoreError::new(StoreErrorKind::Changed, operation, "the file has another version now").about(key)
}

/// The system's number of an input or output error.
pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// [`PutOptions`] as they are kept beside a file.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct KeptOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    metadata: std::collections::BTreeMap<String, String>,
}

/// Keeps `options` beside the file; nothing is written when there are none.
fn write_options(file: impl AsFd, options: &PutOptions) -> Result<(), Errno> {
    if *options == PutOptions::default() {
        return Ok(());
    }
    let PutOptions { content_type, metadata } = options.clone();
    let text = serde_json::to_vec(&KeptOptions { content_type, metadata }).map_err(|_| Errno::INVAL)?;
    rustix::fs::fsetxattr(file, OPTIONS_ATTRIBUTE, &text, XattrFlags::empty())
}

/// Nothing is kept beside it any more.
fn forget_options(file: impl AsFd) -> Result<(), Errno> {
    match rustix::fs::fremovexattr(file, OPTIONS_ATTRIBUTE) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// What is kept beside the file or directory `name` in `directory`.
pub(super) fn options_at(directory: &OwnedFd, name: &[u8]) -> PutOptions {
    // There is no call that takes a directory and a name; the descriptor's own name leads there all the same.
    let path = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat();
    let mut text = [0; 512];
    match rustix::fs::lgetxattr(&path, OPTIONS_ATTRIBUTE, &mut text[..]) {
        Ok(count) => parse_options(&text[..count]),
        Err(Errno::RANGE) => {
            let mut text = vec![0; OPTIONS_MAX];
            rustix::fs::lgetxattr(&path, OPTIONS_ATTRIBUTE, &mut text[..])
                .map_or_else(|_| PutOptions::default(), |count| parse_options(&text[..count]))
        }
        Err(_) => PutOptions::default(),
    }
}

fn parse_options(text: &[u8]) -> PutOptions {
    let KeptOptions { content_type, metadata } = serde_json::from_slice(text).unwrap_or_default();
    PutOptions { content_type, metadata }
}

/// What is kept beside the file; nothing where it is missing or not ours to read.
pub(super) fn read_options(file: impl AsFd) -> PutOptions {
    let mut text = [0; 512];
    let read = match rustix::fs::fgetxattr(&file, OPTIONS_ATTRIBUTE, &mut text[..]) {
        Ok(count) => serde_json::from_slice(&text[..count]).ok(),
        Err(Errno::RANGE) => {
            let mut text = vec![0; OPTIONS_MAX];
            let count = rustix::fs::fgetxattr(&file, OPTIONS_ATTRIBUTE, &mut text[..]).unwrap_or(0);
            serde_json::from_slice(&text[..count]).ok()
        }
        Err(_) => None,
    };
    let KeptOptions { content_type, metadata } = read.unwrap_or_default();
    PutOptions { content_type, metadata }
}
