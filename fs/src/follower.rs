//! What is done ahead of the readers of one version of one file.
//!
//! The tracker says what; here it is started, bounded and given up. All handles of the version share one
//! follower, since loaders open a file many times or share one descriptor.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};

use futures_util::FutureExt;
use rfuse_block::ByteRange;
use rfuse_cache::{Ahead, Slices};
use rfuse_config::PrefetchConfig;
use rfuse_prefetch::{Plan, Read, StreamId, Tracker, TrackerStats};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::open_file::OpenFile;
use crate::{AheadSnapshot, FileSystem, Inode};

/// The kernel's page cache, as far as it takes what it has not asked for.
pub trait PageCache: Send + Sync + std::fmt::Debug {
    /// Whether pages are wanted at the moment.
    fn is_open(&self) -> bool;

    /// Puts `pages` there soon, or drops them when there is too much to do. Never waits.
    fn fill(&self, pages: Pages);
}

/// Pages for the kernel. While they are on their way the version they are of counts as open, so that no other
/// version can come to be read through the same inode.
#[derive(Debug)]
pub struct Pages {
    file: Arc<OpenFile>,
    offset: u64,
    bytes: Slices,
}

impl Pages {
    /// The inode they are of.
    pub fn inode(&self) -> Inode {
        self.file.inode()
    }

    /// Where they begin, a multiple of the page size.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Their bytes: whole pages, or up to the end of the file.
    pub fn bytes(&self) -> &Slices {
        &self.bytes
    }

    /// Calls `put` if the file is still what they were read from and somebody has it open; what it answered.
    /// Nobody begins to write the file meanwhile.
    pub fn put_if_wanted<T>(&self, put: impl FnOnce(&Self) -> T) -> Option<T> {
        let _push = self.file.node().push()?;
        let is_wanted = !self.file.is_stale() && self.file.follower().is_read();
        is_wanted.then(|| put(self))
    }
}

impl AheadSnapshot {
    /// These and those.
    pub(crate) fn and(self, stats: &TrackerStats) -> Self {
        Self {
            streams: self.streams + stats.streams,
            planned: self.planned + stats.planned,
            used: self.used + stats.used,
            wasted: self.wasted + stats.wasted,
        }
    }
}

/// Whether a read has to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waits {
    Not,
    ForStore,
}

/// Bytes pushed in one go: the kernel copies as fast from 64 KiB on, and each piece holds its blocks in memory.
const PUSHED_AT_ONCE: u64 = 512 << 10;

/// Tasks under way at most; a plan that wants more is cut short. Windows of 16 streams in pieces stay below.
const TASKS: usize = 1024;

/// So many tasks may be remembered that are over.
const TASKS_KEPT: usize = 64;

/// The readers of one version, as one.
#[derive(Debug)]
pub(crate) struct Follower {
    tracker: Mutex<Tracker>,
    /// Streams of all followers.
    streams: Arc<AtomicUsize>,
    tasks: Mutex<Vec<(StreamId, AbortHandle)>>,
    /// Handles open.
    handles: AtomicUsize,
    /// Which file of which plan it is: generation and number plus one, 32 bits each.
    planned: AtomicU64,
}

impl Follower {
    /// A follower of an object of `size` bytes, which counts its streams in `streams`.
    pub(crate) fn new(size: u64, config: &PrefetchConfig, streams: &Arc<AtomicUsize>) -> Arc<Self> {
        let (tracker, streams) = (Mutex::new(Tracker::new(size, config)), Arc::clone(streams));
        Arc::new(Self {
            tracker,
            streams,
            tasks: Mutex::default(),
            handles: AtomicUsize::new(0),
            planned: AtomicU64::new(0),
        })
    }

    /// Which file of the plan `generation` this is, if that has been asked.
    pub(crate) fn planned_file(&self, generation: u32) -> Option<Option<u32>> {
        let planned = self.planned.load(Ordering::Relaxed);
        (planned >> 32 == u64::from(generation)).then(|| (planned as u32).checked_sub(1))
    }

    /// Remembers it.
    pub(crate) fn set_planned_file(&self, generation: u32, number: Option<u32>) {
        let number = number.map_or(0, |number| u64::from(number) + 1);
        self.planned.store(u64::from(generation) << 32 | number, Ordering::Relaxed);
    }

