//! The file system over a store in memory, asked as the kernel asks it.

#![expect(clippy::unwrap_used, reason = "part of the test")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rfuse_block::ObjectKey;
use rfuse_cache::BlockCache;
use rfuse_config::{CacheConfig, FsConfig};
use rfuse_fs::{
    Attr, AttrChange, Clock, Entry, Errno, FileKind, FileSystem, FsError, Handle, Inode, RenameMode, Via, WriteMode,
};
use rfuse_store::{MemoryStore, Store};

use crate::model::{DIRECTORY_MODE, FILE_MODE, Kind, Model, NOWHERE, Seen, Stat, Step};

/// Small, so that a file of some hundred bytes is many parts.
const PART: u64 = 64;

/// Who makes and owns everything.
const OWNER: (u32, u32) = (0, 0);

/// A file system that is played on.
pub(crate) struct Files {
    memory: Arc<MemoryStore>,
    fs: Arc<FileSystem>,
    clock: Clock,
    held: Option<(Handle, Inode)>,
    _spool: tempfile::TempDir,
}

type Done<T> = Result<T, Errno>;

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn errno(error: FsError) -> Errno {
    error.errno()
}

impl Files {
    pub(crate) fn new() -> Self {
        let memory = Arc::new(MemoryStore::new());
        let spool = tempfile::tempdir().unwrap();
        let config = FsConfig {
            read_only: false,
            posix: true,
            file_mode: FILE_MODE,
            dir_mode: DIRECTORY_MODE,
            spool: Some(spool.path().join("spool")),
            part_size: PART,
            upload_memory: 4 * PART,
            ..FsConfig::default()
        };
        let store: Arc<dyn Store> = memory.clone();
        let cache = BlockCache::new(Arc::clone(&store), &CacheConfig::default());
        let clock = Clock::manual();
        let fs = FileSystem::with_clock(store, cache, &config, tokio::runtime::Handle::current(), clock.clone());
        Self { memory, fs, clock, held: None, _spool: spool }
    }

    /// What is seen of a step. Before those of somebody else can be seen, what is known must be too old.
    pub(crate) async fn play(&mut self, step: &Step) -> Seen {
        self.clock.advance(Duration::from_millis(1));
        let seen = self.act(step).await.unwrap_or_else(Seen::Failed);
        if matches!(step, Step::TheyStore { .. } | Step::TheyDelete { .. } | Step::TheyMakeDirectory { .. }) {
            self.clock.advance(Duration::from_secs(100));
        }
        seen
    }

    /// Looks at everything the model has, at once and after all was forgotten.
    pub(crate) async fn check_all(&mut self, model: &mut Model) {
        for _ in 0..2 {
            for path in model.paths() {
                for step in [Step::Stat { path: path.clone() }, Step::Read { path: path.clone() }, Step::List { path }]
                {
                    let (expected, seen) = (model.play(&step), self.play(&step).await);
                    assert!(seen.is_as(&expected), "at the end, {step:?}: {seen:?} is not {expected:?}");
                }
            }
            self.clock.advance(Duration::from_secs(100));
        }
    }

