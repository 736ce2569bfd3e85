//! What the threads of the disk tier share: the folder, what is known of it, and how that changes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rfuse_config::DiskConfig;

use crate::disk::directory::{Directory, DirectoryLock, Listed};
use crate::disk::fault::{Fault, Faults};
use crate::disk::ghost::DiskGhost;
use crate::disk::index::{DiskIndex, Entry};
use crate::disk::index_file;
use crate::disk::pins::Pins;
use crate::disk::segment::{Segment, Segments};
use crate::disk::shape::{SegmentName, Shape};
use crate::disk::writer::{Filling, WriteQueue};

/// What is counted, since the mount began.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) moved: AtomicU64,
    pub(crate) evicted: AtomicU64,
    /// Blocks not written because what is there is in use.
    pub(crate) refused: AtomicU64,
    /// Blocks not written because the writer had too much to do, or could not.
    pub(crate) dropped: AtomicU64,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) directory: Arc<Directory>,
    pub(crate) shape: Shape,
    /// Bytes of the folder at most.
    pub(crate) size: u64,
    /// Bytes left free at least.
    pub(crate) reserve: u64,
    /// Bytes of segments made for this scope at most.
    pub(crate) quota: u64,
    /// What the segments that are made here are marked with.
    pub(crate) scope: u32,
    pub(crate) pins: Pins,
    pub(crate) segments: Arc<Segments>,
    pub(crate) index: Arc<DiskIndex>,
    pub(crate) ghost: DiskGhost,
    pub(crate) queue: Arc<WriteQueue>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) counters: Counters,
    /// Segments that were left half-filled, for the writer to carry on with.
    pub(crate) adopted: Mutex<Vec<Filling>>,
    /// Segments this process fills or has adopted.
    ours: Mutex<BTreeSet<SegmentName>>,
    /// Held while a segment enters or leaves the index.
    moving: Mutex<()>,
}

impl State {
    /// Nothing known yet.
    pub(crate) fn new(directory: Directory, shape: Shape, config: &DiskConfig, scope: u32, queue: usize) -> Self {
        let (directory, size) = (Arc::new(directory), config.size);
        // Links store a place plus one in 32 bits.
        let frames = (size / shape.bytes()).min(u64::from(u32::MAX - 1) / u64::from(shape.slots)) as u32;
        let places = frames * shape.slots;
        Self {
            segments: Arc::new(Segments::new(directory.clone(), shape, frames)),
            directory,
            shape,
            size,
            reserve: config.reserve,
            quota: config.quota,
            scope,
            // The rest is for what comes and goes.
            pins: Pins::new(shape.block_size.bytes(), size.min(config.quota) / 4 * 3),
            index: Arc::new(DiskIndex::new(places)),
            ghost: DiskGhost::new(places),
            queue: Arc::new(WriteQueue::new(queue)),
            faults: Arc::default(),
            counters: Counters::default(),
            adopted: Mutex::default(),
            ours: Mutex::default(),
            moving: Mutex::default(),
        }
    }

    /// Whether a segment was made for blocks of this scope.
    pub(crate) fn is_of_scope(&self, listed: &Listed) -> bool {
        listed.name.scope() == self.scope
    }

    /// Whether this process fills `name`, or is going to.
    pub(crate) fn is_ours(&self, name: SegmentName) -> bool {
        self.ours().contains(&name)
    }

    /// `name` is finished.
    pub(crate) fn disown(&self, name: SegmentName) {
        self.ours().remove(&name);
    }

    /// A segment that was just made, `index` being its index file.
    ///
    /// # Errors
    /// Its files cannot be written, or there are more segments than this process can know.
    pub(crate) fn enter(&self, name: SegmentName, index: File) -> io::Result<Filling> {
        index_file::write_head(&index, self.shape)?;
        let blocks = self.directory.open_blocks(name, true)?;
        let segment = self.segments.enter(name).ok_or_else(|| io::Error::other("the cache folder has no room"))?;
        self.ours().insert(name);
        Ok(Filling { segment, index, blocks, next: 0 })
    }

