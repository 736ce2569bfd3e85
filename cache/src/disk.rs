//! The disk tier: blocks in a folder, shared by the mounts of a machine and there again after a restart.
//!
//! Whatever happens to the folder, a read never fails for it and never gets a wrong byte: what is found is
//! checked against what was asked for, and what is missing, damaged or late comes from the store. Neither a
//! thread of the kernel's nor the runtime ever waits for the disk.

mod directory;
mod fault;
mod ghost;
mod identity;
mod index;
mod index_file;
mod keeper;
mod pins;
mod reader;
mod segment;
mod shape;
mod state;
mod sweep;
mod tenure;
mod writer;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rfuse_block::{BlockIndex, BlockSize, Extent, ObjectKey};
use rfuse_config::{Admit, ByteSize, DiskConfig};
use sha2::{Digest, Sha256};

use crate::PinError;
use crate::disk::directory::Directory;
use crate::disk::fault::Fault;
use crate::disk::identity::fingerprint_of;
use crate::disk::keeper::Loaded;
use crate::disk::pins::{Pin, TooMuch};
pub use crate::disk::reader::is_disk_thread;
pub(crate) use crate::disk::reader::{DiskAnswer, DiskRead, Hit};
use crate::disk::reader::{Readers, Source};
use crate::disk::shape::Shape;
use crate::disk::state::State;
use crate::disk::sweep::Sweep;
use crate::disk::writer::{Offer, Weight, Writer};
use crate::memory::MemoryTier;
use crate::memory::index::Group;
use crate::memory::pool::Blocks;
use crate::metrics::DiskStats;
use crate::object::{ObjectTag, PinnedObject};

/// How long a disk that hangs is left alone.
const LEAVE_ALONE: Duration = Duration::from_secs(30);