    async fn act(&mut self, step: &Step) -> Done<Seen> {
        match step {
            Step::Store { path, bytes } => {
                let handle = self.open_or_make(path, false).await?;
                self.write(handle, 0, bytes).await;
            }
            Step::New { path } => {
                let handle = self.open_or_make(path, true).await?;
                self.write(handle, 0, b"").await;
            }
            Step::Append { path, bytes } => {
                let (handle, attr) = self.open_to_write(path).await?;
                self.write(handle, attr.size, bytes).await;
            }
            Step::WriteAt { path, offset, bytes } => {
                let (handle, _) = self.open_to_write(path).await?;
                self.write(handle, *offset, bytes).await;
            }
            Step::Truncate { path, size } => {
                let (handle, attr) = self.open_to_write(path).await?;
                let change = AttrChange { size: Some(*size), ..AttrChange::default() };
                self.fs.setattr(attr.inode, Some(handle), change).wait().await.unwrap();
                self.write(handle, 0, b"").await;
            }
            Step::Read { path } => {
                let (handle, _) = self.open_to_read(path).await?;
                let bytes = self.fs.read(handle, 0, 1 << 20).wait().await.map_err(errno)?.to_vec();
                self.fs.release(handle);
                return Ok(Seen::Bytes(bytes));
            }
            Step::Stat { path } => {
                let attr = self.find(path).await?;
                return Ok(Seen::Stat(stat(&attr)));
            }
            Step::List { path } => return self.list(path).await,
            Step::Unlink { path } => {
                // The kernel looks first, and asks for another removal of directories.
                if self.find(path).await?.kind == FileKind::Directory {
                    return Err(Errno::ISDIR);
                }
                let (parent, name) = self.parent(path).await?;
                self.fs.unlink(parent, name).wait().await.map_err(errno)?;
            }
            Step::Mkdir { path } => {
                let (parent, name) = self.parent(path).await?;
                let made = self.fs.mkdir(parent, name, DIRECTORY_MODE, OWNER).wait().await.map_err(errno)?;
                self.forget(&made);
            }
            Step::Rmdir { path } => {
                if self.find(path).await?.kind != FileKind::Directory {
                    return Err(Errno::NOTDIR);
                }
                let (parent, name) = self.parent(path).await?;
                self.fs.rmdir(parent, name).wait().await.map_err(errno)?;
            }
            Step::Rename { from, to, no_replace } => self.rename(from, to, *no_replace).await?,
            Step::Mode { path, mode } => {
                let attr = self.find(path).await?;
                if attr.kind == FileKind::Symlink {
                    return Err(Errno::NOENT);
                }
                let change = AttrChange { mode: Some(*mode), ..AttrChange::default() };
                self.fs.setattr(attr.inode, None, change).wait().await.map_err(errno)?;
            }
            Step::Time { path, seconds } => {
                let time = UNIX_EPOCH + Duration::from_secs(*seconds);
                let change = AttrChange { modified: Some(time), ..AttrChange::default() };
                let inode = self.find(path).await?.inode;
                self.fs.setattr(inode, None, change).wait().await.map_err(errno)?;
            }
            Step::Symlink { path } => {
                let (parent, name) = self.parent(path).await?;
                let made = self.fs.symlink(parent, name, NOWHERE.as_bytes(), OWNER).wait().await.map_err(errno)?;
                self.forget(&made);
            }
            Step::Readlink { path } => {
                let attr = self.find(path).await?;
                if attr.kind != FileKind::Symlink {
                    return Err(Errno::INVAL);
                }
                let target = self.fs.readlink(attr.inode).wait().await.map_err(errno)?;
                return Ok(Seen::Bytes(target.to_vec()));
            }
            Step::Hold { path } => {
                let (handle, attr) = self.open_to_read(path).await?;
                if let Some((old, inode)) = self.held.replace((handle, attr.inode)) {
                    self.fs.release(old);
                    self.fs.forget(inode, 1);
                }
                // A descriptor's inode is not forgotten.
                self.find(path).await?;
            }
            Step::ReadHeld => {
                let Some((handle, _)) = self.held else { return Ok(Seen::Nothing) };
                let bytes = self.fs.read(handle, 0, 1 << 20).wait().await.map_err(errno)?;
                return Ok(Seen::Bytes(bytes.to_vec()));
            }
            Step::TheyStore { path, bytes } => {
                self.memory.put_now(path.join("/").as_str(), bytes.clone());
            }
            Step::TheyDelete { path } => {
                self.memory.delete(&ObjectKey::from(path.join("/").as_str()), None).await.unwrap();
            }
            Step::TheyMakeDirectory { path } => {
                self.memory.put_now(format!("{}/", path.join("/")).as_str(), "");
            }
        }
        Ok(Seen::Done)
    }

    fn forget(&self, entry: &Entry) {
        if let Entry::Found { attr, .. } = entry {
            self.fs.forget(attr.inode, 1);
        }
    }

    /// The directory that holds the last name of `path`, as the kernel finds it; it follows links.
    async fn parent<'a>(&self, path: &'a [&'static str]) -> Done<(Inode, &'a [u8])> {
        let (name, above) = path.split_last().unwrap();
        let mut inode = Inode::ROOT;
        for part in above {
            let entry = self.fs.lookup(inode, part.as_bytes()).wait().await.map_err(errno)?;
            let Entry::Found { attr, .. } = entry else { return Err(Errno::NOENT) };
            match attr.kind {
                FileKind::Directory => inode = attr.inode,
                FileKind::File => return Err(Errno::NOTDIR),
                FileKind::Symlink => return Err(Errno::NOENT),
            }
        }
        Ok((inode, name.as_bytes()))
    }

