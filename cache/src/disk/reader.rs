//! Reading blocks from segments, on threads that may wait for a disk.
//!
//! A read takes the memory slots along and hands them back with what it found, so whoever asked may go away
//! meanwhile and nobody writes into memory that is not his. When too much is asked at once a read is refused,
//! and when the disk is silent for too long it is given up: the store is asked instead.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rfuse_block::{BlockIndex, BlockSize};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::disk::fault::{Fault, Faults};
use crate::disk::identity::{checksum, fingerprint_of};
use crate::disk::index::DiskIndex;
use crate::disk::segment::{Segment, Segments};
use crate::door;
use crate::memory::pool::Slots;
use crate::object::ObjectTag;

/// Threads at most; they start as they are needed.
const THREADS_MOST: usize = 64;
/// Reads that may wait for a thread; more are refused.
const QUEUE_MOST: usize = 1024;
/// How long a read may take before the disk is taken to hang.
const PATIENCE: Duration = Duration::from_secs(3);

/// A block that was found.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    /// How far from the first block that was asked for.
    pub(crate) at: u32,
    pub(crate) place: u32,
    pub(crate) checksum: u64,
    pub(crate) segment: Arc<Segment>,
}

impl Hit {
    /// Whether `next` lies right behind this one, on disk and in the object.
    pub(crate) fn is_before(&self, next: &Self) -> bool {
        self.at + 1 == next.at && self.place + 1 == next.place && Arc::ptr_eq(&self.segment, &next.segment)
    }
}

/// A read of neighbouring blocks, all of which were found.
#[derive(Debug)]
pub(crate) struct DiskRead {
    pub(crate) tag: ObjectTag,
    pub(crate) first: BlockIndex,
    pub(crate) slots: Slots,
    /// One for each slot, in order.
    pub(crate) hits: Vec<Hit>,
}

/// The numbers of slots whose block could not be had.
type Failed = SmallVec<[u32; 4]>;
/// Told to who asked: his slots, and what of them is of no use.
type Tell = oneshot::Sender<(Slots, Failed)>;

/// What came of it.
#[derive(Debug)]
pub(crate) enum DiskAnswer {
    /// The slots, and the numbers of those whose block could not be had.
    Read(Slots, Failed),
    /// There was no thread to do it; nothing was read.
    Refused(Slots),
    /// The disk hangs, and the slots with it.
    Hangs,
}

/// What the threads need.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) segments: Arc<Segments>,
    pub(crate) index: Arc<DiskIndex>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) block_size: BlockSize,
    pub(crate) dir: std::path::PathBuf,
}

/// A read that has not been answered.
#[derive(Debug)]
struct Ticket {
    since: Instant,
    tell: Mutex<Option<Tell>>,
}

impl Ticket {
    fn take(&self) -> Option<Tell> {
        self.tell.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<(DiskRead, Arc<Ticket>)>,
    /// Everything asked for, in order; those that are done fall off when something is added.
    tickets: VecDeque<Weak<Ticket>>,
    idle: usize,
    started: usize,
    ended: bool,
}

/// The threads and their queue. Dropped, they end with what they are at.
#[derive(Debug)]
pub(crate) struct Readers {
    source: Arc<Source>,
    queue: Arc<(Mutex<Queue>, Condvar)>,
}

impl Readers {
    /// No thread yet.
    pub(crate) fn new(source: Source) -> Self {
        Self { source: Arc::new(source), queue: Arc::default() }
    }

    /// Reads.
    pub(crate) async fn read(&self, read: DiskRead) -> DiskAnswer {
        let (tell, told) = oneshot::channel();
        if let Err(slots) = self.submit(read, tell) {
            return DiskAnswer::Refused(slots);
        }
        door::waits_for_disk();
        match told.await {
            Ok((slots, failed)) => DiskAnswer::Read(slots, failed),
            Err(_) => DiskAnswer::Hangs,
        }
    }

    /// Gives up the reads that take too long.
    fn give_up(&self) {
        let (lock, _) = &*self.queue;
        let mut queue = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut late = Vec::new();
        while let Some(ticket) = queue.tickets.front() {
            match ticket.upgrade() {
                Some(ticket) if ticket.since.elapsed() < PATIENCE => break,
                ticket => late.extend(ticket),
            }
            queue.tickets.pop_front();
        }
        drop(queue);
        // Whoever waits hears of it when nobody is left to tell him.
        let late = late.into_iter().filter_map(|ticket| ticket.take()).count();
        if late > 0 {
            let why = format!("{late} reads took longer than {} s", PATIENCE.as_secs());
            self.source.faults.tell(Fault::Read, &self.source.dir, &why);
        }
    }

