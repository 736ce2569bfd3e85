//! Segments of which this process knows what is in them.
//!
//! A segment occupies a frame: its places in the index are those of the frame. Who found a block holds the
//! segment, so that a frame given to another in between does no harm: the file of the old one is empty by then,
//! and its bytes would fit no checksum. Files are opened when they are read, and only so many stay open.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use crate::disk::directory::Directory;
use crate::disk::shape::{SegmentName, Shape};
use crate::disk::tenure::NEW;

/// Files of segments that are open at once.
const OPEN_MOST: usize = 512;

/// A segment in a frame.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    frame: u32,
    slots: u32,
    file: Mutex<Option<Arc<File>>>,
    /// It has been removed, by whomever.
    gone: AtomicBool,
    /// How often it may stay without having been used.
    pub(crate) credit: AtomicU8,
    /// Blocks read since the others were told that it is in use.
    hits: AtomicU32,
}

impl Segment {
    /// Its places in the index.
    pub(crate) fn places(&self) -> Range<u32> {
        self.frame * self.slots..(self.frame + 1) * self.slots
    }

    /// The place of its first slot.
    pub(crate) fn first(&self) -> u32 {
        self.frame * self.slots
    }

    /// Whether it has been removed.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    /// Notes that it has been removed.
    pub(crate) fn leave(&self) {
        self.gone.store(true, Relaxed);
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Blocks of it were read.
    pub(crate) fn hit(&self, blocks: u32) {
        self.hits.fetch_add(blocks, Relaxed);
    }

    /// Whether enough of it was read since this was last true that others should know.
    pub(crate) fn take_hits(&self) -> bool {
        let enough = self.hits.load(Relaxed) >= (self.slots / 64).max(1);
        if enough {
            self.hits.store(0, Relaxed);
        }
        enough
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Segments {
    directory: Arc<Directory>,
    shape: Shape,
    frames: RwLock<Vec<Option<Arc<Segment>>>>,
    open: Mutex<VecDeque<Weak<Segment>>>,
}

impl Segments {
    /// `count` frames, all empty.
    pub(crate) fn new(directory: Arc<Directory>, shape: Shape, count: u32) -> Self {
        Self { directory, shape, frames: RwLock::new(vec![None; count as usize]), open: Mutex::default() }
    }

    /// The segment that `place` belongs to.
    pub(crate) fn of(&self, place: u32) -> Option<Arc<Segment>> {
        let frames = self.frames.read().unwrap_or_else(PoisonError::into_inner);
        frames.get((place / self.shape.slots) as usize)?.clone()
    }

    /// The segment called `name`.
    pub(crate) fn named(&self, name: SegmentName) -> Option<Arc<Segment>> {
        self.all().into_iter().find(|segment| segment.name == name)
    }

    /// Every segment.
    pub(crate) fn all(&self) -> Vec<Arc<Segment>> {
        let frames = self.frames.read().unwrap_or_else(PoisonError::into_inner);
        frames.iter().flatten().cloned().collect()
    }

    /// Gives `name` a frame, unless it has one or none is empty.
    pub(crate) fn enter(&self, name: SegmentName) -> Option<Arc<Segment>> {
        let mut frames = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        if frames.iter().flatten().any(|segment| segment.name == name) {
            return None;
        }
        let frame = frames.iter().position(Option::is_none)?;
        let segment = Arc::new(Segment {
            name,
            frame: frame as u32,
            slots: self.shape.slots,
            file: Mutex::default(),
            gone: AtomicBool::new(false),
            credit: AtomicU8::new(NEW),
            hits: AtomicU32::new(0),
        });
        frames[frame] = Some(segment.clone());
        Some(segment)
    }

    /// Empties the frame of `segment`; nothing in the index may point to it any more.
    pub(crate) fn exit(&self, segment: &Arc<Segment>) {
        segment.leave();
        let mut frames = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        let frame = &mut frames[segment.frame as usize];
        if frame.as_ref().is_some_and(|there| Arc::ptr_eq(there, segment)) {
            *frame = None;
        }
    }

    /// Whether somebody has removed `segment`; noted if so.
    pub(crate) fn was_removed(&self, segment: &Segment) -> bool {
        if !segment.is_gone() && !self.directory.holds(segment.name) {
            segment.leave();
        }
        segment.is_gone()
    }

    /// The blocks of `segment`, opened if they are not.
    ///
    /// # Errors
    /// It is gone or cannot be opened.
    pub(crate) fn file(&self, segment: &Arc<Segment>) -> io::Result<Arc<File>> {
        let mut file = segment.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        let opened = Arc::new(self.directory.open_blocks(segment.name, false)?);
        *file = Some(opened.clone());
        drop(file);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push_back(Arc::downgrade(segment));
        let old = if open.len() > OPEN_MOST { open.pop_front() } else { None };
        drop(open);
        if let Some(old) = old.and_then(|old| old.upgrade()) {
            *old.file.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Ok(opened)
    }
}