    /// Takes over what somebody left half-filled.
    fn adopt(&self, lock: &DirectoryLock<'_>, listed: &Listed) -> io::Result<()> {
        let Some(index) = self.directory.adopt(listed.name) else { return Ok(()) };
        let opened = index_file::read(&index, self.shape)
            .and_then(|entries| Ok((entries, self.directory.open_blocks(listed.name, true)?)));
        let (entries, blocks) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // Nobody can use it. Its maker may have died before it was one.
                self.directory.remove(lock, listed.name)?;
                let never = [io::ErrorKind::UnexpectedEof, io::ErrorKind::NotFound].contains(&error.kind());
                return if never { Ok(()) } else { Err(error) };
            }
        };
        let next = entries.iter().rposition(|entry| entry.fingerprint != 0).map_or(0, |last| last as u32 + 1);
        let Some(segment) = self.learn(listed.name, &entries) else { return Ok(()) };
        if next == self.shape.slots {
            return self.directory.seal(listed.name);
        }
        self.ours().insert(listed.name);
        let mut adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        adopted.push(Filling { segment, index, blocks, next });
        Ok(())
    }

    /// Learns what is in a finished segment.
    ///
    /// # Errors
    /// Its index file cannot be read, or is no good.
    pub(crate) fn load(&self, name: SegmentName) -> io::Result<()> {
        let entries = index_file::read(&self.directory.open_index(name, true)?, self.shape)?;
        self.learn(name, &entries);
        Ok(())
    }

    fn learn(&self, name: SegmentName, entries: &[Entry]) -> Option<Arc<Segment>> {
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let segment = self.segments.enter(name)?;
        for (entry, place) in entries.iter().zip(segment.places()) {
            // Where a block is twice, the place learned first is as good.
            self.index.insert(*entry, place);
        }
        Some(segment)
    }

    /// Forgets what is in `segment`, which is being removed or has been: how many blocks.
    pub(crate) fn drop_segment(&self, segment: &Arc<Segment>) -> u64 {
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        segment.leave();
        let mut forgotten = 0;
        for place in segment.places() {
            if let Some(entry) = self.index.entry(place)
                && self.index.forget(entry.fingerprint, place)
            {
                // If it comes back it need not prove itself again.
                self.ghost.touch(entry.fingerprint);
                forgotten += 1;
            }
        }
        self.segments.exit(segment);
        self.disown(segment.name);
        forgotten
    }

    /// Removes a segment to make room.
    ///
    /// # Errors
    /// The folder does not let us.
    pub(crate) fn evict(&self, lock: &DirectoryLock<'_>, name: SegmentName) -> io::Result<()> {
        let segment = self.segments.named(name);
        let forgotten = segment.map_or(0, |segment| self.drop_segment(&segment));
        self.counters.evicted.fetch_add(forgotten, Relaxed);
        self.directory.remove(lock, name)
    }

    /// Learns what others have finished and removed since, and says which segments are in use.
    ///
    /// # Errors
    /// The folder is gone.
    pub(crate) fn rescan(&self) -> io::Result<()> {
        if let Err(error) = self.pins.load(&self.directory) {
            self.faults.tell(Fault::Read, self.directory.path(), &error);
        }
        let listed = self.directory.list()?;
        self.lose_unlisted(&listed);
        let known: BTreeSet<SegmentName> = self.segments.all().iter().map(|segment| segment.name).collect();
        let new = listed.iter().rev().filter(|listed| listed.sealed && listed.name.is_of(self.shape));
        for listed in new.filter(|listed| !known.contains(&listed.name)) {
            match self.load(listed.name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.faults.tell(Fault::Corrupt, self.directory.path(), &error);
                }
                Err(error) => self.faults.tell(Fault::Read, self.directory.path(), &error),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Forgets what others have removed.
    pub(crate) fn lose_unlisted(&self, listed: &[Listed]) {
        let there: BTreeSet<SegmentName> = listed.iter().map(|listed| listed.name).collect();
        self.segments.all().iter().filter(|segment| !there.contains(&segment.name)).for_each(|gone| self.lose(gone));
    }

    /// Takes over everything that was left half-filled.
    ///
    /// # Errors
    /// The folder is gone or read-only.
    pub(crate) fn adopt_all(&self) -> io::Result<()> {
        let lock = self.directory.lock()?;
        let listed = self.directory.list()?;
        let left = |listed: &&Listed| !listed.sealed && !listed.stray && listed.name.is_of(self.shape);
        // Of another scope there is nothing in it that could be of use here, and it would count as theirs.
        for listed in listed.iter().filter(left).filter(|listed| listed.name.scope() == self.scope) {
            if let Err(error) = self.adopt(&lock, listed) {
                let damaged = error.kind() == io::ErrorKind::InvalidData;
                self.faults.tell(if damaged { Fault::Corrupt } else { Fault::Read }, self.directory.path(), &error);
            }
        }
        Ok(())
    }

    /// Forgets every block, though the folder keeps them: how many.
    pub(crate) fn forget_all(&self) -> u64 {
        let places = self.segments.all().into_iter().flat_map(|segment| segment.places());
        let forget = |place: &u32| {
            let entry = self.index.entry(*place);
            entry.is_some_and(|entry| self.index.forget(entry.fingerprint, *place))
        };
        places.filter(forget).count() as u64
    }

    /// The folder is gone: so is everything that was known of it.
    pub(crate) fn lose_all(&self) {
        self.segments.all().iter().for_each(|segment| self.lose(segment));
    }

    fn lose(&self, segment: &Arc<Segment>) {
        // What is being filled is let go of by the writer.
        segment.leave();
        if !self.is_ours(segment.name) {
            self.drop_segment(segment);
        }
    }

    /// How many of the blocks in `segment` are pinned.
    pub(crate) fn count_pinned(&self, segment: &Segment) -> u32 {
        segment.places().filter(|&place| self.is_pinned(place)).count() as u32
    }

    /// Whether the block in `place` is pinned.
    pub(crate) fn is_pinned(&self, place: u32) -> bool {
        self.index.entry(place).is_some_and(|entry| self.pins.holds(entry.fingerprint))
    }

    /// Says of the segments that are read that they are in use.
    pub(crate) fn touch(&self) {
        for segment in self.segments.all() {
            if segment.take_hits() {
                self.directory.touch(segment.name);
            }
        }
    }

    /// Bytes of the segments this process knows.
    pub(crate) fn resident(&self) -> u64 {
        self.segments.all().len() as u64 * self.shape.bytes()
    }

    fn ours(&self) -> MutexGuard<'_, BTreeSet<SegmentName>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
