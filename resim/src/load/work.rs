//! The device's side of a load: blocks go in, their sums come out and are compared.

use super::Piece;
use crate::ahead::Feed;
use crate::device::{Argument, Buffer, Device, DeviceError, Kernel, Lane};
use crate::meter::Meter;
use crate::outcome::Failure;
use crate::usage::Usage;

/// Blocks that are under way on the device at a time.
const LANES: usize = 2;
/// Words that one thread of the device sums.
const STRIP: u32 = 256;

/// The blocks under way, and what came of the others.
pub(super) struct Work {
    lanes: Vec<Summer>,
    pub(super) usage: Usage,
    pub(super) submitted: usize,
    pub(super) done: usize,
    pub(super) total: u64,
    pub(super) problems: Vec<String>,
}

impl Work {
    /// Two lanes that take blocks of `block` bytes.
    pub(super) fn new(device: &Device, block: u64) -> Result<Self, DeviceError> {
        let lanes: Result<Vec<_>, DeviceError> = (0..LANES).map(|_| Summer::new(device.lane()?, block)).collect();
        Ok(Self { lanes: lanes?, usage: Usage::new(), submitted: 0, done: 0, total: 0, problems: Vec::new() })
    }

    pub(super) fn next(
        &mut self,
        feed: &mut Feed<'_, Result<Piece, Failure>>,
        meter: &Meter,
    ) -> Result<Option<Result<Piece, Failure>>, Failure> {
        if let Some(piece) = feed.ready() {
            return Ok(Some(piece));
        }
        self.drain(meter)?;
        let begun = meter.elapsed();
        let piece = feed.wait();
        if piece.is_some() {
            self.usage.waited(begun, meter.elapsed() - begun);
        }
        Ok(piece)
    }

    pub(super) fn submit(&mut self, piece: &Piece, meter: &Meter) -> Result<(), Failure> {
        // Lanes take turns, so the next one has the oldest block.
        let lane = self.submitted % LANES;
        self.collect(lane, meter)?;
        self.submitted += 1;
        Ok(self.lanes[lane].submit(piece)?)
    }

    fn collect(&mut self, lane: usize, meter: &Meter) -> Result<(), Failure> {
        let lane = &mut self.lanes[lane];
        let Some(expected) = lane.expected.take() else { return Ok(()) };
        let (bytes, timing) = lane.lane.finish()?;
        let sum = bytes.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        self.usage.worked(timing, meter.elapsed());
        self.done += 1;
        self.total = self.total.wrapping_add(sum);
        if sum != expected {
            self.problems
                .push(format!("the device sums block {} to {sum:x}, this processor to {expected:x}", self.done));
        }
        Ok(())
    }

    pub(super) fn drain(&mut self, meter: &Meter) -> Result<(), Failure> {
        for turn in 0..LANES {
            self.collect((self.submitted + turn) % LANES, meter)?;
        }
        Ok(())
    }
}

/// Sums blocks on one lane.
struct Summer {
    lane: Lane,
    words: Buffer,
    total: Buffer,
    /// What the block under way should sum to.
    expected: Option<u64>,
}

impl Summer {
    fn new(mut lane: Lane, block: u64) -> Result<Self, DeviceError> {
        let (words, total) = (lane.buffer(block.next_multiple_of(4) as usize)?, lane.buffer(8)?);
        Ok(Self { lane, words, total, expected: None })
    }

    fn submit(&mut self, piece: &Piece) -> Result<(), DeviceError> {
        use Argument::{Buffer as Pointer, U32};
        let lane = &mut self.lane;
        let filled = piece.bytes.len().next_multiple_of(4);
        let staged = lane.stage(filled)?;
        staged[..piece.bytes.len()].copy_from_slice(&piece.bytes);
        staged[piece.bytes.len()..].fill(0);
        lane.upload(0, filled, self.words)?;
        lane.uploaded()?;
        lane.clear(self.total)?;
        let count = (filled / 4) as u32;
        let arguments = [Pointer(self.words), U32(count), U32(STRIP), Pointer(self.total)];
        lane.launch(Kernel::WordSum, count.div_ceil(STRIP), &arguments)?;
        lane.download(self.total, 8)?;
        self.expected = Some(piece.sum);
        Ok(())
    }
}
