//! The writing file system against a plain model: random operations, then what every descriptor, every name and
//! the store itself say.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use rfuse_block::{ByteRange, ObjectKey};
use rfuse_cache::BlockCache;
use rfuse_config::{CacheConfig, FsConfig};
use rfuse_fs::{
    AllocateMode, AttrChange, Clock, Entry, Errno, FileKind, FileSystem, FsError, Handle, Inode, Leftover, RenameMode,
    Via, WriteMode,
};
use rfuse_store::{Get, Landing, MemoryStore, Store, Urgency};

/// Small, so that a file of some hundred bytes is many parts.
const PART: u64 = 64;
const FILES: [&str; 3] = ["a", "b", "d/c"];

#[derive(Clone, Debug)]
enum Step {
    /// Opens a file for reading; or for writing, made where it is missing, and emptied or not.
    Open {
        file: usize,
        writes: bool,
        truncate: bool,
    },
    Write {
        open: usize,
        offset: u64,
        length: u64,
    },
    Append {
        open: usize,
        length: u64,
    },
    Read {
        open: usize,
        offset: u64,
        length: u32,
    },
    Resize {
        open: usize,
        size: u64,
    },
    Truncate {
        file: usize,
        size: u64,
    },
    Sync {
        open: usize,
    },
    Close {
        open: usize,
    },
    Unlink {
        file: usize,
    },
    Rename {
        from: usize,
        to: usize,
        no_replace: bool,
    },
    Mode {
        file: usize,
        mode: u32,
    },
    Allocate {
        open: usize,
        offset: u64,
        length: u64,
        keeps_size: bool,
        zeroes: bool,
    },
    /// The kernel forgets every inode nobody has open, and memory expires.
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let (file, open) = (0..FILES.len(), 0usize..4);
    prop_oneof![
        4 => (file.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(file, writes, truncate)| Step::Open { file, writes, truncate }),
        6 => (open.clone(), 0u64..400, 0u64..200)
            .prop_map(|(open, offset, length)| Step::Write { open, offset, length }),
        6 => (open.clone(), 0u64..200).prop_map(|(open, length)| Step::Append { open, length }),
        4 => (open.clone(), 0u64..600, 0u32..300)
            .prop_map(|(open, offset, length)| Step::Read { open, offset, length }),
        2 => (open.clone(), 0u64..600).prop_map(|(open, size)| Step::Resize { open, size }),
        1 => (file.clone(), 0u64..600).prop_map(|(file, size)| Step::Truncate { file, size }),
        2 => open.clone().prop_map(|open| Step::Sync { open }),
        2 => (open.clone(), 0u64..400, 1u64..200, any::<bool>(), any::<bool>()).prop_map(
            |(open, offset, length, keeps_size, zeroes)| Step::Allocate { open, offset, length, keeps_size, zeroes }
        ),
        3 => open.prop_map(|open| Step::Close { open }),
        1 => file.clone().prop_map(|file| Step::Unlink { file }),
        2 => (file.clone(), file.clone(), any::<bool>())
            .prop_map(|(from, to, no_replace)| Step::Rename { from, to, no_replace }),
        1 => (file, prop_oneof![Just(0o600u32), Just(0o755)]).prop_map(|(file, mode)| Step::Mode { file, mode }),
        1 => Just(Step::Forget),
    ]
}

/// A file of the model; two descriptors of one file share it.
type File = usize;

struct Play {
    memory: Arc<MemoryStore>,
    fs: Arc<FileSystem>,
    clock: Clock,
    spool: tempfile::TempDir,
    files: Vec<Vec<u8>>,
    modes: Vec<u32>,
    names: BTreeMap<String, File>,
    open: Vec<(Handle, Inode, File, bool)>,
    byte: u8,
}

#[expect(clippy::unwrap_used, reason = "part of the test")]
impl Play {
    fn new() -> Self {
        let memory = Arc::new(MemoryStore::new());
        memory.put_now("a", "the first content of a, longer than one part of sixty-four bytes is, by a little");
        memory.put_now("d/other", "x");
        let spool = tempfile::tempdir().unwrap();
        let config = FsConfig {
            read_only: false,
            posix: true,
            file_mode: 0o644,
            dir_mode: 0o755,
            spool: Some(spool.path().join("spool")),
            part_size: PART,
            upload_memory: 4 * PART,
            ..FsConfig::default()
        };
        let store: Arc<dyn Store> = memory.clone();
        let cache = BlockCache::new(Arc::clone(&store), &CacheConfig::default());
        let clock = Clock::manual();
        let fs = FileSystem::with_clock(store, cache, &config, tokio::runtime::Handle::current(), clock.clone());
        let content = b"the first content of a, longer than one part of sixty-four bytes is, by a little".to_vec();
        let (files, modes) = (vec![content, b"x".to_vec()], vec![0o644; 2]);
        let names = [("a".to_owned(), 0), ("d/other".to_owned(), 1)].into();
        Self { memory, fs, clock, spool, files, modes, names, open: Vec::new(), byte: 0 }
    }

