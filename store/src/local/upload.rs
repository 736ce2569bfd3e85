//! Uploads in parts: a hidden directory at the top holds one directory an upload, one file a part.
//!
//! An upload that is neither completed nor given up stays on disk, as on S3, until somebody removes it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;

use bytes::Bytes;
use rfuse_block::{ByteRange, ObjectKey, Version};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::write::{Draft, errno_of};
use super::{Name, Root, root};
use crate::{Operation, PartTag, Precondition, PutOptions, StoreError, StoreErrorKind, UploadId};

/// Where the uploads are, below the top.
const UPLOADS: &str = ".rfuse-uploads";

/// The file of an upload that holds the key it is for.
const KEY_FILE: &str = "key";

/// Begins an upload.
pub(super) fn begin(root: &Root, key: &ObjectKey) -> Result<UploadId, StoreError> {
    let failed = root::failed_at(Operation::Upload, key);
    let Name::File(_) = Name::parse(Operation::Upload, key)? else {
        let text = "a local directory holds no bytes under a name that ends in `/`";
        return Err(StoreError::new(StoreErrorKind::BadName, Operation::Upload, text).about(key));
    };
    let id = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    make_directory(root, UPLOADS).map_err(&failed)?;
    let directory = make_directory(root, &format!("{UPLOADS}/{id}")).map_err(&failed)?;
    let mut file = create(&directory, KEY_FILE).map_err(&failed)?;
    file.write_all(key.as_bytes()).map_err(|error| failed(errno_of(&error)))?;
    Ok(UploadId(id))
}

fn make_directory(root: &Root, path: &str) -> Result<OwnedFd, Errno> {
    match rustix::fs::mkdirat(root, path, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => root.directory(path.as_bytes()),
        Err(errno) => Err(errno),
    }
}

fn create(directory: &OwnedFd, name: &str) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?.into())
}

fn open(directory: &OwnedFd, name: &str) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?.into())
}

/// The directory of an upload, if it is one for `key`.
fn find(root: &Root, key: &ObjectKey, upload: &UploadId) -> Result<OwnedFd, StoreError> {
    let none = || StoreError::new(StoreErrorKind::NotFound, Operation::Upload, "there is no such upload").about(key);
    let is_ours = upload.0.len() == 32 && upload.0.bytes().all(|byte| byte.is_ascii_hexdigit());
    let path = format!("{UPLOADS}/{}", upload.0);
    let directory = if is_ours { root.directory(path.as_bytes()) } else { Err(Errno::NOENT) };
    let directory = directory.map_err(|errno| match errno {
        Errno::NOENT => none(),
        errno => root::failed(Operation::Upload, errno).about(key),
    })?;
    let mut kept = Vec::new();
    let read = open(&directory, KEY_FILE).map(|mut file| file.read_to_end(&mut kept));
    if matches!(read, Ok(Ok(_))) && kept == key.as_bytes() { Ok(directory) } else { Err(none()) }
}

/// The receipt for a part: its number and the version of the file that holds it.
fn receipt(number: u32, file: &File) -> Result<PartTag, Errno> {
    Ok(PartTag(format!("{number}:{}", root::version(&rustix::fs::fstat(file)?))))
}

/// Keeps part `number`, written by `fill`; moved into place whole, so that a part sent twice is never mixed.
fn keep_part(
    directory: &OwnedFd,
    number: u32,
    fill: impl FnOnce(&mut File) -> Result<(), Errno>,
) -> Result<PartTag, Errno> {
    let draft = format!("draft-{:016x}", fastrand::u64(..));
    let mut file = create(directory, &draft)?;
    let kept = fill(&mut file)
        .and_then(|()| rustix::fs::renameat(directory, &draft, directory, format!("part-{number}")))
        .and_then(|()| receipt(number, &file));
    if kept.is_err() {
        // The first error is what is told.
        let _ = rustix::fs::unlinkat(directory, &draft, AtFlags::empty());
    }
    kept
}