/// One folder.
#[derive(Debug)]
pub(crate) struct DiskTier {
    state: Arc<State>,
    readers: Arc<Readers>,
    loaded: Arc<Loaded>,
    admit: Admit,
    seed: [u8; 16],
    begun: Instant,
    /// Milliseconds after `begun` until which the disk is left alone.
    alone_until: AtomicU64,
    /// Dropped, they end the keeper and the watch.
    stop: Vec<mpsc::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl DiskTier {
    /// The tier in the folder of `config`, below `memory`.
    ///
    /// None, with a line in the log, if the folder cannot be used or is too small for blocks of this size.
    pub(crate) fn open(config: &DiskConfig, block_size: BlockSize, memory: &Arc<MemoryTier>) -> Option<Self> {
        let dir = config.dir.display();
        let Some(shape) = Shape::of(block_size, config.size) else {
            let size = ByteSize(config.size);
            tracing::warn!(%dir, %size, %block_size, "cache-size is too small for blocks of this size; there is no disk tier");
            return None;
        };
        let directory = Directory::open(&config.dir)
            .inspect_err(|why| tracing::warn!(%dir, %why, "the cache folder cannot be used; there is no disk tier"));
        let directory = directory.ok()?;
        // Four slots are needed by those who read.
        let queue = if memory.capacity() > 4 { (memory.capacity() / 8).max(1) } else { 0 };
        let digest = Sha256::new().chain_update(directory.seed()).chain_update(&config.scope).finalize();
        let mut seed = [0; 16];
        seed.copy_from_slice(&digest[..16]);
        let scope = digest[16..20].iter().fold(0, |scope, &byte| scope << 8 | u32::from(byte));
        let writable = directory.is_writable();
        let state = Arc::new(State::new(directory, shape, config, scope, queue));
        if !writable {
            let why = "it is read-only";
            state.faults.tell(Fault::Write, state.directory.path(), &why);
            state.queue.end();
        }
        let readers = Arc::new(Readers::new(Source {
            segments: state.segments.clone(),
            index: state.index.clone(),
            faults: state.faults.clone(),
            block_size,
            dir: state.directory.path().to_owned(),
        }));
        let loaded = Arc::new(Loaded::default());
        let (stop, stopped) = mpsc::channel();
        let keeper = {
            let (state, loaded, sweep) = (state.clone(), loaded.clone(), Sweep::new(memory.clone()));
            let keep = move || keeper::keep(&state, &loaded, sweep, &stopped);
            thread::Builder::new().name("rfuse-keeper".into()).spawn(keep)
        };
        let writer = Writer::new(state.clone());
        let writer = thread::Builder::new().name("rfuse-writer".into()).spawn(move || writer.run());
        let (end_watch, watched) = mpsc::channel::<()>();
        let watch = {
            let readers = readers.clone();
            let watch = move || reader::watch(&readers, &watched);
            thread::Builder::new().name("rfuse-patience".into()).spawn(watch)
        };
        let threads = [keeper, writer, watch].into_iter().collect::<Result<Vec<_>, _>>();
        let threads = threads.inspect_err(|why| tracing::warn!(%why, "no thread for the disk tier")).ok()?;
        Some(Self {
            state,
            readers,
            loaded,
            admit: config.admit,
            seed,
            begun: Instant::now(),
            alone_until: AtomicU64::new(0),
            stop: vec![stop, end_watch],
            threads,
        })
    }

    /// What tags are made with, so that they are the same in every process that reads the same store.
    pub(crate) fn seed(&self) -> [u8; 16] {
        self.seed
    }

    /// The blocks of `extent` that have a place on disk, in order.
    pub(crate) fn find(&self, object: &PinnedObject, extent: Extent) -> Vec<Hit> {
        let mut hits = Vec::new();
        if self.is_left_alone() {
            return hits;
        }
        for (group, set) in Group::covering(object.tag, extent.first, extent.count.into()) {
            self.state.index.find(group, set, |bit, place, checksum| {
                let at = (group.block(bit).0 - extent.first.0) as u32;
                if let Some(segment) = self.state.segments.of(place).filter(|segment| !segment.is_gone()) {
                    hits.push(Hit { at, place, checksum, segment });
                }
            });
        }
        hits
    }

    /// Reads.
    pub(crate) async fn read(&self, read: DiskRead) -> DiskAnswer {
        let answer = self.readers.read(read).await;
        if matches!(answer, DiskAnswer::Hangs) {
            let until = (self.begun.elapsed() + LEAVE_ALONE).as_millis();
            self.alone_until.store(u64::try_from(until).unwrap_or(u64::MAX), Relaxed);
        }
        answer
    }

    /// Counts blocks that were asked for here: those that came, and those that did not.
    pub(crate) fn count(&self, hits: u64, misses: u64) {
        self.state.counters.hits.fetch_add(hits, Relaxed);
        self.state.counters.misses.fetch_add(misses, Relaxed);
    }

    /// Blocks of `object` from `first` on came from the store: writes those that are worth it.
    pub(crate) fn offer_fetched(&self, object: &PinnedObject, first: BlockIndex, blocks: &Blocks) {
        let worth = |number: usize| {
            let fingerprint = fingerprint_of(object.tag, BlockIndex(first.0 + number as u64));
            let seen = self.state.ghost.touch(fingerprint);
            seen || self.admit == Admit::Always || self.state.pins.holds(fingerprint)
        };
        let worth: Vec<bool> = (0..blocks.count()).map(worth).collect();
        let mut from = 0;
        for run in worth.chunk_by(|one, other| one == other) {
            if run[0] {
                self.offer(object, BlockIndex(first.0 + from as u64), blocks.part(from, run.len()));
            }
            from += run.len();
        }
    }

    /// Offers blocks that are worth it, in pieces of which each has room to wait.
    fn offer(&self, object: &PinnedObject, first: BlockIndex, blocks: Blocks) {
        let count = blocks.count();
        let taken = count.min(self.state.queue.room());
        let part = if taken == count { blocks } else { blocks.part(0, taken) };
        let offered =
            taken > 0 && self.state.queue.offer(Offer { tag: object.tag, first, blocks: part, weight: Weight::Usual });
        let dropped = if offered { count - taken } else { count };
        self.state.counters.dropped.fetch_add(dropped as u64, Relaxed);
    }

    /// Which blocks of `extent` have no place on disk, in order.
    pub(crate) fn missing(&self, object: &PinnedObject, extent: Extent) -> Vec<BlockIndex> {
        let blocks = (0..u64::from(extent.count)).map(|number| BlockIndex(extent.first.0 + number));
        blocks.filter(|&block| !self.state.index.holds(fingerprint_of(object.tag, block))).collect()
    }

    /// Offers blocks that were asked for by name, whatever is in use; none of them if they have to wait.
    pub(crate) fn offer_wanted(&self, object: &PinnedObject, first: BlockIndex, blocks: Blocks) -> bool {
        self.state.queue.offer(Offer { tag: object.tag, first, blocks, weight: Weight::Wanted })
    }

    /// Whether everything that was offered is written or dropped.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.queue.is_idle()
    }

