//! A lane on this processor: the kernels compiled for the host, run at once on the calling thread.

use std::ffi::c_void;
use std::time::Instant;

use super::{Argument, Buffer, Interval, Kernel, Timing};

/// Memory that kernels may see as 64-bit words.
type Words = Vec<u64>;

/// A queue of work that is never longer than nothing.
pub(crate) struct HostLane {
    epoch: Instant,
    staged: Words,
    buffers: Vec<Words>,
    returned: Vec<u8>,
    begun: Option<f64>,
    copied: f64,
    done: f64,
}

#[expect(unsafe_code, reason = "a call into the kernels, which are C++")]
mod door {
    use super::c_void;

    unsafe extern "C" {
        /// See `kernels/host.cpp`.
        fn rfuse_resim_launch(kernel: u32, threads: u32, arguments: *mut *mut c_void, count: u32) -> bool;
    }

    /// Runs kernel number `kernel`; each argument points to a value of the type the kernel takes.
    pub(super) fn launch(kernel: u32, threads: u32, arguments: &mut [*mut c_void]) -> bool {
        // SAFETY: the pointers lead to values that outlive the call, and the buffers behind pointer values are at
        // least as long as the kernel's counts say: the programs in perception.rs, train.rs and load.rs size them
        // from the same numbers. The C++ side checks kernel and count of arguments.
        unsafe { rfuse_resim_launch(kernel, threads, arguments.as_mut_ptr(), arguments.len() as u32) }
    }
}

fn words_for(bytes: usize) -> usize {
    bytes.div_ceil(8)
}

impl HostLane {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            staged: Vec::new(),
            buffers: Vec::new(),
            returned: Vec::new(),
            begun: None,
            copied: 0.0,
            done: 0.0,
        }
    }

    pub(super) fn buffer(&mut self, bytes: usize) -> Buffer {
        self.buffers.push(vec![0; words_for(bytes)]);
        Buffer(self.buffers.len() - 1)
    }

    pub(super) fn stage(&mut self, bytes: usize) -> &mut [u8] {
        self.returned.clear();
        if self.staged.len() < words_for(bytes) {
            self.staged.resize(words_for(bytes), 0);
        }
        &mut bytes_of_mut(&mut self.staged)[..bytes]
    }

    pub(super) fn upload(&mut self, offset: usize, bytes: usize, to: Buffer) {
        self.begin();
        let target = bytes_of_mut(&mut self.buffers[to.0]);
        target[..bytes].copy_from_slice(&bytes_of(&self.staged)[offset..offset + bytes]);
    }

    pub(super) fn uploaded(&mut self) {
        self.begin();
        self.copied = self.now();
    }

    pub(super) fn clear(&mut self, buffer: Buffer) {
        self.buffers[buffer.0].fill(0);
    }

    pub(super) fn launch(&mut self, kernel: Kernel, threads: u32, arguments: &[Argument]) {
        let mut values: Vec<u64> = arguments.iter().map(|argument| self.value(*argument)).collect();
        let mut pointers: Vec<*mut c_void> =
            values.iter_mut().map(|value| std::ptr::from_mut(value).cast::<c_void>()).collect();
        let known = door::launch(kernel as u32, threads, &mut pointers);
        assert!(known, "{kernel:?} is not among the kernels of host.cpp, or takes other arguments");
    }

    /// What the kernel finds where its argument's pointer leads; little-endian machines read 32-bit values from
    /// the start of the word.
    fn value(&mut self, argument: Argument) -> u64 {
        match argument {
            Argument::Buffer(buffer) => self.buffers[buffer.0].as_mut_ptr() as u64,
            Argument::U32(value) => u64::from(value),
            Argument::F32(value) => u64::from(value.to_bits()),
        }
    }

    pub(super) fn download(&mut self, from: Buffer, bytes: usize) {
        self.returned.extend_from_slice(&bytes_of(&self.buffers[from.0])[..bytes]);
        self.done = self.now();
    }

    pub(super) fn finish(&mut self) -> (&[u8], Timing) {
        let start = self.begun.take().unwrap_or(self.done);
        let end = self.done.max(start);
        let copied = self.copied.clamp(start, end);
        let timing = Timing { copy: Interval { start, end: copied }, compute: Interval { start: copied, end } };
        (&self.returned, timing)
    }

    fn begin(&mut self) {
        if self.begun.is_none() {
            self.begun = Some(self.now());
        }
    }

    fn now(&self) -> f64 {
        self.epoch.elapsed().as_secs_f64()
    }
}

#[cfg(target_endian = "big")]
compile_error!("kernel arguments and drive logs are little-endian");

#[expect(unsafe_code, reason = "words seen as bytes")]
fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: the range is that of the slice, and every byte of a u64 is a valid u8.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), size_of_val(words)) }
}

#[expect(unsafe_code, reason = "words seen as bytes")]
fn bytes_of_mut(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: as above, and any bytes make a valid u64; the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), size_of_val(words)) }
}