    async fn lookup(&self, path: &str) -> Option<(Inode, FileKind, u64, u32)> {
        let mut found = (Inode::ROOT, FileKind::Directory, 0, 0o755);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match self.fs.lookup(found.0, name.as_bytes()).wait().await.unwrap() {
                Entry::Found { attr, .. } => found = (attr.inode, attr.kind, attr.size, attr.mode),
                Entry::Absent { .. } => return None,
            }
        }
        Some(found)
    }

    async fn place(&self, path: &str) -> (Inode, Vec<u8>) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.lookup(parent).await.unwrap().0, name.as_bytes().to_vec())
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        self.byte = self.byte.wrapping_add(1).max(1);
        vec![self.byte; length as usize]
    }

    async fn step(&mut self, step: Step) {
        self.clock.advance(std::time::Duration::from_millis(1));
        let count = self.open.len();
        match step {
            Step::Open { file, writes, truncate } => self.open_one(FILES[file], writes, truncate).await,
            Step::Write { open, offset, length } if open < count => self.write(open, offset, length).await,
            Step::Append { open, length } if open < count => {
                let size = self.files[self.open[open].2].len() as u64;
                self.write(open, size, length).await;
            }
            Step::Read { open, offset, length } if open < count => {
                let (handle, _, file, _) = self.open[open];
                let read = self.fs.read(handle, offset, length).wait().await.unwrap().to_vec();
                let expected = &self.files[file];
                let start = expected.len().min(offset as usize);
                let end = expected.len().min(start + length as usize);
                assert_eq!(read, expected[start..end]);
            }
            Step::Resize { open, size } if open < count => {
                let (handle, inode, file, writes) = self.open[open];
                let change = AttrChange { size: Some(size), ..AttrChange::default() };
                let set = self.fs.setattr(inode, Some(handle), change).wait().await;
                assert_eq!(set.is_ok(), writes);
                if let Ok((attr, _)) = set {
                    assert_eq!(attr.size, size);
                    self.files[file].resize(size as usize, 0);
                }
            }
            Step::Allocate { open, offset, length, keeps_size, zeroes } if open < count => {
                let (handle, _, file, writes) = self.open[open];
                let mode = AllocateMode { keeps_size, zeroes };
                let done = self.fs.allocate(handle, offset, length, mode).wait().await;
                assert_eq!(done.is_ok(), writes);
                if writes {
                    let (start, end) = (offset as usize, (offset + length) as usize);
                    let content = &mut self.files[file];
                    if !keeps_size {
                        content.resize(content.len().max(end), 0);
                    }
                    if zeroes {
                        let (start, end) = (start.min(content.len()), end.min(content.len()));
                        content[start..end].fill(0);
                    }
                }
            }
            Step::Truncate { file, size } => {
                let Some(&file_number) = self.names.get(FILES[file]) else { return };
                let inode = self.lookup(FILES[file]).await.unwrap().0;
                let change = AttrChange { size: Some(size), ..AttrChange::default() };
                self.fs.setattr(inode, None, change).wait().await.unwrap();
                self.files[file_number].resize(size as usize, 0);
            }
            Step::Sync { open } if open < count => {
                self.fs.synchronize(self.open[open].0).wait().await.unwrap();
                let (_, _, file, writes) = self.open[open];
                let name = self.names.iter().find(|(_, number)| **number == file).map(|(name, _)| name.clone());
                if let (Some(name), true) = (name, writes) {
                    assert_eq!(self.stored(&name).await.as_ref(), Some(&self.files[file]), "{name} after fsync");
                }
            }
            Step::Close { open } if open < count => {
                let (handle, ..) = self.open.remove(open);
                self.fs.synchronize(handle).wait().await.unwrap();
                self.fs.release(handle);
            }
            Step::Unlink { file } => {
                let (parent, name) = self.place(FILES[file]).await;
                let removed = self.fs.unlink(parent, &name).wait().await;
                assert_eq!(removed.is_ok(), self.names.remove(FILES[file]).is_some(), "{removed:?}");
            }
            Step::Rename { from, to, no_replace } => self.rename(FILES[from], FILES[to], no_replace).await,
            Step::Mode { file, mode } => {
                let Some(&number) = self.names.get(FILES[file]) else { return };
                let inode = self.lookup(FILES[file]).await.unwrap().0;
                let change = AttrChange { mode: Some(mode), ..AttrChange::default() };
                let (attr, _) = self.fs.setattr(inode, None, change).wait().await.unwrap();
                assert_eq!(attr.mode, mode);
                self.modes[number] = mode;
            }
            Step::Forget => {
                self.clock.advance(std::time::Duration::from_secs(100));
                let open: Vec<Inode> = self.open.iter().map(|open| open.1).collect();
                for path in FILES {
                    if let Some((inode, ..)) = self.lookup(path).await
                        && !open.contains(&inode)
                    {
                        self.fs.forget(inode, 1 << 40);
                    }
                }
            }
            _ => {}
        }
    }

    async fn open_one(&mut self, path: &str, writes: bool, truncate: bool) {
        if self.open.len() == 4 {
            return;
        }
        let found = self.lookup(path).await;
        let known = self.names.get(path).copied();
        assert_eq!(found.is_some(), known.is_some(), "{path}");
        let (handle, inode, file) = match (found, known) {
            (Some((inode, ..)), Some(file)) if writes => {
                let mode = WriteMode { truncate, exclusive: false };
                let opened = self.fs.open_to_write(inode, mode).wait().await.unwrap();
                if truncate {
                    self.files[file].clear();
                }
                (opened.handle, inode, file)
            }
            (Some((inode, ..)), Some(file)) => {
                (self.fs.open(inode, Via::Pages).wait().await.unwrap().handle, inode, file)
            }
            _ if writes => {
                let (parent, name) = self.place(path).await;
                let made = self.fs.create(parent, &name, 0o644, (0, 0), WriteMode::default()).wait().await.unwrap();
                let Entry::Found { attr, .. } = made.0 else { panic!() };
                self.files.push(Vec::new());
                self.modes.push(0o644);
                self.names.insert(path.to_owned(), self.files.len() - 1);
                (made.1.handle, attr.inode, self.files.len() - 1)
            }
            _ => return,
        };
        self.open.push((handle, inode, file, writes));
    }

    async fn write(&mut self, open: usize, offset: u64, length: u64) {
        let bytes = self.bytes(length);
        let (handle, _, file, writes) = self.open[open];
        let written = self.fs.write(handle, offset, &bytes).wait().await;
        if !writes {
            assert!(matches!(written, Err(FsError::NotForWriting)));
            return;
        }
        assert_eq!(written.unwrap(), length as u32);
        if length > 0 {
            let (start, end) = (offset as usize, (offset + length) as usize);
            let content = &mut self.files[file];
            content.resize(content.len().max(end), 0);
            content[start..end].copy_from_slice(&bytes);
        }
    }

    async fn rename(&mut self, from: &str, to: &str, no_replace: bool) {
        let (from_place, to_place) = (self.place(from).await, self.place(to).await);
        let (source, target) = ((from_place.0, &from_place.1[..]), (to_place.0, &to_place.1[..]));
        let renamed = self.fs.rename(source, target, RenameMode { no_replace }).wait().await;
        let expected = match (self.names.get(from), self.names.get(to)) {
            _ if from == to => return,
            (None, _) => Err(Errno::NOENT),
            (_, Some(_)) if no_replace => Err(Errno::EXIST),
            _ => Ok(()),
        };
        assert_eq!(renamed.map_err(|error| error.errno()), expected);
        if expected.is_ok() {
            let file = self.names.remove(from).unwrap();
            self.names.insert(to.to_owned(), file);
        }
    }

    async fn stored(&self, key: &str) -> Option<Vec<u8>> {
        let key = ObjectKey::from(key);
        let meta = self.memory.head(&key).await.ok()?;
        let mut bytes = vec![0; meta.size as usize];
        if meta.size > 0 {
            let range = ByteRange::new(0, meta.size);
            let get = Get { key: &key, version: None, range, urgency: Urgency::Demand };
            self.memory.get(get, &mut Landing::one(&mut bytes)).await.unwrap();
        }
        Some(bytes)
    }

    async fn check_names(&self) {
        for directory in ["", "d"] {
            let inode = self.lookup(directory).await.unwrap().0;
            let handle = self.fs.opendir(inode).wait().await.unwrap();
            let (mut seen, mut cookie) = (BTreeMap::new(), 0);
            loop {
                let entries = self.fs.readdir(handle, cookie, 3).wait().await.unwrap();
                let Some(last) = entries.last() else { break };
                cookie = last.next;
                for entry in entries {
                    let name = String::from_utf8(entry.name).unwrap();
                    assert!(seen.insert(name, (entry.attr.kind, entry.attr.size, entry.attr.mode)).is_none());
                }
            }
            self.fs.releasedir(handle);
            seen.retain(|_, (kind, ..)| *kind == FileKind::File);
            let inside = |path: &String| match path.rsplit_once('/') {
                Some((parent, name)) => (parent == directory).then(|| name.to_owned()),
                None => directory.is_empty().then(|| path.clone()),
            };
            let expected = self.names.iter().filter_map(|(path, file)| {
                let size = self.files[*file].len() as u64;
                Some((inside(path)?, (FileKind::File, size, self.modes[*file])))
            });
            assert_eq!(seen, expected.collect(), "in {directory:?}");
        }
        for (path, file) in &self.names {
            let (_, _, size, mode) = self.lookup(path).await.unwrap();
            assert_eq!((size, mode), (self.files[*file].len() as u64, self.modes[*file]), "{path}");
        }
    }

    async fn finish(mut self) {
        while let Some((handle, ..)) = self.open.pop() {
            self.fs.synchronize(handle).wait().await.unwrap();
            self.fs.release(handle);
        }
        self.check_names().await;
        for (path, file) in &self.names {
            assert_eq!(self.stored(path).await.as_ref(), Some(&self.files[*file]), "{path}");
        }
        for path in FILES.iter().filter(|path| !self.names.contains_key(**path)) {
            assert_eq!(self.stored(path).await, None, "{path}");
        }
        assert_eq!(self.fs.drain().await, 0);
        for _ in 0..100 {
            if self.memory.upload_count() > 0 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(self.memory.upload_count(), 0, "an upload was left");
        let spool = self.spool.path().join("spool");
        let left = std::fs::read_dir(spool).map_or(0, |processes| {
            let files = processes.flat_map(|process| std::fs::read_dir(process.unwrap().path()).unwrap());
            files.filter(|file| file.as_ref().unwrap().file_name() != "lock").count()
        });
        assert_eq!(left, 0, "the spool keeps something");
    }
}

