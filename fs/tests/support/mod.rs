//! A store that counts and delays, and short ways to ask the file system.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "shared by test files, each using its own part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rfuse_cache::BlockCache;
use rfuse_config::{CacheConfig, FsConfig};
use rfuse_fs::{Answer, Attr, Clock, DirEntry, Entry, FileSystem, FsError, Inode, Via};
use rfuse_store::testing::{Asked, Watch, Watched};
use rfuse_store::{MemoryStore, Operation, Store, StoreError, StoreErrorKind};

/// What is counted, and how long a request takes.
#[derive(Debug)]
pub struct Count {
    pub gets: AtomicU64,
    pub heads: AtomicU64,
    pub lists: AtomicU64,
    pub bytes: AtomicU64,
    pub latency: Duration,
    /// Lists fail like those of a token without that permission.
    pub may_list: AtomicBool,
}

/// A memory store whose requests are counted and take their time.
pub type Counting = Watched<Count>;

impl Count {
    pub fn over(memory: MemoryStore, latency: Duration) -> Arc<Counting> {
        let count = Self {
            gets: AtomicU64::new(0),
            heads: AtomicU64::new(0),
            lists: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            latency,
            may_list: AtomicBool::new(true),
        };
        Watched::new(Arc::new(memory), count)
    }

    /// GETs, HEADs and LISTs since the last call.
    pub fn take(&self) -> (u64, u64, u64) {
        (
            self.gets.swap(0, Ordering::SeqCst),
            self.heads.swap(0, Ordering::SeqCst),
            self.lists.swap(0, Ordering::SeqCst),
        )
    }
}

#[async_trait]
impl Watch for Count {
    async fn see(&self, asked: Asked<'_>) -> Result<(), StoreError> {
        match asked {
            Asked::Get(get) => {
                self.gets.fetch_add(1, Ordering::SeqCst);
                self.bytes.fetch_add(get.range.length(), Ordering::SeqCst);
            }
            Asked::Other(Operation::Head) => drop(self.heads.fetch_add(1, Ordering::SeqCst)),
            Asked::Other(Operation::List) => drop(self.lists.fetch_add(1, Ordering::SeqCst)),
            Asked::Other(_) => {}
        }
        if self.latency.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(self.latency).await;
        }
        if matches!(asked, Asked::Other(Operation::List)) && !self.may_list.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Denied, Operation::List, "no list permission"));
        }
        Ok(())
    }
}

/// A file system over a counting store.
pub struct House {
    pub store: Arc<Counting>,
    pub clock: Clock,
    pub fs: Arc<FileSystem>,
}

impl House {
    pub fn new(memory: MemoryStore) -> Self {
        Self::with(memory, Duration::ZERO, &FsConfig::default())
    }

    /// Must be called inside a runtime.
    pub fn with(memory: MemoryStore, latency: Duration, config: &FsConfig) -> Self {
        let store = Count::over(memory, latency);
        let clock = Clock::manual();
        let shared: Arc<dyn Store> = store.clone();
        let cache = BlockCache::new(Arc::clone(&shared), &CacheConfig::default());
        let runtime = tokio::runtime::Handle::current();
        let fs = FileSystem::with_clock(shared, cache, config, runtime, clock.clone());
        Self { store, clock, fs }
    }

    pub async fn lookup(&self, parent: Inode, name: &[u8]) -> Result<Option<Attr>, FsError> {
        Ok(match self.fs.lookup(parent, name).wait().await? {
            Entry::Found { attr, .. } => Some(attr),
            Entry::Absent { .. } => None,
        })
    }

    /// Follows a path of names.
    pub async fn find(&self, path: &str) -> Option<Attr> {
        let mut attr = self.fs.getattr(Inode::ROOT, None).wait().await.unwrap().0;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            attr = self.lookup(attr.inode, name.as_bytes()).await.unwrap()?;
        }
        Some(attr)
    }

    /// Everything in a directory but `.` and `..`, as a reader with a small buffer sees it.
    pub async fn list(&self, inode: Inode) -> Vec<DirEntry> {
        let handle = self.fs.opendir(inode).wait().await.unwrap();
        let (mut all, mut cookie) = (Vec::new(), 0);
        loop {
            let some = self.fs.readdir(handle, cookie, 37).wait().await.unwrap();
            let Some(last) = some.last() else { break };
            cookie = last.next;
            all.extend(some);
        }
        self.fs.releasedir(handle);
        assert_eq!(all[0].name, b".");
        assert_eq!(all[1].name, b"..");
        all.split_off(2)
    }

    pub async fn names(&self, inode: Inode) -> Vec<String> {
        self.list(inode).await.iter().map(|entry| entry.name.escape_ascii().to_string()).collect()
    }

    /// Opens and reads a whole file.
    pub async fn content(&self, inode: Inode) -> Result<Vec<u8>, FsError> {
        let opened = self.fs.open(inode, Via::Pages).wait().await?;
        let content = self.fs.read(opened.handle, 0, 1 << 20).wait().await;
        self.fs.release(opened.handle);
        Ok(content?.to_vec())
    }
}

/// The answer that must be there without the store.
pub fn ready<T>(answer: Answer<T>) -> Result<T, FsError> {
    match answer {
        Answer::Ready(result) => result,
        Answer::Pending(_) => panic!("the store would be asked"),
    }
}
