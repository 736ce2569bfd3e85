//! Finds the streams among the reads of one object.
//!
//! How much evidence a stream needs depends on the company: where most reads belong to streams a few in a row
//! will do, where most belong to none (a shuffled epoch) some in a row are chance. And where runs have always
//! been of some length (records of a MiB, read in eight requests) only a longer one is more than the next
//! record.

use rfuse_block::ByteRange;
use rfuse_config::PrefetchConfig;

use crate::candidate::{Run, Runs};
use crate::plan::{Plan, Read, StreamId};
use crate::progression::{Progression, Progressions};
use crate::stream::{Pattern, Stream};

/// Streams followed at once in one object; the one longest without a read gives way.
const STREAMS: usize = 16;

/// A stream is over when so many reads in a row belonged elsewhere.
const IDLE_READS: u64 = 256;

/// Reads in a row that make a stream: among streams, of large reads among streams, and among reads that belong
/// to none. Of 256 blocks read in random order, eight follow on each other once in 10⁹ epochs or so.
const EVIDENCE: (u32, u32, u32) = (4, 2, 8);

/// Reads at a constant distance that make a stream, likewise.
const PROGRESSION: (u32, u32) = (5, 8);

/// From this size on a read is large: a program that asks for so much at once seldom jumps.
const LARGE: u64 = 64 << 10;

/// Runs of more than this are worth following wherever they are.
const TYPICAL_MAX: u64 = 8 << 20;

/// What has come of the streams so far, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TrackerStats {
    /// Streams that were followed.
    pub streams: u64,
    /// Planned.
    pub planned: u64,
    /// Planned and then read.
    pub used: u64,
    /// Planned and not read before the stream was over.
    pub wasted: u64,
}

/// Watches the reads of one version of one object.
#[derive(Debug)]
pub struct Tracker {
    size: u64,
    config: PrefetchConfig,
    streams: Vec<Stream>,
    runs: Runs,
    progressions: Progressions,
    /// Reads so far.
    reads: u64,
    /// Share of the latest reads that belonged to no stream, in 1/256.
    noise: u32,
    /// Bytes in a usual run that ended before it was worth following.
    typical: u64,
    next: u64,
    /// Of the streams that are over.
    past: TrackerStats,
}

impl Tracker {
    /// A tracker for an object of `size` bytes.
    pub fn new(size: u64, config: &PrefetchConfig) -> Self {
        Self {
            size,
            config: *config,
            streams: Vec::new(),
            runs: Runs::default(),
            progressions: Progressions::default(),
            reads: 0,
            noise: 0,
            typical: 0,
            next: 0,
            past: TrackerStats::default(),
        }
    }

    /// Takes in a read of at least one byte; what to do about it.
    pub fn observe(&mut self, read: &Read) -> Plan {
        if self.config.window == 0 {
            return Plan::default();
        }
        self.reads += 1;
        let known = self.streams.iter().rposition(|stream| stream.takes(read.range));
        if known.is_none() && self.runs.repeats(read.range) {
            return Plan::default();
        }
        self.noise = (self.noise * 15 + if known.is_some() { 0 } else { 256 }) / 16;
        let mut plan = Plan::default();
        let at = match known {
            Some(at) => at,
            None => match self.recognise(read) {
                Some(stream) => {
                    plan.ended.extend(self.make_room());
                    self.streams.push(stream);
                    self.streams.len() - 1
                }
                None => {
                    plan.ended.extend(self.end_idle());
                    return plan;
                }
            },
        };
        let stream = &mut self.streams[at];
        stream.seen = self.reads;
        plan.stream = Some(stream.id);
        stream.note(read);
        // Before fetching: pushing wants a window to push from.
        plan.push = stream.push(read);
        plan.fetch = stream.fetch();
        plan.ended.extend(self.end_idle());
        plan
    }

    /// Part of a plan was not carried out, for lack of room.
    pub fn refused(&mut self, stream: StreamId, range: ByteRange) {
        if let Some(stream) = self.streams.iter_mut().find(|it| it.id == stream) {
            stream.refused(range);
        }
    }

