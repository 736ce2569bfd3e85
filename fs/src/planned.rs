//! An access plan at work: what it says comes next is fetched before it is asked for.
//!
//! One task does all of it, so that a plan costs no thread and its requests wait on each other for nothing. It
//! is bounded three ways: by what the cursor hands out, by requests under way, and by the cache's budget; where
//! that is out it waits a little, since a plan is not a guess.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rfuse_block::{ByteRange, ObjectId, ObjectKey};
use rfuse_cache::{Ahead, BlockCache, PinnedObject};
use rfuse_prefetch::access::{AccessPlan, Cursor, CursorStats, PlannedExtent};
use rfuse_store::Store;
use tokio::sync::{Notify, OnceCell};

use crate::FileSystem;
use crate::open_file::OpenFile;

/// Requests of a plan under way at once, as many as the store's line lets in of fetch-ahead by default, since small
/// ones take a latency each; and their bytes: all of a large extent comes at its end, so too many at
/// once would all come late.
const UNDER_WAY: usize = 448;
const BYTES_UNDER_WAY: u64 = 32 << 20;

/// Pause where the budget is out, and how often: two seconds, which is what half a memory of blocks in flight
/// takes at worst.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSES: usize = 400;

/// What a loaded plan has done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PlanSnapshot {
    /// Where the reader is.
    pub cursor: CursorStats,
    /// Bytes that were asked of the cache ahead of the reader, those in memory already included.
    pub asked_bytes: u64,
    /// Extents given up: the budget was out, the file is not there, or the store failed.
    pub given_up: u64,
}

/// A plan that is loaded.
#[derive(Debug)]
pub(crate) struct Planned {
    plan: Arc<AccessPlan>,
    /// Numbers of the plan's files by key.
    numbers: HashMap<ObjectKey, u32>,
    /// The version of each file that was there when the plan first came to it; none: not there.
    objects: Vec<OnceCell<Option<PinnedObject>>>,
    cursor: Mutex<Cursor>,
    queue: Mutex<VecDeque<PlannedExtent>>,
    more: Notify,
    is_dropped: AtomicBool,
    asked_bytes: AtomicU64,
    given_up: AtomicU64,
    /// Tells this plan from others in what a follower remembers.
    generation: u32,
}

