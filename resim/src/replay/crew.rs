//! The threads that read chunks ahead, and those that take them apart.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::Log;
use crate::ahead::{Feed, Gate};
use crate::log::{Chunk, ContentError, Record, Window, take_apart};
use crate::meter::Meter;
use crate::outcome::Failure;

/// A chunk of a log to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Task {
    pub(super) log: usize,
    pub(super) chunk: Chunk,
}

/// A chunk that was read.
pub(super) struct Piece {
    pub(super) log: usize,
    pub(super) length: u64,
    /// Whether a checksum said what its bytes should be.
    pub(super) checked: bool,
    pub(super) records: Result<Vec<Record>, Broken>,
}

/// Why a chunk has no records.
pub(super) struct Broken {
    pub(super) why: String,
    /// Whether its bytes are wrong, rather than unreadable.
    pub(super) checksum: bool,
}

impl From<ContentError> for Broken {
    fn from(error: ContentError) -> Self {
        let checksum = matches!(error, ContentError::Checksum { .. } | ContentError::Damaged(..));
        Self { why: error.to_string(), checksum }
    }
}

/// Bytes on their way from a reader to a decoder.
struct Raw {
    number: usize,
    bytes: Result<Vec<u8>, Failure>,
}

/// Who does the reading.
pub(super) struct Crew<'a> {
    pub(super) logs: &'a [Log],
    pub(super) tasks: &'a [Task],
    pub(super) meter: &'a Meter,
    pub(super) window: &'a Window,
    pub(super) readers: usize,
    pub(super) decoders: usize,
}

impl Crew<'_> {
    /// Runs the crew while `use_up` takes from the feed; at most `ahead` chunks are in memory.
    pub(super) fn run<T>(
        &self,
        ahead: usize,
        use_up: impl FnOnce(&mut Feed<'_, Piece>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let gate = Gate::new(self.tasks.len(), ahead);
        // The gate bounds what is under way; the channels never fill.
        let (raw_sender, raw_receiver) = sync_channel(ahead.max(1));
        let (piece_sender, pieces) = channel();
        let raw_receiver = Mutex::new(raw_receiver);
        std::thread::scope(|scope| {
            for _ in 0..self.readers.max(1) {
                let sender = raw_sender.clone();
                scope.spawn(|| self.read(&gate, sender));
            }
            drop(raw_sender);
            for _ in 0..self.decoders.max(1) {
                let sender = piece_sender.clone();
                scope.spawn(|| self.decode(&raw_receiver, sender));
            }
            drop(piece_sender);
            let used = use_up(&mut Feed::new(&gate, pieces));
            gate.stop();
            used
        })
    }

    #[expect(clippy::needless_pass_by_value, reason = "the channel closes when the last reader drops its end")]
    fn read(&self, gate: &Gate, sender: SyncSender<Raw>) {
        while let Some(number) = gate.claim() {
            let Task { log, chunk } = &self.tasks[number];
            let read = || self.logs[*log].file.read(chunk.offset, chunk.length);
            let bytes = self.meter.time(*log, chunk.offset, chunk.length, read);
            if sender.send(Raw { number, bytes }).is_err() {
                return;
            }
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the channel closes when the last decoder drops its end")]
    fn decode(&self, raw: &Mutex<Receiver<Raw>>, sender: Sender<(usize, Piece)>) {
        loop {
            let received = raw.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Raw { number, bytes }) = received else { return };
            let Task { log, chunk } = &self.tasks[number];
            let of = &self.logs[*log];
            let expected = of.checksum(chunk);
            let records = match bytes {
                Ok(bytes) => {
                    let (topics, start) = (of.file.topics(), of.file.start());
                    take_apart(&bytes, chunk.offset, expected, topics, self.window, start).map_err(Broken::from)
                }
                Err(failure) => Err(Broken { why: failure.why, checksum: false }),
            };
            // A chunk's own checksum is looked at whenever it is taken apart.
            let checked = records.is_ok() || expected.is_some();
            let piece = Piece { log: *log, length: chunk.length, checked, records };
            if sender.send((number, piece)).is_err() {
                return;
            }
        }
    }
}
