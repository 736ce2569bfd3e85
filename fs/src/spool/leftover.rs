//! What processes that died left in the spool.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rfuse_block::{ByteRange, ObjectKey, Version};
use rustix::fs::FlockOperation;

use super::journal::{Head, Line, SentPart};
use super::{DATA, JOURNAL, LOCK};
use crate::write::layout::Layout;

/// A file that was being written when its process died, or that could not be stored.
#[derive(Clone, Debug)]
pub struct Leftover {
    /// What was mounted.
    pub origin: String,
    /// The object it was to become.
    pub key: ObjectKey,
    /// The version it was to replace; none for a new object.
    pub version: Option<Version>,
    /// Bytes it had.
    pub size: u64,
    /// When it was written last.
    pub modified: SystemTime,
    /// The file with its bytes, at their own offsets; over a version, those it shares with it are missing.
    pub data: PathBuf,
    pub(crate) base_size: u64,
    pub(crate) layout: Layout,
    /// Parts that are only at the store.
    pub(crate) sent: Vec<SentPart>,
}

impl Leftover {
    /// Everything below the spool `root` that no living process owns and that the store does not have.
    ///
    /// # Errors
    /// What the local file system says about `root`; a root that is not there has nothing.
    pub fn all(root: &Path) -> std::io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for process in dead(root)? {
            for journal in journals(&process)? {
                if let Some(Look::Unfinished(leftover)) = Self::read(&journal) {
                    found.push(*leftover);
                }
            }
        }
        found.sort_by(|a, b| (&a.origin, &a.key).cmp(&(&b.origin, &b.key)));
        Ok(found)
    }

    /// Removes what dead processes left of files that the store has.
    ///
    /// # Errors
    /// What the local file system says.
    pub fn sweep(root: &Path) -> std::io::Result<()> {
        for process in dead(root)? {
            for journal in journals(&process)? {
                if let Some(Look::Finished) = Self::read(&journal) {
                    std::fs::remove_file(&journal)?;
                    std::fs::remove_file(journal.with_extension(DATA))?;
                }
            }
            remove_if_empty(&process)?;
        }
        Ok(())
    }

    /// One file; none when nothing can be made of its journal.
    fn read(journal: &Path) -> Option<Look> {
        let data = journal.with_extension(DATA);
        let stat = std::fs::metadata(&data).ok()?;
        let mut lines = BufReader::new(File::open(journal).ok()?).lines();
        let mut head: Head = serde_json::from_str(&lines.next()?.ok()?).ok()?;
        let mut layout = Layout::of_base(head.size());
        let (mut is_stored, mut is_begun, mut sent) = (false, false, Vec::new());
        for line in lines {
            // Half a line is the last one of a process that died.
            let Ok(Ok(line)) = line.map(|line| serde_json::from_str::<Line>(&line)) else { break };
            is_stored = false;
            match line {
                Line::Write(offset, length) => layout.write(ByteRange::at(offset, length)),
                Line::Size(size) => layout.resize(size),
                Line::Begun => is_begun = true,
                Line::Sent(part) => sent.push(part),
                Line::Stored(stored) => {
                    sent.clear();
                    is_begun = false;
                    layout = Layout::of_base(stored.size());
                    head = stored.of(head.origin);
                    is_stored = true;
                }
            }
        }
        let version = head.version();
        if version.is_none() {
            // All its bytes are in the spool, and only sizes were noted.
            layout.write(ByteRange::new(0, stat.len()));
        }
        for part in &sent {
            layout.give_away(ByteRange::at(part.offset, part.length));
        }
        if version.is_none() {
            // Whatever there is of it, the store has none of it.
        } else if is_stored || (!is_begun && layout.dirty().is_empty() && layout.size() == head.size()) {
            return Some(Look::Finished);
        }
        Some(Look::Unfinished(Box::new(Self {
            key: head.key()?,
            version,
            size: layout.size(),
            modified: stat.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            base_size: head.size(),
            origin: head.origin,
            data,
            layout,
            sent,
        })))
    }

    /// Whether all its bytes are in the spool.
    pub(crate) fn is_whole(&self) -> bool {
        self.sent.is_empty() && (self.size == 0 || self.layout.dirty().contains(ByteRange::new(0, self.size)))
    }

    /// Removes it from the spool.
    ///
    /// # Errors
    /// What the local file system says.
    pub fn discard(&self) -> std::io::Result<()> {
        std::fs::remove_file(self.data.with_extension(JOURNAL))?;
        std::fs::remove_file(&self.data)?;
        self.data.parent().map_or(Ok(()), remove_if_empty)
    }
}

/// What a journal says.
enum Look {
    Unfinished(Box<Leftover>),
    /// The store has all of it.
    Finished,
}

/// Removes the directory of a dead process when nothing is in it any more.
fn remove_if_empty(process: &Path) -> std::io::Result<()> {
    if std::fs::read_dir(process)?.filter_map(Result::ok).any(|entry| entry.file_name() != LOCK) {
        return Ok(());
    }
    if process.join(LOCK).exists() {
        std::fs::remove_file(process.join(LOCK))?;
    }
    std::fs::remove_dir(process)
}

/// The directories below `root` whose processes live no more; none where there is no root.
fn dead(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut dead = match std::fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => paths(entries?)?,
    };
    dead.retain(|path| path.is_dir() && !is_alive(path));
    Ok(dead)
}

/// The journals in the directory of a process.
fn journals(process: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut journals = paths(std::fs::read_dir(process)?)?;
    journals.retain(|path| path.extension().is_some_and(|extension| extension == JOURNAL));
    Ok(journals)
}

fn paths(entries: std::fs::ReadDir) -> std::io::Result<Vec<PathBuf>> {
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Whether the process that made the directory holds its lock.
fn is_alive(process: &Path) -> bool {
    File::open(process.join(LOCK))
        .is_ok_and(|lock| rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err())
}
