//! The model on one lane: the mean of a record's embeddings, then dense layers.

use sha2::{Digest, Sha256};

use crate::device::{Argument, Buffer, DeviceError, Kernel, Lane};
use crate::meter::Meter;
use crate::outcome::Failure;
use crate::usage::Usage;
use crate::weights;

/// Entries of the embedding table; tokens are taken modulo this.
const VOCABULARY: u32 = 4096;
/// Dense layers after the embedding.
const LAYERS: usize = 2;
/// The seed of the model's weights.
const WEIGHTS_SEED: u64 = 77;

/// The model on one lane.
pub(super) struct Model {
    lane: Lane,
    batch: u32,
    tokens: u32,
    dimensions: u32,
    records: Buffer,
    table: Buffer,
    dense: Buffer,
    values: [Buffer; 2],
    busy: bool,
}

impl Model {
    pub(super) fn new(mut lane: Lane, batch: usize, record: u64, dimensions: u32) -> Result<Self, DeviceError> {
        let values = batch * dimensions as usize * 4;
        let mut upload = |seed: u64, count: usize| {
            let weights = weights::random_layer(seed, count);
            let buffer = lane.buffer(count * 4)?;
            for (target, weight) in lane.stage(count * 4)?.chunks_exact_mut(4).zip(&weights) {
                target.copy_from_slice(&weight.to_le_bytes());
            }
            lane.upload(0, count * 4, buffer)?;
            lane.uploaded()?;
            lane.download(buffer, 4)?;
            lane.finish()?;
            Ok(buffer)
        };
        let table = upload(WEIGHTS_SEED, (VOCABULARY * dimensions) as usize)?;
        let dense = upload(WEIGHTS_SEED + 1, (dimensions * dimensions) as usize)?;
        Ok(Self {
            records: lane.buffer(batch * record as usize)?,
            values: [lane.buffer(values)?, lane.buffer(values)?],
            lane,
            batch: batch as u32,
            tokens: (record / 2) as u32,
            dimensions,
            table,
            dense,
            busy: false,
        })
    }

    /// Starts on a batch: the mean of the embeddings of each record, then the dense layers.
    pub(super) fn submit(&mut self, bytes: &[u8]) -> Result<(), DeviceError> {
        use Argument::{Buffer as Pointer, U32};
        let lane = &mut self.lane;
        lane.stage(bytes.len())?.copy_from_slice(bytes);
        lane.upload(0, bytes.len(), self.records)?;
        lane.uploaded()?;
        let (batch, dimensions) = (U32(self.batch), U32(self.dimensions));
        let threads = self.batch * self.dimensions;
        let arguments = [
            Pointer(self.records),
            batch,
            U32(self.tokens),
            U32(VOCABULARY - 1),
            Pointer(self.table),
            dimensions,
            Pointer(self.values[0]),
        ];
        lane.launch(Kernel::EmbedMean, threads, &arguments)?;
        for layer in 0..LAYERS {
            let (from, to) = (Pointer(self.values[layer % 2]), Pointer(self.values[(layer + 1) % 2]));
            lane.launch(Kernel::Dense, threads, &[from, batch, dimensions, Pointer(self.dense), to])?;
        }
        lane.download(self.values[LAYERS % 2], threads as usize * 4)?;
        self.busy = true;
        Ok(())
    }

    /// Waits for the batch under way, if there is one.
    pub(super) fn collect(
        &mut self,
        meter: &Meter,
        usage: &mut Usage,
        digest: &mut Sha256,
        done: &mut u64,
    ) -> Result<(), Failure> {
        if !std::mem::take(&mut self.busy) {
            return Ok(());
        }
        let (values, timing) = self.lane.finish()?;
        digest.update(values);
        usage.worked(timing, meter.elapsed());
        *done += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Choice, Device};

    #[test]
    fn a_model_gives_the_same_values_on_both_lanes() {
        let device = Device::open(Choice::Cpu).unwrap();
        let mut digests = Vec::new();
        for _ in 0..2 {
            let mut model = Model::new(device.lane().unwrap(), 2, 4096, 16).unwrap();
            let bytes: Vec<u8> = (0..8192u32).map(|index| (index % 251) as u8).collect();
            model.submit(&bytes).unwrap();
            let (mut usage, mut digest, mut done) = (Usage::new(), Sha256::new(), 0);
            model.collect(&Meter::start(), &mut usage, &mut digest, &mut done).unwrap();
            digests.push(digest.finalize());
        }
        assert_eq!(digests[0], digests[1]);
    }
}