    /// What is at `path`.
    async fn find(&self, path: &[&'static str]) -> Done<Attr> {
        let (parent, name) = self.parent(path).await?;
        match self.fs.lookup(parent, name).wait().await.map_err(errno)? {
            Entry::Found { attr, .. } => Ok(attr),
            Entry::Absent { .. } => Err(Errno::NOENT),
        }
    }

    async fn file(&self, path: &[&'static str]) -> Done<Attr> {
        let attr = self.find(path).await?;
        match attr.kind {
            FileKind::File => Ok(attr),
            FileKind::Directory => Err(Errno::ISDIR),
            FileKind::Symlink => Err(Errno::NOENT),
        }
    }

    async fn open_to_read(&self, path: &[&'static str]) -> Done<(Handle, Attr)> {
        let attr = self.file(path).await?;
        let opened = self.fs.open(attr.inode, Via::Pages).wait().await.map_err(errno)?;
        Ok((opened.handle, attr))
    }

    async fn open_to_write(&self, path: &[&'static str]) -> Done<(Handle, Attr)> {
        let attr = self.file(path).await?;
        let opened = self.fs.open_to_write(attr.inode, WriteMode::default()).wait().await.map_err(errno)?;
        Ok((opened.handle, attr))
    }

    async fn open_or_make(&self, path: &[&'static str], must_be_new: bool) -> Done<Handle> {
        let (parent, name) = self.parent(path).await?;
        match self.find(path).await {
            Ok(_) if must_be_new => Err(Errno::EXIST),
            Ok(_) => {
                let inode = self.file(path).await?.inode;
                let mode = WriteMode { truncate: true, exclusive: false };
                Ok(self.fs.open_to_write(inode, mode).wait().await.map_err(errno)?.handle)
            }
            Err(Errno::NOENT) => {
                let mode = WriteMode { truncate: false, exclusive: must_be_new };
                let made = self.fs.create(parent, name, FILE_MODE, OWNER, mode).wait().await.map_err(errno)?;
                self.forget(&made.0);
                Ok(made.1.handle)
            }
            Err(errno) => Err(errno),
        }
    }

    /// Writes, closes and releases.
    async fn write(&self, handle: Handle, offset: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            assert_eq!(self.fs.write(handle, offset, bytes).wait().await.unwrap() as usize, bytes.len());
        }
        self.fs.synchronize(handle).wait().await.unwrap();
        self.fs.release(handle);
    }

    /// The kernel finds both names, and sees by itself that a directory would move into itself or over one it is
    /// in.
    async fn rename(&self, from: &[&'static str], to: &[&'static str], no_replace: bool) -> Done<()> {
        let (source, target) = (self.parent(from).await?, self.parent(to).await?);
        self.find(from).await?;
        let there = self.find(to).await;
        if no_replace && there.is_ok() {
            return Err(Errno::EXIST);
        }
        if to.len() > from.len() && to.starts_with(from) {
            return Err(Errno::INVAL);
        }
        if from.len() > to.len() && from.starts_with(to) {
            return Err(Errno::NOTEMPTY);
        }
        self.fs.rename(source, target, RenameMode { no_replace }).wait().await.map_err(errno)
    }

    async fn list(&self, path: &[&'static str]) -> Done<Seen> {
        let attr = self.find(path).await?;
        match attr.kind {
            FileKind::Directory => {}
            FileKind::File => return Err(Errno::NOTDIR),
            FileKind::Symlink => return Err(Errno::NOENT),
        }
        let handle = self.fs.opendir(attr.inode).wait().await.map_err(errno)?;
        let (mut names, mut cookie) = (Vec::new(), 0);
        loop {
            let entries = self.fs.readdir(handle, cookie, 3).wait().await.map_err(errno)?;
            let Some(last) = entries.last() else { break };
            cookie = last.next;
            let shown = entries.into_iter().filter(|entry| entry.name != b"." && entry.name != b"..");
            names.extend(shown.map(|entry| (String::from_utf8(entry.name).unwrap(), kind(entry.attr.kind))));
        }
        self.fs.releasedir(handle);
        names.sort();
        Ok(Seen::Names(names))
    }
}

fn kind(kind: FileKind) -> Kind {
    match kind {
        FileKind::File => Kind::File,
        FileKind::Directory => Kind::Directory,
        FileKind::Symlink => Kind::Link,
    }
}

fn stat(attr: &Attr) -> Stat {
    let is = |one| attr.kind == one;
    Stat {
        kind: kind(attr.kind),
        size: is(FileKind::File).then_some(attr.size),
        mode: (!is(FileKind::Symlink)).then_some(attr.mode),
        time: attr.modified.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs()),
    }
}
