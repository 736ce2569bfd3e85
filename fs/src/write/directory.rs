//! Directories and links that are made, and directories that go.
//!
//! A directory is there when an object says so or lies in it. What says so is a marker: an empty object whose
//! name ends in `/`, as the consoles of S3 make it, or one without the `/` whose metadata has
//! `hdi_isfolder=true`, as Azure's tools do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use rfuse_block::{ByteRange, ObjectKey};
use rfuse_store::{Get, Landing, ListRequest, Precondition, PutOptions, StoreError, StoreErrorKind, Urgency};

use crate::child::{FileMeta, Marker, What};
use crate::posix::Posix;
use crate::{Answer, Entry, FileSystem, FsError, Inode, name};

/// The content type that S3's tools give a marker.
const MARKER_TYPE: &str = "application/x-directory";
/// The field that makes an object of Azure a directory.
const FOLDER: (&str, &str) = ("hdi_isfolder", "true");
/// The field that makes an object a link, its bytes being the target.
const LINK: (&str, &str) = ("is_symlink", "true");
/// The longest target of a link, as in Linux.
const TARGET_MAX: usize = 4095;
/// Times a marker that others change too is read and written anew.
const MARKER_TRIES: usize = 4;

impl FileSystem {
    /// Makes the directory `name` in the directory `parent`, with what is kept of its mode and owner.
    /// [`Entry::Found`] counts one reference.
    pub fn mkdir(self: &Arc<Self>, parent: Inode, name: &[u8], mode: u32, owner: (u32, u32)) -> Answer<Entry> {
        let posix = self.posix_of_new(mode, owner, self.config.dir_mode);
        self.make(parent, name, move |fs, prefix, name| async move {
            let directory = name::directory_key(&prefix, &name);
            fs.put_marker(&directory, &Precondition::Absent, &posix).await.map_err(Arc::new)?;
            let now = fs.clock.now();
            let what = What::Directory(Some(Marker::new(posix)));
            fs.directories.forget_below(&directory);
            fs.directories.change(&prefix, &name, Some(&what), now, now);
            let node = fs.refer(&directory, &what, now);
            Ok(Entry::Found { attr: fs.attr_of(&node), ttl: fs.ttl(now) })
        })
    }

    /// Makes the symbolic link `name` to `target` in the directory `parent`. [`Entry::Found`] counts one
    /// reference.
    ///
    /// # Errors
    /// `NotPermitted` where listings do not tell links from files.
    pub fn symlink(self: &Arc<Self>, parent: Inode, name: &[u8], target: &[u8], owner: (u32, u32)) -> Answer<Entry> {
        if !self.config.posix {
            return Answer::Ready(Err(FsError::NotPermitted("links need metadata in listings, or --posix metadata")));
        }
        if !(1..=TARGET_MAX).contains(&target.len()) {
            return Answer::Ready(Err(FsError::Invalid("the target of a link has 1 to 4095 bytes")));
        }
        let target = Bytes::copy_from_slice(target);
        // A link's mode is everybody's. Its time is kept, since stores round theirs.
        let posix = Posix { modified: Some(SystemTime::now()), ..self.posix_of_new(0, owner, 0) };
        self.make(parent, name, move |fs, prefix, name| async move {
            let key = name::file_key(&prefix, &name);
            let mut options = PutOptions::default();
            options.metadata.insert(LINK.0.to_owned(), LINK.1.to_owned());
            posix.write(&mut options.metadata);
            let size = target.len() as u64;
            let put = fs.store.put(&key, target, &Precondition::Absent, &options).await;
            let version = put.map_err(Arc::new)?;
            let modified = SystemTime::now();
            let meta = FileMeta {
                size,
                version,
                modified,
                content_type: None,
                is_symlink: true,
                posix: FileMeta::kept(posix),
            };
            let (what, now) = (What::File(meta), fs.clock.now());
            fs.directories.change(&prefix, &name, Some(&what), now, now);
            let node = fs.refer(&key, &what, now);
            Ok(Entry::Found { attr: fs.attr_of(&node), ttl: fs.ttl(now) })
        })
    }

