//! What the plugin remembers of its volumes over its own death: one file each, and no secret in any.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::volume::Volume;

/// A volume that is mounted on this node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its handle.
    pub(crate) id: String,
    /// Where it is mounted: the staging path, or for an inline volume the pod's.
    pub(crate) mount: PathBuf,
    /// What is mounted there.
    pub(crate) volume: Volume,
    /// Number of the access mode.
    pub(crate) access_mode: i32,
    /// It is an inline volume of one pod.
    pub(crate) inline: bool,
    /// Names of the secrets it was mounted with, so that one knows whether it needs any.
    pub(crate) secrets: Vec<String>,
    /// What a person should know about its description.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
    /// Where it is bound to, and whether read-only.
    pub(crate) targets: BTreeMap<PathBuf, bool>,
}

/// The folder of the records.
#[derive(Clone, Debug)]
pub(crate) struct Records(PathBuf);

impl Records {
    /// The records below `folder`, which is made, for its owner only.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let folder = folder.join("volumes");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }

    /// What is known of volume `id`.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub(crate) fn get(&self, id: &str) -> io::Result<Option<Record>> {
        match fs::read(self.path(id)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Remembers `record`; whole or not at all.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub(crate) fn put(&self, record: &Record) -> io::Result<()> {
        let path = self.path(&record.id);
        let fresh = path.with_extension("new");
        fs::write(&fresh, serde_json::to_vec_pretty(record)?)?;
        fs::rename(&fresh, &path)
    }

    /// Forgets volume `id`.
    ///
    /// # Errors
    /// When the file is there and stays.
    pub(crate) fn remove(&self, id: &str) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// A handle is any text; its hash is a file name.
    fn path(&self, id: &str) -> PathBuf {
        self.0.join(format!("{}.json", short(id)))
    }
}

/// A name for a handle that is fit for files and sockets.
pub(crate) fn short(id: &str) -> String {
    let hash = Sha256::digest(id.as_bytes());
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> Record {
        Record {
            id: id.into(),
            mount: "/x".into(),
            volume: Volume {
                url: "mem:".into(),
                settings: BTreeMap::new(),
                read_only: true,
                allow_exec: true,
                plan: None,
                disk_cache: false,
            },
            access_mode: 1,
            inline: false,
            secrets: vec!["sas".into()],
            notes: vec!["attribute plan: none".into()],
            targets: BTreeMap::from([("/y".into(), true)]),
        }
    }

    #[test]
    fn a_record_is_read_back_whatever_its_handle_is() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path()).unwrap();
        for id in ["a/../b", "", "ä#b\n", &"x".repeat(3000)] {
            assert_eq!(records.get(id).unwrap(), None);
            records.put(&record(id)).unwrap();
            assert_eq!(records.get(id).unwrap(), Some(record(id)));
        }
        records.remove("").unwrap();
        records.remove("").unwrap();
        assert_eq!(records.get("").unwrap(), None);
    }
}
