//! Noticing that a credential file has changed.
//!
//! By looking every few seconds: inotify misses network file systems, and a mounted Kubernetes secret changes
//! by the swap of a symbolic link two folders up. A look is one `stat`, which follows links.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::StoreErrorKind;
use crate::credential::{CredentialControl, Reloaded};

/// How often a credential file is looked at.
pub(crate) const INTERVAL: Duration = Duration::from_secs(3);

/// A credential whose source is a file.
pub(crate) trait Watched: CredentialControl + 'static {
    /// The file, or the folder that holds it; none when this one does not come from a file.
    fn path(&self) -> Option<PathBuf>;
}

/// Reloads `control` whenever its file changes, looking every `interval`, for as long as somebody else holds
/// it. A refused content is logged once, and tried again when time may heal it or the file changes.
pub(crate) fn watch<C: Watched>(control: &Arc<C>, interval: Duration) {
    if let Some(path) = control.path() {
        tokio::spawn(look(Arc::downgrade(control), path, interval));
    }
}

async fn look<C: Watched>(control: Weak<C>, path: PathBuf, interval: Duration) {
    // None at first: the file may have changed since it was read.
    let mut settled: Option<Stamp> = None;
    let mut refused: Option<Stamp> = None;
    loop {
        tokio::time::sleep(interval).await;
        let Some(control) = control.upgrade() else { return };
        let now = Stamp::of(&path);
        // While the file is away, between two steps of a replacement, nothing is to be done.
        if now.is_none() || now == settled {
            continue;
        }
        match control.reload().await {
            Ok(Reloaded::Unchanged) => settled = now,
            Ok(Reloaded::Swapped) => {
                settled = now;
                tracing::info!(source = %control.describe(), "new credential tested and in use");
            }
            Err(error) => {
                let heals = error.kind.is_transient() || error.kind == StoreErrorKind::ClockSkew;
                settled = if heals { settled } else { now };
                if refused != now {
                    refused = now;
                    tracing::warn!(source = %control.describe(), %error, "new credential refused, the old one stays in use");
                }
            }
        }
    }
}

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        // A mounted secret folder is known by its `..data` link, whose target changes with its content.
        let data = path.join("..data");
        let meta = std::fs::metadata(&data).or_else(|_| std::fs::metadata(path)).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_and_a_swapped_secret_folder_look_different() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sas");
        assert_eq!(Stamp::of(&file), None);
        std::fs::write(&file, "one").unwrap();
        let before = Stamp::of(&file);
        std::fs::write(dir.path().join("next"), "two").unwrap();
        std::fs::rename(dir.path().join("next"), &file).unwrap();
        assert_ne!(Stamp::of(&file), before);

        for version in ["v1", "v2"] {
            std::fs::create_dir(dir.path().join(version)).unwrap();
            std::fs::write(dir.path().join(version).join("token"), version).unwrap();
        }
        let data = dir.path().join("..data");
        std::os::unix::fs::symlink("v1", &data).unwrap();
        std::os::unix::fs::symlink("..data/token", dir.path().join("token")).unwrap();
        let (folder, token) = (Stamp::of(dir.path()), Stamp::of(&dir.path().join("token")));
        std::fs::remove_file(&data).unwrap();
        std::os::unix::fs::symlink("v2", &data).unwrap();
        assert_ne!(Stamp::of(dir.path()), folder);
        assert_ne!(Stamp::of(&dir.path().join("token")), token);
    }
}
