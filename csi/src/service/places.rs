//! The node's folders that `rfuse` processes write in: spools, one a volume, and the cache, one for all.
//!
//! A spool outlives its process, this service and its pod, because what is in it was promised to nobody but is
//! somebody's work: the next process of the volume finds it. Its owner is the user that its processes run as, and
//! is how that user is known again; this service needs no power to look into it.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

/// The folders, where the node has them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Places {
    /// Spools are made below this; none, and no volume can be written.
    pub spool: Option<PathBuf>,
    /// The cache folder; none, and volumes have their memory only.
    pub cache: Option<Cache>,
}

/// A folder that remembers blocks, for all volumes that ask for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cache {
    /// The folder.
    pub dir: PathBuf,
    /// Bytes of it at most, as the setting `cache-size` has it.
    pub size: String,
}

/// What became of a spool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Left {
    /// It is empty, and gone.
    Nothing,
    /// Files that are not stored lie in it.
    Files(PathBuf),
}

impl Places {
    /// The spool of volume `id` for processes of `user`, and the user it belongs to: another than asked for if what
    /// another left lies in it.
    ///
    /// # Errors
    /// There is no folder for spools, or it cannot be written.
    pub(super) fn spool(&self, id: &str, user: Option<u32>) -> io::Result<(PathBuf, Option<u32>)> {
        let Some(root) = &self.spool else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this mount service has no folder for spools"));
        };
        let path = root.join(name(id));
        let ours = rustix::process::geteuid().as_raw();
        let wanted = user.unwrap_or(ours);
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() && found.uid() == wanted => return Ok((path, user)),
            // Whoever had it has left nothing: it may be made anew.
            Ok(found) => match rustix::fs::rmdir(&path) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    return Ok((path, (found.uid() != ours).then_some(found.uid())));
                }
                other => other?,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        DirBuilder::new().mode(0o700).create(&path)?;
        if wanted != ours {
            rustix::fs::chown(&path, Some(Uid::from_raw(wanted)), Some(Gid::from_raw(wanted)))?;
        }
        Ok((path, user))
    }

    /// Takes the spool of volume `id` away, if nothing is in it.
    pub(super) fn leave(&self, id: &str) -> Left {
        let Some(path) = self.spool.as_ref().map(|root| root.join(name(id))) else { return Left::Nothing };
        match rustix::fs::rmdir(&path) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => Left::Files(path),
            _ => Left::Nothing,
        }
    }

    /// The users that spools belong to.
    pub(super) fn owners(&self) -> Vec<u32> {
        let entries = self.spool.as_deref().and_then(|root| std::fs::read_dir(root).ok());
        entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.metadata().ok()?.uid())).collect()
    }

    /// Spools of volumes that are none of `served`: what could not be stored when they left this node.
    pub(super) fn abandoned<'a>(&self, served: impl IntoIterator<Item = &'a str>) -> usize {
        let served: Vec<OsString> = served.into_iter().map(|id| name(id).into()).collect();
        let entries = self.spool.as_deref().and_then(|root| std::fs::read_dir(root).ok());
        entries.into_iter().flatten().flatten().filter(|entry| !served.contains(&entry.file_name())).count()
    }

    /// The cache folder, which belongs to `user` from now on.
    ///
    /// # Errors
    /// It cannot be given to that user.
    pub(super) fn cache(&self, user: Option<u32>) -> io::Result<Option<&Cache>> {
        let Some(cache) = &self.cache else { return Ok(None) };
        if let Some(user) = user
            && owner(&cache.dir)? != user
        {
            rustix::fs::chown(&cache.dir, Some(Uid::from_raw(user)), Some(Gid::from_raw(user)))?;
        }
        Ok(Some(cache))
    }
}

fn owner(path: &Path) -> io::Result<u32> {
    Ok(std::fs::metadata(path)?.uid())
}

/// A handle is any text; its hash is a file name, the same after every restart.
fn name(id: &str) -> String {
    Sha256::digest(id.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(root: &Path) -> Places {
        Places { spool: Some(root.to_owned()), cache: None }
    }

    #[test]
    fn a_spool_is_found_again_by_its_handle_and_goes_when_it_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        let (path, user) = places.spool("a/../b", None).unwrap();
        assert_eq!((places.spool("a/../b", None).unwrap().0, user), (path.clone(), None));
        assert_ne!(places.spool("other", None).unwrap().0, path);
        std::fs::write(path.join("work"), "x").unwrap();
        assert_eq!(places.leave("a/../b"), Left::Files(path.clone()));
        assert_eq!((places.abandoned(["other"]), places.abandoned(["other", "a/../b"])), (1, 0));
        std::fs::remove_file(path.join("work")).unwrap();
        assert_eq!(places.leave("a/../b"), Left::Nothing);
        assert!(!path.exists());
    }

    #[test]
    fn what_another_user_left_is_for_that_user_and_an_empty_spool_is_for_anybody() {
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED: giving folders to other users needs root");
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        let (path, _) = places.spool("a", Some(12_345)).unwrap();
        assert_eq!(owner(&path).unwrap(), 12_345);
        assert_eq!(places.owners(), [12_345]);
        std::fs::write(path.join("work"), "x").unwrap();
        assert_eq!(places.spool("a", Some(54_321)).unwrap(), (path.clone(), Some(12_345)));
        std::fs::remove_file(path.join("work")).unwrap();
        assert_eq!(places.spool("a", Some(54_321)).unwrap(), (path.clone(), Some(54_321)));
        assert_eq!(owner(&path).unwrap(), 54_321);
    }

    #[test]
    fn without_a_folder_for_spools_nothing_can_be_written() {
        assert_eq!(Places::default().spool("a", None).unwrap_err().kind(), io::ErrorKind::Unsupported);
        assert_eq!(Places::default().leave("a"), Left::Nothing);
    }
}