#[tokio::test]
async fn a_reader_that_closes_right_after_the_writer_ends_nothing_that_is_still_to_be_stored() {
    let mut play = Play::new();
    play.open_one("a", true, false).await;
    play.open_one("a", false, false).await;
    play.write(0, 0, 10).await;
    let file = play.open[0].2;
    // Neither waits: the writer's file is stored in the background, and the reader finds nobody else using it.
    for (handle, ..) in std::mem::take(&mut play.open) {
        play.fs.release(handle);
    }
    while play.fs.snapshot().edits > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(play.stored("a").await.as_ref(), Some(&play.files[file]));
    play.finish().await;
}

#[tokio::test]
async fn what_others_store_is_seen_although_a_reader_holds_what_this_mount_wrote() {
    let mut play = Play::new();
    play.open_one("a", false, false).await;
    play.open_one("a", true, false).await;
    play.write(1, 0, 10).await;
    play.step(Step::Close { open: 1 }).await;
    let (handle, old, file, _) = play.open[0];
    let ours = play.files[file].clone();
    play.memory.put_now("a", "theirs");
    assert_eq!(play.lookup("a").await.unwrap().2, ours.len() as u64, "not asked again before its time");
    play.clock.advance(std::time::Duration::from_secs(100));
    let (inode, _, size, _) = play.lookup("a").await.unwrap();
    assert_eq!(size, 6);
    assert_ne!(inode, old);
    let opened = play.fs.open(inode, Via::Pages).wait().await.unwrap();
    assert_eq!(play.fs.read(opened.handle, 0, 100).wait().await.unwrap().to_vec(), b"theirs");
    match play.fs.read(handle, 0, 1000).wait().await {
        Ok(bytes) => assert_eq!(bytes.to_vec(), ours),
        Err(error) => assert!(matches!(error, FsError::Stale(_)), "{error}"),
    }
    play.fs.release(opened.handle);
    play.fs.release(handle);
    assert_eq!(play.stored("a").await.unwrap(), b"theirs");
    assert_eq!(play.fs.snapshot().edits, 0);
}