    /// Makes something under a name that must be free, to its end even if the caller stops waiting.
    fn make<F>(
        self: &Arc<Self>,
        parent: Inode,
        name: &[u8],
        make: impl FnOnce(Arc<Self>, ObjectKey, Box<[u8]>) -> F + Send + 'static,
    ) -> Answer<Entry>
    where
        F: Future<Output = Result<Entry, FsError>> + Send + 'static,
    {
        let prefix = match self.writable().and_then(|()| self.directory_to_search(parent, name)) {
            Ok(prefix) => prefix,
            Err(error) => return Answer::Ready(Err(error)),
        };
        let (fs, name) = (Arc::clone(self), Box::<[u8]>::from(name));
        Answer::Pending(Box::pin(async move {
            let work = Arc::clone(&fs);
            let made = fs.runtime.spawn(async move {
                if work.what_is(&prefix, &name).await?.is_some() {
                    return Err(FsError::Exists);
                }
                let made = make(Arc::clone(&work), prefix.clone(), name).await?;
                work.touch(&prefix);
                Ok(made)
            });
            made.await.unwrap_or(Err(FsError::Interrupted))
        }))
    }

    /// What a name stands for, asked from the store where memory does not know; a file that is being written is
    /// a file.
    pub(crate) async fn what_is(self: &Arc<Self>, prefix: &ObjectKey, name: &[u8]) -> Result<Option<What>, FsError> {
        if let Some(edit) = self.writing.edits.find(&name::file_key(prefix, name)) {
            let (meta, _) = self.edit_meta(&edit);
            return Ok(Some(What::File(meta)));
        }
        match self.lookup_known(prefix, name) {
            Some(known) => Ok(known),
            None => Ok(self.find_out(prefix, name, 0).await?.0),
        }
    }

    /// Removes the empty directory `name` from the directory `parent`.
    pub fn rmdir(self: &Arc<Self>, parent: Inode, name: &[u8]) -> Answer<()> {
        let prefix = match self.deletable().and_then(|()| self.directory_to_search(parent, name)) {
            Ok(prefix) => prefix,
            Err(error) => return Answer::Ready(Err(error)),
        };
        let (fs, name) = (Arc::clone(self), Box::<[u8]>::from(name));
        Answer::Pending(Box::pin(async move {
            let work = Arc::clone(&fs);
            let done = fs.runtime.spawn(async move { work.rmdir_now(&prefix, &name).await });
            done.await.unwrap_or(Err(FsError::Interrupted))
        }))
    }

    pub(crate) async fn rmdir_now(self: &Arc<Self>, prefix: &ObjectKey, name: &[u8]) -> Result<(), FsError> {
        let directory = name::directory_key(prefix, name);
        if !self.writing.edits.below(&directory).is_empty() {
            return Err(FsError::NotEmpty);
        }
        let mut markers = Vec::new();
        let mut token = None;
        loop {
            let request = ListRequest {
                prefix: &directory,
                delimited: false,
                token: token.as_ref(),
                limit: Some(2),
                urgency: Urgency::Demand,
            };
            let page = self.store.list(request).await.map_err(Arc::new)?;
            match page.entries.iter().find(|entry| *entry.key() != directory) {
                Some(_) => return Err(FsError::NotEmpty),
                None if !page.entries.is_empty() => markers.push(directory.clone()),
                None => {}
            }
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        let folder = name::file_key(prefix, name);
        match self.store.head(&folder).await {
            Ok(meta) if meta.is_directory => markers.push(folder),
            Ok(_) => {}
            Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::BadName) => {}
            Err(error) => return Err(Arc::new(error).into()),
        }
        if markers.is_empty() {
            return Err(FsError::NotFound);
        }
        markers.dedup();
        for marker in &markers {
            match self.delete(marker).await {
                // A local directory is both its markers.
                Err(FsError::NotFound) if markers.len() > 1 => {}
                other => other?,
            }
        }
        self.gone_directory(prefix, name);
        self.touch(prefix);
        self.keep_directory(prefix).await;
        Ok(())
    }

    pub(crate) fn gone_directory(&self, prefix: &ObjectKey, name: &[u8]) {
        let directory = name::directory_key(prefix, name);
        if let Some(node) = self.inodes.at(&directory) {
            self.inodes.unlink(&node);
        }
        self.directories.forget_below(&directory);
        let now = self.clock.now();
        self.directories.change(prefix, name, None, now, now);
    }

