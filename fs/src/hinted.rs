//! What a file's own index says, at work: the index and the parts it names are fetched before they are asked for.
//!
//! One for each open file whose name is that of a format with an index. It looks at reads of the file's ends only, and
//! once it knows the parts, at where each read begins. What it has fetched is bounded by a window of bytes and by the
//! cache's budget, and given up when the file is closed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use rfuse_block::ByteRange;
use rfuse_cache::{Ahead, BlockCache, PinnedObject, Slices};
use rfuse_config::PrefetchConfig;
use rfuse_prefetch::hints::{END, Finding, Format, Guide, format_of, sound};
use tokio::task::AbortHandle;

use crate::FileSystem;

/// Bytes of parts fetched ahead of a reader at most.
const WINDOW_MAX: u64 = 32 << 20;
/// Reads that are looked at before the file is taken for none of its format.
const LOOKS: u32 = 4096;
/// Pieces of an index that lead one to the next, without their reader.
const CHAIN: usize = 16;
/// Bytes of one fetch; several make a part.
const PIECE: u64 = 4 << 20;
/// Files smaller than this come with a read or two anyway.
const SIZE_LEAST: u64 = 256 << 10;
/// Tasks that are remembered at most; who has so many under way gets no more.
const TASKS: usize = 64;

/// One open file.
#[derive(Debug)]
pub(crate) struct Hinted {
    format: &'static dyn Format,
    window: u64,
    state: Mutex<State>,
    tasks: Mutex<Vec<AbortHandle>>,
    /// Bytes asked for ahead of readers, over all files.
    asked: Arc<AtomicU64>,
}

#[derive(Debug)]
enum State {
    /// The index is not known; so many reads may still be looked at.
    Looking(u32),
    /// It is.
    Guided(Guide),
}

impl Hinted {
    /// For a file called `name` of `size` bytes; none if its name says nothing, or hints are off.
    pub(crate) fn of(name: &[u8], size: u64, config: &PrefetchConfig, asked: &Arc<AtomicU64>) -> Option<Arc<Self>> {
        if !config.index_hints || config.window == 0 || size < SIZE_LEAST {
            return None;
        }
        let (format, window) = (format_of(name)?, config.window.min(WINDOW_MAX));
        let (state, tasks, asked) = (Mutex::new(State::Looking(LOOKS)), Mutex::default(), Arc::clone(asked));
        Some(Arc::new(Self { format, window, state, tasks, asked }))
    }

    /// `bytes` were read at `range`. Never waits: where another read is being looked at, this one is not.
    pub(crate) fn read(self: &Arc<Self>, fs: &FileSystem, object: &PinnedObject, range: ByteRange, bytes: &Slices) {
        let Ok(mut state) = self.state.try_lock() else { return };
        match &mut *state {
            State::Guided(guide) => {
                let wanted = guide.observe(range);
                drop(state);
                self.fetch(fs, object, wanted);
            }
            State::Looking(left) if *left > 0 && self.format.wants(object.size, range) => {
                *left -= 1;
                drop(state);
                let start = copy(bytes, END as usize);
                let found = self.format.look(object.size, range.start(), &start);
                if let Some(found) = found.and_then(|found| sound(found, object.size)) {
                    self.spawn(fs, Arc::clone(self).chase(Arc::clone(&fs.cache), object.clone(), found));
                }
            }
            State::Looking(_) => {}
        }
    }

    fn fetch(&self, fs: &FileSystem, object: &PinnedObject, wanted: Vec<ByteRange>) {
        if wanted.is_empty() {
            return;
        }
        let (cache, object, asked) = (Arc::clone(&fs.cache), object.clone(), Arc::clone(&self.asked));
        self.spawn(fs, async move { bring(&cache, &object, wanted, &asked).await });
    }

    fn spawn(&self, fs: &FileSystem, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = crate::lock(&self.tasks);
        tasks.retain(|task| !task.is_finished());
        if tasks.len() < TASKS {
            tasks.push(fs.runtime.spawn(work).abort_handle());
        }
    }

    /// Follows what was found to the parts of the file, and has the first of them here.
    async fn chase(self: Arc<Self>, cache: Arc<BlockCache>, object: PinnedObject, mut found: Finding) {
        for _ in 0..CHAIN {
            let index = match found {
                Finding::Index(index) => index,
                Finding::Parts(parts) => {
                    let mut guide = Guide::new(parts, self.window);
                    let first = guide.begin();
                    *crate::lock(&self.state) = State::Guided(guide);
                    return bring(&cache, &object, first, &self.asked).await;
                }
            };
            bring(&cache, &object, vec![index], &self.asked).await;
            let Some(bytes) = cache.peek(&object, index) else { return };
            let next = self.format.look(object.size, index.start(), &bytes);
            match next.and_then(|next| sound(next, object.size)) {
                Some(next) if next != Finding::Index(index) => found = next,
                _ => return,
            }
        }
    }
}

impl Drop for Hinted {
    fn drop(&mut self) {
        crate::lock(&self.tasks).drain(..).for_each(|task| task.abort());
    }
}

/// Fetches `ranges` as far as the budget allows; what it does not, their reader fetches.
async fn bring(cache: &BlockCache, object: &PinnedObject, ranges: Vec<ByteRange>, asked: &AtomicU64) {
    let mut fetches = Vec::new();
    for range in ranges {
        let mut rest = range;
        while !rest.is_empty() {
            let piece = rest.clamp_to(rest.start() + PIECE);
            match cache.fetch_ahead(object, piece) {
                Ahead::Fetching(fetch) => {
                    asked.fetch_add(piece.length(), Ordering::Relaxed);
                    fetches.push(fetch);
                }
                Ahead::Present => {}
                Ahead::Refused => break,
            }
            rest = rest.skip(piece.length());
        }
    }
    // What fails here is met by its reader, who is told.
    let _ = join_all(fetches).await;
}

/// The first `most` bytes.
fn copy(bytes: &Slices, most: usize) -> Vec<u8> {
    let mut copy = Vec::with_capacity(bytes.length().min(most));
    for piece in bytes.iter() {
        copy.extend_from_slice(&piece[..piece.len().min(most - copy.len())]);
        if copy.len() == most {
            break;
        }
    }
    copy
}