/// Copies a spool as a killed process leaves it: everything but the lock that it held.
#[expect(clippy::unwrap_used, reason = "part of the test")]
fn left_by_a_killed_process(spool: &std::path::Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for process in std::fs::read_dir(spool).unwrap() {
        let process = process.unwrap();
        let to = copy.path().join(process.file_name());
        std::fs::create_dir(&to).unwrap();
        for file in std::fs::read_dir(process.path()).unwrap() {
            let file = file.unwrap();
            if file.file_name() != "lock" {
                std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
    }
    copy
}

#[tokio::test]
async fn what_a_killed_process_did_not_store_is_found_and_stored() {
    let mut play = Play::new();
    play.open_one("b", true, false).await;
    play.open_one("a", true, false).await;
    play.open_one("d/c", true, false).await;
    play.write(0, 0, 200).await;
    play.write(1, 30, 10).await;
    play.write(2, 5, 100).await;
    play.step(Step::Resize { open: 1, size: 75 }).await;
    play.step(Step::Sync { open: 2 }).await;
    play.step(Step::Resize { open: 0, size: 300 }).await;
    assert!(Leftover::all(&play.spool.path().join("spool")).unwrap().is_empty(), "its process lives");
    let copy = left_by_a_killed_process(&play.spool.path().join("spool"));
    let found = Leftover::all(copy.path()).unwrap();
    let keys: Vec<(String, u64)> = found.iter().map(|one| (one.key.to_string(), one.size)).collect();
    assert_eq!(keys, [("a".to_owned(), 75), ("b".to_owned(), 300)], "what was synchronised is not unfinished");
    for leftover in &found {
        play.fs.recover(leftover).await.unwrap();
    }
    for (name, file) in [("b", play.open[0].2), ("a", play.open[1].2), ("d/c", play.open[2].2)] {
        assert_eq!(play.stored(name).await.as_ref(), Some(&play.files[file]), "{name}");
    }
    assert!(Leftover::all(copy.path()).unwrap().is_empty());
    assert_eq!(std::fs::read_dir(copy.path()).unwrap().count(), 1, "only that of the synchronised file is left");
    Leftover::sweep(copy.path()).unwrap();
    assert_eq!(std::fs::read_dir(copy.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_somebody_else_changed_since_is_not_overwritten_by_recovery() {
    let mut play = Play::new();
    play.open_one("a", true, false).await;
    play.write(0, 0, 10).await;
    let copy = left_by_a_killed_process(&play.spool.path().join("spool"));
    play.memory.put_now("a", "theirs");
    let found = Leftover::all(copy.path()).unwrap();
    assert!(matches!(play.fs.recover(&found[0]).await, Err(FsError::Stale(_))));
    assert_eq!(play.stored("a").await.unwrap(), b"theirs");
    assert_eq!(Leftover::all(copy.path()).unwrap().len(), 1, "it can still be looked at");
    found[0].discard().unwrap();
    assert!(Leftover::all(copy.path()).unwrap().is_empty());
}

#[tokio::test]
async fn what_was_stored_just_before_its_process_was_killed_is_not_kept_by_recovery() {
    let mut play = Play::new();
    play.open_one("a", true, false).await;
    play.write(0, 0, 5000).await;
    // Copied before the journal says that it is stored.
    let copy = left_by_a_killed_process(&play.spool.path().join("spool"));
    play.step(Step::Sync { open: 0 }).await;
    let found = Leftover::all(copy.path()).unwrap();
    let stored = play.stored("a").await;
    play.fs.recover(&found[0]).await.unwrap();
    assert!(Leftover::all(copy.path()).unwrap().is_empty());
    assert_eq!(play.stored("a").await, stored);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn every_descriptor_name_and_object_is_what_a_plain_file_system_would_have(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut play = Play::new();
            let whole = async {
                for step in steps {
                    play.step(step).await;
                    play.check_names().await;
                }
                play.finish().await;
            };
            tokio::time::timeout(std::time::Duration::from_secs(20), whole).await.expect("nothing hangs");
        });
    }
}
