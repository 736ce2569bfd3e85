//! What a generated folder holds: the recipe it was made from, and each file with its checksums.
//!
//! `manifest.json` lies beside the files. A replay looks up the checksum of each piece it reads; a folder without a
//! manifest is replayed all the same, checked by what its logs carry themselves.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::outcome::{Exit, Failure};
use crate::output::Output;

/// The name of the file.
pub(crate) const NAME: &str = "manifest.json";

/// A generated folder.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The layout of this file.
    pub(crate) format: u32,
    /// What the files follow from.
    pub(crate) recipe: Recipe,
    /// The files by name.
    pub(crate) files: BTreeMap<String, Entry>,
}

/// All that decides the bytes of the files.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Recipe {
    /// The seed of everything.
    pub(crate) seed: u64,
    /// Seconds of driving a log.
    pub(crate) seconds: u32,
    /// Bytes a token file.
    pub(crate) token_bytes: u64,
    /// `zstd` or `none`.
    pub(crate) compression: String,
    /// Bytes gathered before a chunk is closed.
    pub(crate) chunk_bytes: u64,
    /// Cameras around the car.
    pub(crate) cameras: usize,
    /// Width and height of an image.
    pub(crate) camera_size: (u32, u32),
    /// Beams and steps a turn of the lidar.
    pub(crate) lidar: (u32, u32),
}

/// One file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Its length.
    pub(crate) bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub(crate) sha256: String,
    /// For a token file: the seed its bytes follow from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) content_seed: Option<u64>,
    /// For a log: offset, length and CRC-32 of each chunk record.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) pieces: Vec<(u64, u64, u32)>,
}

impl Manifest {
    /// An empty one.
    pub(crate) fn new(recipe: Recipe) -> Self {
        Self { format: 1, recipe, files: BTreeMap::new() }
    }

    /// The manifest of a folder, if it has one.
    ///
    /// # Errors
    /// It cannot be read or is no manifest.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, Failure> {
        let path = folder.join(NAME);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::file("read", &path, &error)),
        };
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| {
            let help = "generate the folder again, or remove the manifest to go without its checksums";
            Failure::new(Exit::Failed, format!("read {}", path.display()), error.to_string(), help)
        })?;
        if manifest.format != 1 {
            let why = format!("it is of format {}, this program knows format 1", manifest.format);
            return Err(Failure::new(Exit::Failed, format!("read {}", path.display()), why, "use a newer rfuse-resim"));
        }
        Ok(Some(manifest))
    }

    /// Writes it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let path = folder.join(NAME);
        let text = serde_json::to_vec_pretty(self).map_err(|error| {
            Failure::new(Exit::Failed, format!("write {}", path.display()), error.to_string(), "report this")
        })?;
        Output::write(&path, &text)
    }
}