    /// One more handle.
    pub(crate) fn opened(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// One handle less. With the last one all that is under way is given up, and what came of it is told.
    pub(crate) fn closed(&self) -> Option<TrackerStats> {
        if self.handles.fetch_sub(1, Ordering::Relaxed) > 1 {
            return None;
        }
        crate::lock(&self.tasks).drain(..).for_each(|(_, task)| task.abort());
        let mut tracker = crate::lock(&self.tracker);
        self.streams.fetch_sub(tracker.active(), Ordering::Relaxed);
        Some(tracker.close())
    }

    fn is_read(&self) -> bool {
        self.handles.load(Ordering::Relaxed) > 0
    }

    /// The plan after `read`. A read that comes while another is looked at is let pass: streams bear gaps, and
    /// readers must not queue for a guess.
    fn observe(&self, read: &Read) -> Option<Plan> {
        let mut tracker = match self.tracker.try_lock() {
            Ok(tracker) => tracker,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let before = tracker.active();
        let plan = tracker.observe(read);
        match tracker.active() {
            after if after > before => drop(self.streams.fetch_add(after - before, Ordering::Relaxed)),
            after if after < before => drop(self.streams.fetch_sub(before - after, Ordering::Relaxed)),
            _ => {}
        }
        (!plan.is_empty()).then_some(plan)
    }

    fn refused(&self, stream: StreamId, range: ByteRange) {
        crate::lock(&self.tracker).refused(stream, range);
    }

    fn give_up(&self, ended: &[StreamId]) {
        crate::lock(&self.tasks).retain(|(stream, task)| {
            let is_over = ended.contains(stream);
            if is_over {
                task.abort();
            }
            !is_over
        });
    }

    /// Runs `work` for `stream`, unless too much is under way; whether it does.
    fn start(&self, runtime: &Handle, stream: StreamId, work: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut tasks = crate::lock(&self.tasks);
        if tasks.len() >= TASKS_KEPT {
            tasks.retain(|(_, task)| !task.is_finished());
        }
        let may = tasks.len() < TASKS;
        if may {
            tasks.push((stream, runtime.spawn(work).abort_handle()));
        }
        may
    }
}

impl FileSystem {
    /// What the kernel's pages are filled through; without it they are not.
    pub fn fill_pages(&self, pages: Arc<dyn PageCache>) {
        // A second one would be a defect of whoever assembles; the first keeps working.
        let _ = self.pages.set(pages);
    }

    /// What came of all that was planned.
    pub(crate) fn ahead_snapshot(&self) -> AheadSnapshot {
        let mut followers: Vec<_> = self.files.all().iter().map(|file| Arc::clone(file.follower())).collect();
        followers.sort_unstable_by_key(Arc::as_ptr);
        followers.dedup_by_key(|follower| Arc::as_ptr(follower));
        let past = *crate::lock(&self.ahead);
        followers.iter().fold(past, |sum, follower| sum.and(&crate::lock(&follower.tracker).stats()))
    }

    /// Does what follows from a read of `file`.
    pub(crate) fn follow(self: &Arc<Self>, file: &Arc<OpenFile>, range: ByteRange, waits: Waits) {
        if self.is_planned(file, range) {
            return;
        }
        let paged = file.is_paged() && self.pages.get().is_some_and(|pages| pages.is_open());
        let streams = self.streams.load(Ordering::Relaxed).max(1) as u64;
        // Only who waits needs to know the time.
        let waited = (waits == Waits::ForStore).then(|| self.clock.elapsed());
        let read = Read { range, waited, paged, share: self.cache.ahead_limit() / streams };
        let Some(plan) = file.follower().observe(&read) else { return };
        if !plan.ended.is_empty() {
            file.follower().give_up(&plan.ended);
        }
        let Some(stream) = plan.stream else { return };
        // What is behind the one that was refused would be refused too.
        if let Some(&range) = plan.fetch.iter().find(|&&range| !self.fetch_ahead(file, stream, range)) {
            file.follower().refused(stream, range);
        }
        if let Some(range) = plan.push {
            self.push(file, stream, range);
        }
    }

    /// Whether `range` is in memory or on its way.
    fn fetch_ahead(&self, file: &OpenFile, stream: StreamId, range: ByteRange) -> bool {
        match self.cache.fetch_ahead(file.object(), range) {
            Ahead::Present => true,
            Ahead::Refused => false,
            // Its error is told to those who come to wait for it, and to nobody if nobody does.
            Ahead::Fetching(fetch) => file.follower().start(&self.runtime, stream, fetch.map(drop)),
        }
    }

    /// Puts `range` into the kernel's pages as it comes to be in memory.
    fn push(&self, file: &Arc<OpenFile>, stream: StreamId, range: ByteRange) {
        let Some(pages) = self.pages.get() else { return };
        let mut rest = range;
        while !rest.is_empty() {
            let part = ByteRange::at(rest.start(), PUSHED_AT_ONCE).clamp_to(rest.end());
            rest = rest.skip(part.length());
            if let Some(bytes) = self.cache.try_read(file.object(), part) {
                pages.fill(Pages { file: Arc::clone(file), offset: part.start(), bytes });
                continue;
            }
            let (cache, file, pages) = (Arc::clone(&self.cache), Arc::clone(file), Arc::clone(pages));
            let follower = Arc::clone(file.follower());
            let push = async move {
                // A reader who needs it asks himself, and hears the error.
                if let Ok(bytes) = cache.read(file.object(), part).await {
                    pages.fill(Pages { file, offset: part.start(), bytes });
                }
            };
            if !follower.start(&self.runtime, stream, push) {
                return;
            }
        }
    }
}