/// Keeps `body` as part `number`.
pub(super) fn put_part(
    root: &Root,
    key: &ObjectKey,
    upload: &UploadId,
    number: u32,
    body: &Bytes,
) -> Result<PartTag, StoreError> {
    let directory = find(root, key, upload)?;
    keep_part(&directory, number, |file| file.write_all(body).map_err(|error| errno_of(&error)))
        .map_err(root::failed_at(Operation::Upload, key))
}

/// Keeps bytes of another file as part `number`.
pub(super) fn copy_part(
    root: &Root,
    key: &ObjectKey,
    upload: &UploadId,
    number: u32,
    (source, version): (&ObjectKey, &Version),
    range: ByteRange,
) -> Result<PartTag, StoreError> {
    let directory = find(root, key, upload)?;
    let failed = root::failed_at(Operation::Upload, source);
    let Name::File(path) = Name::parse(Operation::Upload, source)? else { return Err(failed(Errno::NOENT)) };
    let (file, stat) = root.file(path, ResolveFlags::empty()).map_err(&failed)?;
    if range.end() > stat.st_size as u64 {
        let text = format!("the range {range} ends after the {} bytes of the file", stat.st_size);
        return Err(StoreError::new(StoreErrorKind::PastEnd, Operation::Upload, text).about(source));
    }
    let mut file = File::from(file);
    let mut copy = |target: &mut File| {
        file.seek(SeekFrom::Start(range.start()))?;
        std::io::copy(&mut (&mut file).take(range.length()), target)
    };
    let tag = keep_part(&directory, number, |target| copy(target).map(drop).map_err(|error| errno_of(&error)));
    let tag = tag.map_err(&failed)?;
    // Looked at after the copy, so that a change before or during it is seen.
    let after = rustix::fs::fstat(&file).map_err(&failed)?;
    if root::version(&stat) != *version || root::version(&after) != *version {
        let text = "the file has another version now";
        return Err(StoreError::new(StoreErrorKind::Changed, Operation::Upload, text).about(source));
    }
    Ok(tag)
}

/// Makes the file of its parts.
pub(super) fn complete(
    root: &Root,
    key: &ObjectKey,
    upload: &UploadId,
    parts: &[PartTag],
    condition: &Precondition,
    options: &PutOptions,
) -> Result<Version, StoreError> {
    let failed = root::failed_at(Operation::Upload, key);
    let directory = find(root, key, upload)?;
    let Name::File(path) = Name::parse(Operation::Upload, key)? else { return Err(failed(Errno::NOENT)) };
    let mut draft = Draft::begin(root, path).map_err(&failed)?;
    for tag in parts {
        let mut part = open_part(&directory, tag).map_err(&failed)?.ok_or_else(|| {
            StoreError::new(StoreErrorKind::Other, Operation::Upload, "a part of the upload is missing").about(key)
        })?;
        std::io::copy(&mut part, &mut draft.file).map_err(|error| failed(errno_of(&error)))?;
    }
    let version = draft.publish(root, key, Operation::Upload, condition, options)?;
    remove(root, upload, &directory).map_err(&failed)?;
    Ok(version)
}

/// The part a receipt is for; none when it is not there or was sent again since.
fn open_part(directory: &OwnedFd, tag: &PartTag) -> Result<Option<File>, Errno> {
    let Some(number) = tag.0.split_once(':').and_then(|(number, _)| number.parse::<u32>().ok()) else {
        return Ok(None);
    };
    match open(directory, &format!("part-{number}")) {
        Ok(file) => Ok((receipt(number, &file)? == *tag).then_some(file)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Gives an upload up.
pub(super) fn abort(root: &Root, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
    let directory = find(root, key, upload)?;
    remove(root, upload, &directory).map_err(root::failed_at(Operation::Upload, key))
}

fn remove(root: &Root, upload: &UploadId, directory: &OwnedFd) -> Result<(), Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            rustix::fs::unlinkat(directory, entry.file_name(), AtFlags::empty())?;
        }
    }
    rustix::fs::unlinkat(root, format!("{UPLOADS}/{}", upload.0), AtFlags::REMOVEDIR)
}
