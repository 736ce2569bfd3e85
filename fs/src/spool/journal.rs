//! What a file of the spool is: one JSON object a line, the first names the object, the others what changed.
//!
//! A file without a stored version needs no more than the first line: its bytes and its length are those of
//! the spool's file. Over a stored version, every range that becomes newer than it is noted after its bytes
//! were written. A line that a killed process wrote half is the last one, and is ignored.

use std::fs::File;
use std::io::{self, Write};

use rfuse_block::{ObjectKey, Version};
use serde::{Deserialize, Serialize};

/// The first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The object's key in hexadecimal, which any bytes survive.
    key: String,
    /// The version that was opened; none for a new object.
    version: Option<String>,
    /// Bytes of that version.
    size: u64,
    /// What is mounted.
    #[serde(default)]
    pub(super) origin: String,
}

impl Head {
    /// The object `key`, of which version and size are those that were opened.
    pub(crate) fn new(key: &ObjectKey, base: Option<(&Version, u64)>) -> Self {
        let key = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            key,
            version: base.map(|(version, _)| version.as_str().to_owned()),
            size: base.map_or(0, |(_, size)| size),
            origin: String::new(),
        }
    }

    /// Whether there was a version.
    pub(super) fn has_version(&self) -> bool {
        self.version.is_some()
    }

    /// The same, of what is mounted as `origin`.
    pub(super) fn of(mut self, origin: String) -> Self {
        self.origin = origin;
        self
    }

    /// The object; none when the text is no key.
    pub(super) fn key(&self) -> Option<ObjectKey> {
        let digits = self.key.as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        bytes.filter(|_| digits.len().is_multiple_of(2)).map(ObjectKey::new)
    }

    /// The version that was opened.
    pub(super) fn version(&self) -> Option<Version> {
        self.version.as_deref().map(Version::new)
    }

    /// Bytes of that version.
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

/// A line after the first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// The spool has these bytes: offset and length.
    Write(u64, u64),
    /// The file has this size.
    Size(u64),
    /// Bytes are written that are noted when they are on disk.
    Begun,
    /// The bytes of this part are in an upload, and no longer here.
    Sent(SentPart),
    /// What there was until here is stored under this key, as this version and size.
    Stored(Head),
}

/// A part that is only at the store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SentPart {
    /// The upload.
    pub(crate) upload: String,
    /// Its place on the grid of parts.
    pub(crate) index: u64,
    /// Where its bytes belong.
    pub(crate) offset: u64,
    /// How many they are.
    pub(crate) length: u64,
    /// The store's receipt.
    pub(crate) tag: String,
}

/// The file it is written to. Appended to only. Bytes survive the process; the machine only those of files that could
/// not be stored, because `fsync` of a program means the store, not this disk.
#[derive(Debug)]
pub(super) struct Journal(File);

impl Journal {
    /// Begins with the first line.
    pub(super) fn begin(file: File, head: &Head) -> io::Result<Self> {
        let mut journal = Self(file);
        journal.write(head)?;
        Ok(journal)
    }

    /// Goes on with one that another process began; on a line of its own, should the last be half a line.
    pub(super) fn resume(file: File) -> Self {
        Self(file)
    }

    /// Makes its lines outlive a power loss.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    /// Adds a line.
    pub(super) fn note(&mut self, line: &Line) -> io::Result<()> {
        self.write(line)
    }

    fn write(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.0.write_all(&line)
    }
}
