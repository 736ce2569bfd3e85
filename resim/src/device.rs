//! Where the arithmetic runs: a GPU through its driver, or this processor through the same kernels.
//!
//! A [`Lane`] is one queue of work with memory of its own: stage bytes, upload, launch, download, finish. Two lanes
//! on one device overlap reading, copying and computing. The sequence of launches is written once, over lanes; a
//! GPU and a processor differ only below this file.

mod busy;
mod choice;
mod cuda;
mod host;
mod kernel;

pub(crate) use busy::{Busy, Interval};
pub(crate) use choice::{Choice, Device};
pub(crate) use kernel::Kernel;

use cuda::CudaLane;
use host::HostLane;

/// Memory of a lane; of no use to another lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Buffer(usize);

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Argument {
    /// A pointer to the start of a buffer.
    Buffer(Buffer),
    /// A 32-bit number.
    U32(u32),
    /// A float.
    F32(f32),
}

/// What a device cannot do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    /// There is no driver or no such GPU.
    #[error("{0}")]
    Absent(String),
    /// The device has no room for what was asked.
    #[error("{device} has no {bytes} bytes left ({free} of {total} are free)")]
    OutOfMemory {
        /// The device's name.
        device: String,
        /// What was asked for.
        bytes: usize,
        /// What is free.
        free: usize,
        /// What it has.
        total: usize,
    },
    /// A call of the driver failed.
    #[error("{device} cannot {doing}: {why}")]
    Driver {
        /// The device's name.
        device: String,
        /// What was tried.
        doing: &'static str,
        /// The driver's word for it.
        why: String,
    },
}

/// When a lane's last work was copied and computed, in seconds of the device's clock.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Timing {
    /// Copying to the device.
    pub(crate) copy: Interval,
    /// Computing and copying back.
    pub(crate) compute: Interval,
}

/// One queue of work on a device.
pub(crate) enum Lane {
    /// This processor: everything happens at once.
    Host(HostLane),
    /// A stream of a GPU: everything happens in order, later.
    Cuda(Box<CudaLane>),
}

impl Lane {
    /// Memory on the device, filled with zeros.
    ///
    /// # Errors
    /// The device is full or gone.
    pub(crate) fn buffer(&mut self, bytes: usize) -> Result<Buffer, DeviceError> {
        match self {
            Self::Host(lane) => Ok(lane.buffer(bytes)),
            Self::Cuda(lane) => lane.buffer(bytes),
        }
    }

    /// The first `bytes` of the memory that uploads are copied from; pinned where there is a GPU. The lane must be
    /// finished.
    ///
    /// # Errors
    /// There is no such memory left.
    pub(crate) fn stage(&mut self, bytes: usize) -> Result<&mut [u8], DeviceError> {
        match self {
            Self::Host(lane) => Ok(lane.stage(bytes)),
            Self::Cuda(lane) => lane.stage(bytes),
        }
    }

    /// Copies `bytes` staged bytes from `offset` on into a buffer.
    ///
    /// # Errors
    /// The driver refuses.
    pub(crate) fn upload(&mut self, offset: usize, bytes: usize, to: Buffer) -> Result<(), DeviceError> {
        match self {
            Self::Host(lane) => {
                lane.upload(offset, bytes, to);
                Ok(())
            }
            Self::Cuda(lane) => lane.upload(offset, bytes, to),
        }
    }

    /// Says that all uploads are queued: what follows is computing.
    ///
    /// # Errors
    /// The driver refuses.
    pub(crate) fn uploaded(&mut self) -> Result<(), DeviceError> {
        match self {
            Self::Host(lane) => {
                lane.uploaded();
                Ok(())
            }
            Self::Cuda(lane) => lane.uploaded(),
        }
    }

    /// Fills a buffer with zeros.
    ///
    /// # Errors
    /// The driver refuses.
    pub(crate) fn clear(&mut self, buffer: Buffer) -> Result<(), DeviceError> {
        match self {
            Self::Host(lane) => {
                lane.clear(buffer);
                Ok(())
            }
            Self::Cuda(lane) => lane.clear(buffer),
        }
    }

    /// Runs a kernel with `threads` threads.
    ///
    /// # Errors
    /// The driver refuses.
    ///
    /// # Panics
    /// The kernel takes other arguments.
    pub(crate) fn launch(&mut self, kernel: Kernel, threads: u32, arguments: &[Argument]) -> Result<(), DeviceError> {
        assert_eq!(arguments.len(), kernel.arguments(), "{kernel:?} takes other arguments");
        match self {
            Self::Host(lane) => {
                lane.launch(kernel, threads, arguments);
                Ok(())
            }
            Self::Cuda(lane) => lane.launch(kernel, threads, arguments),
        }
    }

    /// Queues the copy of the first `bytes` of a buffer to the end of what [`Lane::finish`] gives back.
    ///
    /// # Errors
    /// The driver refuses.
    pub(crate) fn download(&mut self, from: Buffer, bytes: usize) -> Result<(), DeviceError> {
        match self {
            Self::Host(lane) => {
                lane.download(from, bytes);
                Ok(())
            }
            Self::Cuda(lane) => lane.download(from, bytes),
        }
    }

    /// Waits until all is done: the downloaded bytes in the order they were asked for, and when it happened.
    ///
    /// # Errors
    /// The work failed.
    pub(crate) fn finish(&mut self) -> Result<(&[u8], Timing), DeviceError> {
        match self {
            Self::Host(lane) => Ok(lane.finish()),
            Self::Cuda(lane) => lane.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_words_comes_back_from_the_kernel() {
        let device = Device::open(Choice::Cpu).unwrap();
        let mut lane = device.lane().unwrap();
        let (words, total) = (lane.buffer(4096).unwrap(), lane.buffer(8).unwrap());
        for (index, word) in lane.stage(4096).unwrap().chunks_exact_mut(4).enumerate() {
            word.copy_from_slice(&(index as u32).to_le_bytes());
        }
        lane.upload(0, 4096, words).unwrap();
        lane.uploaded().unwrap();
        let arguments = [Argument::Buffer(words), Argument::U32(1024), Argument::U32(100), Argument::Buffer(total)];
        lane.launch(Kernel::WordSum, 11, &arguments).unwrap();
        lane.download(total, 8).unwrap();
        let (bytes, timing) = lane.finish().unwrap();
        assert_eq!(u64::from_le_bytes(bytes.try_into().unwrap()), 1023 * 1024 / 2);
        assert!(timing.copy.end <= timing.compute.start && timing.compute.start <= timing.compute.end);
    }
}