    fn submit(&self, read: DiskRead, tell: Tell) -> Result<(), Slots> {
        let (lock, ready) = &*self.queue;
        let mut queue = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.jobs.len() >= QUEUE_MOST {
            return Err(read.slots);
        }
        if queue.idle <= queue.jobs.len() && queue.started < THREADS_MOST {
            let (source, shared) = (self.source.clone(), self.queue.clone());
            let name = format!("rfuse-disk-{}", queue.started);
            let started = thread::Builder::new().name(name).spawn(move || serve(&source, &shared));
            if started.is_ok() {
                queue.started += 1;
            } else if queue.started == 0 {
                return Err(read.slots);
            }
        }
        let ticket = Arc::new(Ticket { since: Instant::now(), tell: Mutex::new(Some(tell)) });
        while queue.tickets.front().is_some_and(|ticket| ticket.strong_count() == 0) {
            queue.tickets.pop_front();
        }
        queue.tickets.push_back(Arc::downgrade(&ticket));
        queue.jobs.push_back((read, ticket));
        // Where all threads are at work one of them finds it; to call costs a look into the kernel.
        let is_waited_for = queue.idle > 0;
        drop(queue);
        if is_waited_for {
            ready.notify_one();
        }
        Ok(())
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        let (lock, ready) = &*self.queue;
        let mut queue = lock.lock().unwrap_or_else(PoisonError::into_inner);
        queue.ended = true;
        queue.jobs.clear();
        drop(queue);
        // Not waited for: one of them may hang with the disk.
        ready.notify_all();
    }
}

/// Gives up what takes too long, until the other end of `stop` is dropped. On a thread of its own, which never
/// looks at the disk: whoever does may hang with it.
pub(crate) fn watch(readers: &Readers, stop: &Receiver<()>) {
    while stop.recv_timeout(PATIENCE / 4) == Err(RecvTimeoutError::Timeout) {
        readers.give_up();
    }
}

thread_local!(static READS_DISK: Cell<bool> = const { Cell::new(false) });

/// Whether this thread reads the disk: it may go on with what waited for that.
pub fn is_disk_thread() -> bool {
    READS_DISK.get()
}

fn serve(source: &Source, (lock, ready): &(Mutex<Queue>, Condvar)) {
    READS_DISK.set(true);
    loop {
        let mut queue = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let job = loop {
            if let Some(job) = queue.jobs.pop_front() {
                break job;
            }
            if queue.ended {
                return;
            }
            queue.idle += 1;
            queue = ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        };
        drop(queue);
        let (mut read, ticket) = job;
        let is_wanted = {
            let tell = ticket.tell.lock().unwrap_or_else(PoisonError::into_inner);
            tell.as_ref().is_some_and(|tell| !tell.is_closed())
        };
        // Whoever asked may have gone: then nobody needs it.
        if is_wanted {
            let failed = source.read(&mut read);
            let tell = ticket.take();
            drop(ticket);
            if let Some(tell) = tell {
                let _ = tell.send((read.slots, failed));
            }
        }
    }
}

impl Source {
    /// Fills the slots; the numbers of those whose block could not be had.
    fn read(&self, read: &mut DiskRead) -> Failed {
        let mut failed = Failed::new();
        let mut from = 0;
        while from < read.hits.len() {
            let more = read.hits[from..].windows(2).take_while(|pair| pair[0].is_before(&pair[1])).count();
            self.read_run(read, from, more + 1, &mut failed);
            from += more + 1;
        }
        failed
    }

    /// Reads `count` neighbours with one call, and looks at each.
    fn read_run(&self, read: &mut DiskRead, from: usize, count: usize, failed: &mut Failed) {
        let segment = read.hits[from].segment.clone();
        let block = self.block_size.bytes();
        let offset = u64::from(read.hits[from].place - segment.first()) * block;
        let mut buffers = read.slots.part(from, count);
        let mut is_fault = false;
        let got = match self.segments.file(&segment).and_then(|file| read_all(&file, &mut buffers, offset)) {
            Ok(got) => {
                self.faults.over(Fault::Read);
                got
            }
            Err(error) => {
                // Removed by somebody else: no fault, and found out about soon.
                if error.kind() == io::ErrorKind::NotFound {
                    segment.leave();
                } else if !segment.is_gone() {
                    self.faults.tell(Fault::Read, &self.dir, &error);
                }
                is_fault = true;
                0
            }
        };
        segment.hit(count as u32);
        let blocks = buffers.iter().flat_map(|buffer| buffer.chunks(block as usize)).zip(from..);
        for (bytes, number) in blocks {
            let (hit, index) = (&read.hits[number], BlockIndex(read.first.0 + number as u64));
            let end = (number - from + 1) as u64 * block;
            if end <= got && checksum(read.tag, index, bytes) == hit.checksum {
                self.index.use_place(hit.place);
                continue;
            }
            failed.push(number as u32);
            self.index.forget(fingerprint_of(read.tag, index), hit.place);
            if !is_fault && !self.segments.was_removed(&segment) {
                self.faults.tell(Fault::Corrupt, &self.dir, &"a block does not fit its checksum");
            }
        }
    }
}

/// Reads into `buffers` until they are full or the file ends; how many bytes came.
fn read_all(file: &std::fs::File, buffers: &mut [&mut [u8]], offset: u64) -> io::Result<u64> {
    let mut done = 0;
    let all: u64 = buffers.iter().map(|buffer| buffer.len() as u64).sum();
    while done < all {
        let mut skip = done as usize;
        let mut rest: SmallVec<[IoSliceMut<'_>; 4]> = SmallVec::new();
        for buffer in buffers.iter_mut() {
            let from = skip.min(buffer.len());
            skip -= from;
            if from < buffer.len() && rest.len() < 512 {
                rest.push(IoSliceMut::new(&mut buffer[from..]));
            }
        }
        match rustix::io::preadv(file, &mut rest, offset + done) {
            Ok(0) => break,
            Ok(count) => done += count as u64,
            Err(rustix::io::Errno::INTR) => {}
            // Past a cut that is not on a boundary of the disk's, a direct read cannot go on.
            Err(rustix::io::Errno::INVAL) if done > 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}
