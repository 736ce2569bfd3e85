//! The bytes of a file, and what is known of it.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rfuse_block::ObjectKey;
use rustix::fs::{ResolveFlags, Stat};
use rustix::io::{Errno, ReadWriteFlags};
use smallvec::SmallVec;

use super::write::read_options;
use super::{Name, Root, root};
use crate::{Fetched, Get, Landing, ObjectMeta, Operation, StoreError, StoreErrorKind};

/// Bytes one trip to the blocking pool reads at most. After it the kernel has usually read further ahead, and
/// the calling thread goes on by itself.
const PIECE: usize = 1 << 20;

/// What `statfs` calls tmpfs (`linux/magic.h`).
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

/// Buffers one system call fills at most; the kernel takes 1,024.
const BUFFERS_MAX: usize = 256;

/// Lands the bytes that `get` asks for.
pub(super) async fn get(root: &Arc<Root>, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
    let Name::File(path) = Name::parse(Operation::Get, get.key)? else {
        return Err(root::failed(Operation::Get, Errno::NOENT).about(get.key));
    };
    let failed = root::failed_at(Operation::Get, get.key);
    let (file, before) = open(root, path).await.map_err(&failed)?;
    let version = root::version(&before);
    if get.version.is_some_and(|wanted| *wanted != version) {
        return Err(changed(get.key));
    }
    let size = before.st_size as u64;
    if get.range.start() >= size {
        let text = format!("the range {} starts after the {size} bytes of the file", get.range);
        return Err(StoreError::new(StoreErrorKind::PastEnd, Operation::Get, text).about(get.key));
    }
    let length = get.range.clamp_to(size).length();
    let file = Arc::new(file);
    landing.pin(&version);
    let landed = land(&file, get.range.start(), length, landing).await.map_err(&failed)?;
    let after = rustix::fs::fstat(&*file).map_err(&failed)?;
    if root::version(&after) != version {
        return Err(changed(get.key));
    }
    if landed < get.range.length() {
        let text = format!("the file ends at {size}, inside the range {}", get.range);
        return Err(StoreError::new(StoreErrorKind::Cut, Operation::Get, text).about(get.key));
    }
    Ok(Fetched { version, object_size: size })
}

fn changed(key: &ObjectKey) -> StoreError {
    StoreError::new(StoreErrorKind::Changed, Operation::Get, "the file has another version now").about(key)
}

/// Opens `path`: here when the kernel has every name on the way at hand, else where it may wait.
async fn open(root: &Arc<Root>, path: &[u8]) -> Result<(OwnedFd, Stat), Errno> {
    match root.file(path, ResolveFlags::CACHED) {
        Err(Errno::AGAIN | Errno::INVAL | Errno::OPNOTSUPP) => {}
        other => return other,
    }
    let (root, path) = (Arc::clone(root), path.to_vec());
    let task = tokio::task::spawn_blocking(move || root.file(&path, ResolveFlags::empty()));
    task.await.unwrap_or(Err(Errno::IO))
}

/// Lands `length` bytes from `offset` on; how many came before the end of the file.
async fn land(file: &Arc<OwnedFd>, offset: u64, length: u64, landing: &mut Landing<'_>) -> Result<u64, Errno> {
    let mut landed = 0;
    let mut piece = Vec::new();
    while landed < length {
        let at_hand = match land_at_hand(file, offset + landed, length - landed, ReadWriteFlags::NOWAIT, landing) {
            Err(Errno::OPNOTSUPP) if is_in_memory(file) => {
                land_at_hand(file, offset + landed, length - landed, ReadWriteFlags::empty(), landing)
            }
            other => other,
        };
        match at_hand {
            Ok(0) => break,
            Ok(count) => landed += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN | Errno::OPNOTSUPP) => {
                piece.resize(usize::try_from(length - landed).unwrap_or(PIECE).min(PIECE), 0);
                let count;
                (piece, count) = read_blocking(file, offset + landed, piece).await?;
                if count == 0 {
                    break;
                }
                // A landing is as long as its range, so what was read fits.
                let _ = landing.push(&piece[..count]);
                landed += count as u64;
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(landed)
}

/// Whether the file is on tmpfs: it has no `NOWAIT`, and needs none.
fn is_in_memory(file: &OwnedFd) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|system| system.f_type == TMPFS_MAGIC)
}

/// Lands bytes by one system call; with `NOWAIT` only what the page cache holds.
///
/// # Errors
/// `AGAIN` when the next byte is not there, `OPNOTSUPP` where the file system cannot tell.
fn land_at_hand(
    file: &OwnedFd,
    offset: u64,
    length: u64,
    flags: ReadWriteFlags,
    landing: &mut Landing<'_>,
) -> Result<u64, Errno> {
    let mut left = length;
    let mut buffers: SmallVec<[IoSliceMut<'_>; 16]> = SmallVec::new();
    for buffer in landing.spare().take(BUFFERS_MAX) {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        buffers.push(IoSliceMut::new(&mut buffer[..count]));
        left -= count as u64;
        if left == 0 {
            break;
        }
    }
    let count = rustix::io::preadv2(file, &mut buffers, offset, flags)? as u64;
    drop(buffers);
    landing.advance(count);
    Ok(count)
}

/// Fills `buffer` from `offset` on, on a thread that may wait; hands the buffer back.
async fn read_blocking(file: &Arc<OwnedFd>, offset: u64, mut buffer: Vec<u8>) -> Result<(Vec<u8>, usize), Errno> {
    let file = Arc::clone(file);
    let task = tokio::task::spawn_blocking(move || {
        loop {
            match rustix::io::pread(&*file, buffer.as_mut_slice(), offset) {
                Err(Errno::INTR) => {}
                Ok(count) => return Ok((buffer, count)),
                Err(errno) => return Err(errno),
            }
        }
    });
    task.await.unwrap_or(Err(Errno::IO))
}

/// What is known of `key`, its metadata included.
pub(super) fn head(root: &Root, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
    let failed = root::failed_at(Operation::Head, key);
    match Name::parse(Operation::Head, key)? {
        Name::File(path) => {
            let (file, stat) = root.file(path, ResolveFlags::empty()).map_err(&failed)?;
            let options = read_options(&file);
            let mut meta = meta(key, &stat);
            meta.content_type = options.content_type;
            meta.metadata = options.metadata;
            Ok(meta)
        }
        Name::Directory(path) => match root.stat(path).map_err(&failed)? {
            stat if root::is_directory(&stat) => {
                let options = read_options(root.directory(path).map_err(&failed)?);
                Ok(ObjectMeta { metadata: options.metadata, ..meta(key, &stat) })
            }
            _ => Err(failed(Errno::NOENT)),
        },
    }
}

/// What `stat` says of `key`.
pub(super) fn meta(key: &ObjectKey, stat: &Stat) -> ObjectMeta {
    let is_directory = root::is_directory(stat);
    ObjectMeta {
        key: key.clone(),
        size: if is_directory { 0 } else { stat.st_size as u64 },
        version: root::version(stat),
        modified: root::modified(stat),
        content_type: None,
        metadata: BTreeMap::new(),
        is_directory,
    }
}