    /// What is kept of mode and owner of something new; `usual` is the mode it would have without.
    pub(crate) fn posix_of_new(&self, mode: u32, owner: (u32, u32), usual: u32) -> Posix {
        match self.config.posix {
            true => Posix::of_new(mode, owner, (usual, self.config.uid, self.config.gid)),
            false => Posix::default(),
        }
    }

    /// Notes that a directory was given a name, or lost one, just now.
    pub(crate) fn touch(&self, prefix: &ObjectKey) {
        self.directories.touch(prefix, Some(SystemTime::now()));
    }

    /// The object that says that a directory is there.
    fn marker_key(&self, directory: &ObjectKey) -> ObjectKey {
        let bytes = directory.as_bytes();
        match self.config.folder_markers {
            true => ObjectKey::new(bytes.strip_suffix(b"/").unwrap_or(bytes)),
            false => directory.clone(),
        }
    }

    /// What a marker has beside its name.
    fn marker_options(&self, posix: &Posix, mut metadata: BTreeMap<String, String>) -> PutOptions {
        posix.write_directory(&mut metadata);
        match self.config.folder_markers {
            true => {
                metadata.insert(FOLDER.0.to_owned(), FOLDER.1.to_owned());
                PutOptions { content_type: None, metadata }
            }
            false => PutOptions { content_type: Some(MARKER_TYPE.to_owned()), metadata },
        }
    }

    pub(crate) async fn put_marker(
        &self,
        directory: &ObjectKey,
        condition: &Precondition,
        posix: &Posix,
    ) -> Result<(), StoreError> {
        let options = self.marker_options(posix, BTreeMap::new());
        self.store.put(&self.marker_key(directory), Bytes::new(), condition, &options).await.map(drop)
    }

    /// Has `change` made to what is kept in the marker of a directory, which is made where there is none; what is
    /// kept then. Whoever changes it meanwhile is not overwritten.
    ///
    /// # Errors
    /// `NotPermitted` where an object has the name of the marker.
    pub(crate) async fn change_marker(
        &self,
        directory: &ObjectKey,
        change: impl Fn(Posix) -> Posix,
    ) -> Result<Posix, FsError> {
        let key = self.marker_key(directory);
        let mut tries = 0;
        loop {
            let (metadata, condition) = match self.store.head(&key).await {
                Ok(meta) if meta.is_directory || key.as_bytes().ends_with(b"/") => {
                    (meta.metadata, Precondition::Matches(meta.version))
                }
                Ok(_) => return Err(FsError::NotPermitted("an object has the name of the directory")),
                Err(error) if error.kind == StoreErrorKind::NotFound => (BTreeMap::new(), Precondition::Absent),
                Err(error) => return Err(Arc::new(error).into()),
            };
            let posix = change(Posix::read(&metadata));
            let options = self.marker_options(&posix, metadata);
            match self.store.put(&key, Bytes::new(), &condition, &options).await {
                Ok(_) => return Ok(posix),
                Err(error)
                    if matches!(error.kind, StoreErrorKind::Changed | StoreErrorKind::Exists)
                        && tries < MARKER_TRIES =>
                {
                    tries += 1;
                }
                Err(error) => return Err(Arc::new(error).into()),
            }
        }
    }

    /// The same for a link, whose target is what it was.
    pub(crate) async fn change_link(
        &self,
        key: &ObjectKey,
        change: impl FnOnce(Posix) -> Posix,
    ) -> Result<FileMeta, FsError> {
        let mut meta = self.store.head(key).await.map_err(Arc::new)?;
        let mut target = vec![0; usize::try_from(meta.size).unwrap_or(usize::MAX).min(TARGET_MAX)];
        let range = ByteRange::at(0, target.len() as u64);
        let get = Get { key, version: Some(&meta.version), range, urgency: Urgency::Demand };
        self.store.get(get, &mut Landing::one(&mut target)).await.map_err(Arc::new)?;
        change(Posix::read(&meta.metadata)).write(&mut meta.metadata);
        let options = PutOptions { content_type: meta.content_type.clone(), metadata: meta.metadata.clone() };
        let condition = Precondition::Matches(meta.version.clone());
        let put = self.store.put(key, target.into(), &condition, &options).await;
        meta.version = put.map_err(|error| FsError::from(Arc::new(error)))?;
        meta.modified = SystemTime::now();
        Ok(FileMeta::of(&meta, None))
    }
}
