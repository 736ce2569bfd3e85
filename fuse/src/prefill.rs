//! Puts pages into the kernel's page cache before a program asks for them.
//!
//! A thread of its own does it. Storing a page waits while the kernel has it locked for a read under way, and
//! only the answer to that read unlocks it: whoever answers reads must not be the one who waits. So neither
//! the session's workers nor the runtime's threads come here, they leave the pages and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rfuse_fs::{PageCache, Pages};
use rustix::io::Errno;

use crate::kernel::Notifier;
use crate::trace::Tracing;

/// Pieces that may wait for the thread, of half a MiB at most; what comes when it is full is dropped, and the
/// reader asks for it himself.
const WAITING: usize = 64;

/// The way into the kernel's page cache.
#[derive(Debug)]
pub struct Prefill {
    sender: SyncSender<Pages>,
    counts: Arc<Counts>,
    tracing: Arc<Tracing>,
}

#[derive(Debug, Default)]
struct Counts {
    stored: AtomicU64,
    dropped: AtomicU64,
}

/// What has been put there so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PrefillSnapshot {
    /// Bytes the kernel took.
    pub stored: u64,
    /// Bytes dropped because too many waited or the kernel did not want them.
    pub dropped: u64,
}

impl Prefill {
    /// Starts the thread; it ends when this is dropped. While `tracing` records, the kernel is given nothing it has
    /// not asked for.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(notifier: Notifier, tracing: Arc<Tracing>) -> std::io::Result<Arc<Self>> {
        let (sender, receiver) = sync_channel(WAITING);
        let counts = Arc::<Counts>::default();
        let counting = Arc::clone(&counts);
        let builder = std::thread::Builder::new().name("rfuse-pages".to_owned());
        builder.spawn(move || store(&receiver, &notifier, &counting))?;
        Ok(Arc::new(Self { sender, counts, tracing }))
    }

    /// What has been put there so far.
    pub fn snapshot(&self) -> PrefillSnapshot {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        PrefillSnapshot { stored: get(&self.counts.stored), dropped: get(&self.counts.dropped) }
    }
}

impl PageCache for Prefill {
    fn is_open(&self) -> bool {
        !self.tracing.is_on()
    }

    fn fill(&self, pages: Pages) {
        let bytes = pages.bytes().length() as u64;
        if self.sender.try_send(pages).is_err() {
            self.counts.dropped.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

fn store(receiver: &Receiver<Pages>, notifier: &Notifier, counts: &Counts) {
    for pages in receiver {
        let bytes = pages.bytes().length() as u64;
        let stored = pages.put_if_wanted(|pages| {
            notifier.store(pages.inode().0, pages.offset(), &pages.bytes().io_slices().collect::<Vec<_>>())
        });
        let stored = stored.unwrap_or(Err(Errno::CANCELED));
        let count = if stored.is_ok() { &counts.stored } else { &counts.dropped };
        count.fetch_add(bytes, Ordering::Relaxed);
        match stored {
            Err(Errno::NODEV | Errno::CONNABORTED) => return,
            Err(error) => tracing::trace!(%error, inode = pages.inode().0, "the kernel did not take pages"),
            Ok(()) => {}
        }
    }
}
