//! Records what programs read, to be an access plan the next time.
//!
//! What the kernel asks for is recorded: reads that its page cache answers never come here, so it is given no
//! pages ahead of its readers while a trace is taken. A thread of its own writes the file; when the disk is too
//! slow for it reads go unrecorded, and are counted, rather than wait.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rfuse_block::{ByteRange, ObjectKey};
use rfuse_prefetch::access::{TraceWriter, TracedRead};

/// Reads that may wait for the disk; more are dropped.
const WAITING: usize = 1 << 16;

/// What records, while it does.
#[derive(Debug, Default)]
pub struct Tracing {
    is_on: AtomicBool,
    recording: Mutex<Option<Recording>>,
}

#[derive(Debug)]
struct Recording {
    sender: SyncSender<Record>,
    writer: JoinHandle<io::Result<u64>>,
    dropped: AtomicU64,
    began: Instant,
    file: PathBuf,
}

#[derive(Debug)]
struct Record {
    key: ObjectKey,
    range: ByteRange,
    at: Duration,
    pid: u32,
}

/// What was recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Traced {
    /// Where it is.
    pub file: PathBuf,
    /// Reads in it.
    pub reads: u64,
    /// Reads that are not in it because the disk was too slow.
    pub dropped: u64,
}

impl Tracing {
    /// Whether reads are recorded.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Begins to record into `file`, which must not exist.
    ///
    /// # Errors
    /// `AlreadyExists` also when a trace is being taken; what the file system says.
    pub fn start(&self, file: &Path) -> io::Result<()> {
        let mut recording = self.recording();
        if let Some(other) = &*recording {
            let why = format!("a trace is being taken already, into {}", other.file.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        let out = TraceWriter::new(BufWriter::new(File::options().write(true).create_new(true).open(file)?))?;
        let (sender, receiver) = sync_channel(WAITING);
        let builder = std::thread::Builder::new().name("rfuse-trace".to_owned());
        let writer = builder.spawn(move || write(&receiver, out))?;
        let (dropped, began) = (AtomicU64::new(0), Instant::now());
        *recording = Some(Recording { sender, writer, dropped, began, file: file.to_owned() });
        self.is_on.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    /// `NotFound` when none is being taken; what the file system said on the way.
    pub fn stop(&self) -> io::Result<Traced> {
        self.is_on.store(false, Ordering::Relaxed);
        let none = || io::Error::new(io::ErrorKind::NotFound, "no trace is being taken");
        let Recording { sender, writer, dropped, file, .. } = self.recording().take().ok_or_else(none)?;
        drop(sender);
        let reads = writer.join().map_err(|_| io::Error::other("the thread that wrote it panicked"))??;
        Ok(Traced { file, reads, dropped: dropped.into_inner() })
    }

    /// Records a read.
    pub(crate) fn note(&self, key: ObjectKey, range: ByteRange, pid: u32) {
        let recording = self.recording();
        let Some(Recording { sender, began, dropped, .. }) = &*recording else { return };
        if sender.try_send(Record { key, range, at: began.elapsed(), pid }).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn recording(&self) -> MutexGuard<'_, Option<Recording>> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(receiver: &Receiver<Record>, mut out: TraceWriter<BufWriter<File>>) -> io::Result<u64> {
    let mut reads = 0;
    for Record { key, range, at, pid } in receiver {
        out.add(&TracedRead { file: key.as_bytes(), range, at, pid })?;
        reads += 1;
    }
    out.finish()?;
    Ok(reads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rfuse_prefetch::access::AccessPlan;

    #[test]
    fn what_was_read_between_start_and_stop_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (tracing, file) = (Tracing::default(), dir.path().join("trace"));
        assert_eq!(tracing.stop().unwrap_err().kind(), io::ErrorKind::NotFound);
        tracing.start(&file).unwrap();
        assert_eq!(tracing.start(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        for at in 0..1000 {
            tracing.note(ObjectKey::from("a/b"), ByteRange::at(at * 10, 10), 7);
        }
        let traced = tracing.stop().unwrap();
        assert_eq!((traced.reads, traced.dropped, tracing.is_on()), (1000, 0, false));
        let plan = AccessPlan::parse(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!((plan.steps.len(), plan.bytes()), (1000, 10_000));
        assert_eq!(tracing.start(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists, "nothing is overwritten");
    }
}