    /// Streams followed now.
    pub fn active(&self) -> usize {
        self.streams.len()
    }

    /// What has come of it so far.
    pub fn stats(&self) -> TrackerStats {
        self.streams.iter().fold(self.past, |sum, stream| TrackerStats {
            planned: sum.planned + stream.planned,
            used: sum.used + stream.used,
            ..sum
        })
    }

    /// Ends all streams; what has come of everything since this was last called.
    pub fn close(&mut self) -> TrackerStats {
        while !self.streams.is_empty() {
            self.end(0);
        }
        std::mem::take(&mut self.past)
    }

    /// The stream that `read` makes, together with those before it.
    fn recognise(&mut self, read: &Read) -> Option<Stream> {
        let (run, gone) = self.runs.note(read.range);
        if let Some(gone) = gone {
            self.fell_short(gone.range.length());
        }
        if let Some(pattern) = self.pattern_of(&run, read.range.length()) {
            self.runs.take_latest();
            let (start, end) = (run.range.start(), run.range.end());
            return Some(self.stream(pattern, if pattern == Pattern::Forward { (start, end) } else { (end, start) }));
        }
        // What memory answers needs no help, and most of it is chance.
        let progression = if read.waited.is_some() { self.progressions.note(read.range)? } else { return None };
        let needed = if self.is_noisy() { PROGRESSION.1 } else { PROGRESSION.0 };
        if progression.reads < needed {
            return None;
        }
        self.progressions.take(progression.last);
        Some(self.stream_of(&progression))
    }

    fn pattern_of(&self, run: &Run, read: u64) -> Option<Pattern> {
        let needed = match (self.is_noisy(), read >= LARGE) {
            (true, _) => EVIDENCE.2,
            (false, true) => EVIDENCE.1,
            (false, false) => EVIDENCE.0,
        };
        // A quarter more than usual: the next record is not a stream.
        let is_long = run.range.length() > self.typical.min(TYPICAL_MAX) * 5 / 4;
        // Two requests that overtook each other look like two backwards.
        match (run.up + 1 >= needed, run.down + 1 >= needed.max(EVIDENCE.0)) {
            (true, _) if is_long && run.up > run.down => Some(Pattern::Forward),
            (_, true) if is_long && run.down > run.up => Some(Pattern::Backward),
            _ => None,
        }
    }

    fn is_noisy(&self) -> bool {
        self.noise > 128
    }

    fn stream_of(&mut self, progression: &Progression) -> Stream {
        let Progression { last, step, reads } = *progression;
        let back = step.unsigned_abs() * u64::from(reads);
        let start = if step > 0 { last.start().saturating_sub(back) } else { last.start() + back };
        self.stream(Pattern::Strided { step, length: last.length() }, (start, last.start()))
    }

    fn stream(&mut self, pattern: Pattern, span: (u64, u64)) -> Stream {
        self.next += 1;
        self.past.streams += 1;
        Stream::new(StreamId(self.next), pattern, span, self.size, &self.config)
    }

    fn make_room(&mut self) -> Option<StreamId> {
        if self.streams.len() < STREAMS {
            return None;
        }
        let oldest = (0..self.streams.len()).min_by_key(|&at| self.streams[at].seen)?;
        Some(self.end(oldest))
    }

    fn end_idle(&mut self) -> Option<StreamId> {
        let is_idle = |stream: &Stream| self.reads - stream.seen > IDLE_READS;
        let at = self.streams.iter().position(is_idle)?;
        Some(self.end(at))
    }

    fn end(&mut self, at: usize) -> StreamId {
        let stream = self.streams.remove(at);
        let wasted = stream.waiting();
        self.past.planned += stream.planned;
        self.past.used += stream.used;
        self.past.wasted += wasted;
        if wasted * 4 > stream.used {
            self.fell_short(stream.run());
        } else {
            self.typical /= 2;
        }
        stream.id
    }

    fn fell_short(&mut self, run: u64) {
        self.typical = (self.typical * 7 + run) / 8;
    }
}