impl Planned {
    fn new(plan: Arc<AccessPlan>, window: u64, generation: u32) -> Arc<Self> {
        let numbers = plan.files.iter().cloned().zip(0..).collect();
        let objects = plan.files.iter().map(|_| OnceCell::new()).collect();
        let mut cursor = Cursor::new(Arc::clone(&plan), window);
        let queue = Mutex::new(cursor.begin().into());
        let (cursor, more, is_dropped) = (Mutex::new(cursor), Notify::new(), AtomicBool::new(false));
        let (asked_bytes, given_up) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { plan, numbers, objects, cursor, queue, more, is_dropped, asked_bytes, given_up, generation })
    }

    /// The number of `file` in this plan, remembered by its follower.
    fn number_of(&self, file: &OpenFile) -> Option<u32> {
        let known = file.follower().planned_file(self.generation);
        known.unwrap_or_else(|| {
            let number = self.numbers.get(&file.key()).copied();
            file.follower().set_planned_file(self.generation, number);
            number
        })
    }

    /// Takes in a read; whether the plan has it where the reader is.
    fn observe(&self, file: &OpenFile, range: ByteRange) -> bool {
        let Some(number) = self.number_of(file) else { return false };
        let Some(extents) = crate::lock(&self.cursor).observe(number, range) else { return false };
        if !extents.is_empty() {
            crate::lock(&self.queue).extend(extents);
            self.more.notify_one();
        }
        true
    }

    /// Nothing more is fetched for it.
    fn end(&self) {
        self.is_dropped.store(true, Ordering::Release);
        self.more.notify_one();
    }

    /// What has come of it.
    fn snapshot(&self) -> PlanSnapshot {
        PlanSnapshot {
            cursor: crate::lock(&self.cursor).stats(),
            asked_bytes: self.asked_bytes.load(Ordering::Relaxed),
            given_up: self.given_up.load(Ordering::Relaxed),
        }
    }

    async fn object(&self, number: u32, store: &dyn Store, cache: &BlockCache) -> Option<&PinnedObject> {
        let (key, object) = (&self.plan.files[number as usize], &self.objects[number as usize]);
        let asked = object.get_or_try_init(|| async {
            match store.head(key).await {
                Ok(meta) => Ok(Some(cache.pin(ObjectId { key: key.clone(), version: meta.version }, meta.size))),
                Err(error) if error.kind == rfuse_store::StoreErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        });
        asked.await.ok()?.as_ref()
    }

    async fn fetch(&self, extent: PlannedExtent, store: &dyn Store, cache: &BlockCache) {
        let done = async {
            let object = self.object(extent.file, store, cache).await?;
            for _ in 0..PAUSES {
                match cache.fetch_ahead(object, extent.range) {
                    Ahead::Present => return Some(()),
                    Ahead::Fetching(fetch) => return fetch.await.ok(),
                    Ahead::Refused => tokio::time::sleep(PAUSE).await,
                }
            }
            None
        };
        self.asked_bytes.fetch_add(extent.range.length(), Ordering::Relaxed);
        if done.await.is_none() {
            self.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Fetches what comes into the queue for as long as the plan is loaded.
async fn run(planned: Arc<Planned>, store: Arc<dyn Store>, cache: Arc<BlockCache>) {
    let mut under_way = FuturesUnordered::new();
    let mut bytes = 0;
    loop {
        if planned.is_dropped.load(Ordering::Acquire) {
            return;
        }
        while under_way.len() < UNDER_WAY && bytes < BYTES_UNDER_WAY {
            let Some(extent) = crate::lock(&planned.queue).pop_front() else { break };
            let (planned, store, cache) = (Arc::clone(&planned), Arc::clone(&store), Arc::clone(&cache));
            bytes += extent.range.length();
            under_way.push(async move {
                planned.fetch(extent, &*store, &cache).await;
                extent.range.length()
            });
        }
        tokio::select! {
            biased;
            Some(done) = under_way.next() => bytes -= done,
            () = planned.more.notified() => {}
        }
    }
}

impl FileSystem {
    /// Follows `plan` from its beginning, in place of another one; at most `window` bytes ahead of the reader.
    pub fn load_plan(&self, plan: AccessPlan, window: u64) {
        let mut loaded = crate::lock(&self.planned);
        let generation = self.plans.fetch_add(1, Ordering::Relaxed) as u32 + 1;
        // A quarter of what may wait unread is left to everybody else.
        let window = window.min(self.cache.ahead_limit() * 3 / 4);
        let planned = Planned::new(Arc::new(plan), window, generation);
        self.runtime.spawn(run(Arc::clone(&planned), Arc::clone(&self.store), Arc::clone(&self.cache)));
        if let Some(before) = loaded.replace(planned) {
            before.end();
        }
    }

    /// Follows no plan any more.
    pub fn drop_plan(&self) {
        if let Some(planned) = crate::lock(&self.planned).take() {
            planned.end();
        }
        self.plans.fetch_add(1, Ordering::Relaxed);
    }

    /// What the loaded plan has done.
    pub fn plan_snapshot(&self) -> Option<PlanSnapshot> {
        crate::lock(&self.planned).as_ref().map(|planned| planned.snapshot())
    }

    /// Whether a plan has a read where the reader is; then it needs no guess.
    pub(crate) fn is_planned(&self, file: &OpenFile, range: ByteRange) -> bool {
        if self.plans.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let planned = crate::lock(&self.planned).clone();
        planned.is_some_and(|planned| planned.observe(file, range))
    }
}