    /// Blocks one offer may have at most.
    pub(crate) fn offer_most(&self) -> usize {
        self.state.queue.limit() / 2
    }

    /// Pins `extents`, each of one object.
    ///
    /// # Errors
    /// See [`PinError`].
    pub(crate) fn pin(&self, extents: &[(PinnedObject, Extent)]) -> Result<(), PinError> {
        let pin = |(object, extent): &(PinnedObject, Extent)| Pin {
            scope: self.state.scope,
            name: ObjectTag::of_name(self.seed, &object.id.key),
            tag: object.tag,
            first: extent.first.0,
            count: extent.count.into(),
            block: self.state.shape.block_size.bytes(),
        };
        let pins: Vec<Pin> = extents.iter().map(pin).collect();
        let directory = &self.state.directory;
        let lock = directory.lock()?;
        let added = self.state.pins.add(directory, &lock, &pins)?;
        added.map_err(|TooMuch { wanted, most }| PinError::TooMuch { wanted, most })
    }

    /// Takes pins of this scope away, those of `keys` or all: how many bytes.
    ///
    /// # Errors
    /// See [`PinError`].
    pub(crate) fn unpin(&self, keys: Option<&[ObjectKey]>) -> Result<u64, PinError> {
        let names: Option<Vec<ObjectTag>> =
            keys.map(|keys| keys.iter().map(|key| ObjectTag::of_name(self.seed, key)).collect());
        let directory = &self.state.directory;
        let lock = directory.lock()?;
        Ok(self.state.pins.remove(directory, &lock, self.state.scope, names.as_deref())?)
    }

    /// Forgets every block, for this process.
    pub(crate) fn forget_all(&self) -> u64 {
        self.state.forget_all()
    }

    /// Forgets the blocks of `object`: how many.
    pub(crate) fn invalidate(&self, object: &PinnedObject, blocks: u64) -> u64 {
        (0..blocks)
            .filter(|&index| self.state.index.forget_block(fingerprint_of(object.tag, BlockIndex(index))).is_some())
            .count() as u64
    }

    /// Waits until the folder is known and everything offered so far is written or dropped.
    pub(crate) fn flush(&self) {
        self.loaded.wait();
        self.state.queue.flush();
    }

    /// What has been counted, and what is held now.
    pub(crate) fn stats(&self) -> DiskStats {
        let (counters, state) = (&self.state.counters, &self.state);
        let block = state.shape.block_size.bytes();
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        DiskStats {
            hits: get(&counters.hits),
            misses: get(&counters.misses),
            read_bytes: get(&counters.hits) * block,
            written_bytes: (get(&counters.written) + get(&counters.moved)) * block,
            evictions: get(&counters.evicted),
            refused: get(&counters.refused),
            dropped: get(&counters.dropped),
            errors: state.faults.errors(),
            corrupt: state.faults.corrupt(),
            pinned_bytes: state.pins.bytes().0,
            resident_bytes: state.resident(),
            capacity_bytes: state.size,
            overhead_bytes: (state.index.overhead() + state.ghost.overhead()) as u64,
        }
    }

    fn is_left_alone(&self) -> bool {
        let until = self.alone_until.load(Relaxed);
        until > 0 && self.begun.elapsed() < Duration::from_millis(until)
    }
}

impl Drop for DiskTier {
    fn drop(&mut self) {
        self.stop.clear();
        self.state.queue.end();
        // A disk that hangs must not keep the process: then the threads are left to it.
        let end = Instant::now() + Duration::from_secs(5);
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < end {
                thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}
