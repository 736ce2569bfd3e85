//! A lane on a GPU: a stream, pinned memory on both ways, events for the clock.
//!
//! The driver library is looked for when a GPU is asked for, never before: the program starts where there is none.
//! Each lane has its own stream, memory and events; nothing is shared between streams but the code, so the stream's
//! own order is all the ordering there is. Nothing here has run on a GPU in this repository's tests; the same
//! launches run on the host lane.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUevent_flags, CUresult};
use cudarc::driver::{CudaContext, CudaEvent, CudaFunction, CudaSlice, CudaStream, DevicePtr, PinnedHostSlice};
use cudarc::nvrtc::Ptx;

use super::kernel::PTX;
use super::{Argument, Buffer, DeviceError, Interval, Kernel, Timing};

/// Threads a block; a multiple of a warp that every GPU since Volta takes.
const BLOCK: u32 = 256;

/// How many GPUs there are; none when there is no driver.
#[expect(unsafe_code, reason = "cudarc asks the dynamic linker")]
pub(super) fn count() -> usize {
    // SAFETY: looks a library up and opens it, which is what opening a GPU would do.
    if !unsafe { sys::is_culib_present() } {
        return 0;
    }
    CudaContext::device_count().ok().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

/// A GPU with the kernels on it.
pub(crate) struct CudaDevice {
    context: Arc<CudaContext>,
    functions: Arc<[CudaFunction]>,
    epoch: Arc<CudaEvent>,
    name: String,
}

impl CudaDevice {
    #[expect(unsafe_code, reason = "event tracking is switched off")]
    pub(super) fn open(number: usize) -> Result<Self, DeviceError> {
        let found = count();
        if found == 0 {
            let why = "there is no GPU: the CUDA driver (libcuda.so) is not installed here, or it finds no device";
            return Err(DeviceError::Absent(why.to_owned()));
        }
        if number >= found {
            return Err(DeviceError::Absent(format!("there is no cuda:{number}: this machine has {found} GPU(s)")));
        }
        let fallback = format!("cuda:{number}");
        let failed = |doing, error| failure(&fallback, doing, error);
        let context = CudaContext::new(number).map_err(|error| failed("open a context", error))?;
        let name = format!("{fallback} {}", context.name().unwrap_or_default());
        // SAFETY: it would order streams that share memory; ours share none.
        unsafe { context.disable_event_tracking() };
        let mut modules = Vec::new();
        for ptx in PTX {
            let doing = "load the kernels (it must be of the Volta generation or newer, with driver 535 or newer)";
            modules.push(context.load_module(Ptx::from_src(ptx)).map_err(|error| failed(doing, error))?);
        }
        let functions: Result<Vec<_>, _> =
            Kernel::ALL.iter().map(|kernel| modules[kernel.module()].load_function(kernel.name())).collect();
        let functions = functions.map_err(|error| failed("find a kernel", error))?.into();
        let stream = context.default_stream();
        let epoch = stream
            .record_event(Some(CUevent_flags::CU_EVENT_DEFAULT))
            .and_then(|event| stream.synchronize().map(|()| event))
            .map_err(|error| failed("start its clock", error))?;
        Ok(Self { context, functions, epoch: Arc::new(epoch), name })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn lane(&self) -> Result<CudaLane, DeviceError> {
        let failed = |error| failure(&self.name, "open a stream", error);
        let stream = self.context.new_stream().map_err(failed)?;
        let event = || self.context.new_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).map_err(failed);
        Ok(CudaLane {
            begin: event()?,
            copied: event()?,
            done: event()?,
            context: Arc::clone(&self.context),
            functions: Arc::clone(&self.functions),
            epoch: Arc::clone(&self.epoch),
            name: self.name.clone(),
            stream,
            buffers: Vec::new(),
            staged: None,
            returned: None,
            returned_bytes: 0,
            begun: false,
        })
    }
}

/// One stream of a GPU.
pub(crate) struct CudaLane {
    // Dropped before the memory: waiting for them is waiting for the copies.
    begin: CudaEvent,
    copied: CudaEvent,
    done: CudaEvent,
    epoch: Arc<CudaEvent>,
    context: Arc<CudaContext>,
    functions: Arc<[CudaFunction]>,
    name: String,
    stream: Arc<CudaStream>,
    buffers: Vec<CudaSlice<u8>>,
    staged: Option<PinnedHostSlice<u8>>,
    returned: Option<PinnedHostSlice<u8>>,
    returned_bytes: usize,
    begun: bool,
}

impl Drop for CudaLane {
    fn drop(&mut self) {
        // Copies from and to our memory must end before it goes; a lost device has none.
        let _ = self.stream.synchronize();
    }
}

impl CudaLane {
    pub(super) fn buffer(&mut self, bytes: usize) -> Result<Buffer, DeviceError> {
        let memory = self.stream.alloc_zeros::<u8>(bytes.max(8));
        let memory = memory.map_err(|error| self.memory_failure(bytes, error))?;
        self.buffers.push(memory);
        Ok(Buffer(self.buffers.len() - 1))
    }

    pub(super) fn stage(&mut self, bytes: usize) -> Result<&mut [u8], DeviceError> {
        self.returned_bytes = 0;
        let staged = pinned(&self.context, self.staged.take(), bytes, 0);
        self.staged = Some(staged.map_err(|error| self.memory_failure(bytes, error))?);
        let memory = self.staged.as_mut().map(PinnedHostSlice::as_mut_slice).transpose();
        let memory = memory.map_err(|error| failure(&self.name, "write pinned memory", error))?;
        Ok(&mut memory.unwrap_or_default()[..bytes])
    }

    #[expect(unsafe_code, reason = "an asynchronous copy from pinned memory")]
    pub(super) fn upload(&mut self, offset: usize, bytes: usize, to: Buffer) -> Result<(), DeviceError> {
        self.start()?;
        let (target, _) = self.buffers[to.0].device_ptr(&self.stream);
        assert!(bytes <= self.buffers[to.0].len(), "an upload longer than its buffer");
        let staged = self.staged.as_ref().map(PinnedHostSlice::as_slice).transpose();
        let staged = staged.map_err(|error| failure(&self.name, "read pinned memory", error))?;
        let source = &staged.unwrap_or_default()[offset..offset + bytes];
        // SAFETY: the target is ours and long enough; the source is pinned, and `stage` is only called again after
        // `finish` has waited for the stream.
        unsafe { result::memcpy_htod_async(target, source, self.stream.cu_stream()) }
            .map_err(|error| failure(&self.name, "copy to the device", error))
    }

    pub(super) fn uploaded(&mut self) -> Result<(), DeviceError> {
        self.start()?;
        self.copied.record(&self.stream).map_err(|error| failure(&self.name, "record an event", error))
    }

    pub(super) fn clear(&mut self, buffer: Buffer) -> Result<(), DeviceError> {
        self.stream
            .memset_zeros(&mut self.buffers[buffer.0])
            .map_err(|error| failure(&self.name, "clear memory", error))
    }

    #[expect(unsafe_code, reason = "a launch of a kernel")]
    pub(super) fn launch(&mut self, kernel: Kernel, threads: u32, arguments: &[Argument]) -> Result<(), DeviceError> {
        let mut values: Vec<u64> = arguments.iter().map(|argument| self.value(*argument)).collect();
        let mut pointers: Vec<*mut c_void> =
            values.iter_mut().map(|value| std::ptr::from_mut(value).cast::<c_void>()).collect();
        let blocks = threads.div_ceil(BLOCK).max(1);
        // SAFETY: the arguments are of the kernel's types and number, the buffers are as long as its counts say (the
        // same sizes as on the host lane), and the driver copies the arguments before it returns.
        unsafe {
            launch_raw(&self.functions[kernel as usize], blocks, &self.stream, &mut pointers)
                .map_err(|error| failure(&self.name, "launch a kernel", error))
        }
    }

    fn value(&self, argument: Argument) -> u64 {
        match argument {
            Argument::Buffer(buffer) => self.buffers[buffer.0].device_ptr(&self.stream).0,
            Argument::U32(value) => u64::from(value),
            Argument::F32(value) => u64::from(value.to_bits()),
        }
    }

    #[expect(unsafe_code, reason = "an asynchronous copy to pinned memory")]
    pub(super) fn download(&mut self, from: Buffer, bytes: usize) -> Result<(), DeviceError> {
        let (start, end) = (self.returned_bytes, self.returned_bytes + bytes);
        if self.returned.as_ref().is_none_or(|memory| memory.len() < end) {
            // What was downloaded before is moved; this happens in the first frames only.
            self.stream.synchronize().map_err(|error| failure(&self.name, "wait", error))?;
            let grown = pinned(&self.context, self.returned.take(), end.next_power_of_two(), start);
            self.returned = Some(grown.map_err(|error| self.memory_failure(end, error))?);
        }
        assert!(bytes <= self.buffers[from.0].len(), "a download longer than its buffer");
        let (source, _) = self.buffers[from.0].device_ptr(&self.stream);
        let memory = self.returned.as_mut().map(PinnedHostSlice::as_mut_slice).transpose();
        let memory = memory.map_err(|error| failure(&self.name, "use pinned memory", error))?;
        let target = &mut memory.unwrap_or_default()[start..end];
        // SAFETY: source and target are ours and long enough, and are not touched before `finish` has waited.
        unsafe { result::memcpy_dtoh_async(target, source, self.stream.cu_stream()) }
            .map_err(|error| failure(&self.name, "copy from the device", error))?;
        self.returned_bytes = end;
        // The last download is the end of the work, whenever `finish` is called.
        self.done.record(&self.stream).map_err(|error| failure(&self.name, "record an event", error))
    }

    pub(super) fn finish(&mut self) -> Result<(&[u8], Timing), DeviceError> {
        self.start()?;
        let failed = |error| failure(&self.name, "finish its work", error);
        self.done.synchronize().map_err(failed)?;
        let at = |event: &CudaEvent| self.epoch.elapsed_ms(event).map(|ms| f64::from(ms) / 1e3).map_err(failed);
        let (begin, copied, done) = (at(&self.begin)?, at(&self.copied)?, at(&self.done)?);
        let timing =
            Timing { copy: Interval { start: begin, end: copied }, compute: Interval { start: copied, end: done } };
        self.begun = false;
        let memory = self.returned.as_ref().map(PinnedHostSlice::as_slice).transpose().map_err(failed)?;
        Ok((&memory.unwrap_or_default()[..self.returned_bytes], timing))
    }

    fn start(&mut self) -> Result<(), DeviceError> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        self.begin
            .record(&self.stream)
            .and_then(|()| self.copied.record(&self.stream))
            .and_then(|()| self.done.record(&self.stream))
            .map_err(|error| failure(&self.name, "record an event", error))
    }

    fn memory_failure(&self, bytes: usize, error: DriverError) -> DeviceError {
        if error.0 != CUresult::CUDA_ERROR_OUT_OF_MEMORY {
            return failure(&self.name, "allocate memory", error);
        }
        let (free, total) = self.context.mem_get_info().unwrap_or_default();
        DeviceError::OutOfMemory { device: self.name.clone(), bytes, free, total }
    }
}

/// Pinned memory of at least `bytes`, with the first `keep` bytes of what was there before.
#[expect(unsafe_code, reason = "pinned memory is handed out unset")]
fn pinned(
    context: &Arc<CudaContext>,
    before: Option<PinnedHostSlice<u8>>,
    bytes: usize,
    keep: usize,
) -> Result<PinnedHostSlice<u8>, DriverError> {
    if let Some(memory) = before.as_ref()
        && memory.len() >= bytes
    {
        return before.ok_or(DriverError(CUresult::CUDA_ERROR_UNKNOWN));
    }
    // SAFETY: every byte is set before it is read: zeros here.
    let mut memory = unsafe { context.alloc_pinned_with_flags::<u8>(bytes.max(8), 0)? };
    let all = memory.as_mut_slice()?;
    all.fill(0);
    if let Some(before) = before {
        all[..keep].copy_from_slice(&before.as_slice()?[..keep]);
    }
    Ok(memory)
}

/// `cuLaunchKernel` with as many blocks of [`BLOCK`] threads.
///
/// # Safety
/// The pointers lead to values of the kernel's parameter types, and pointers among these to enough device memory.
#[expect(unsafe_code, reason = "a launch of a kernel")]
unsafe fn launch_raw(
    function: &CudaFunction,
    blocks: u32,
    stream: &CudaStream,
    pointers: &mut [*mut c_void],
) -> Result<(), DriverError> {
    stream.context().bind_to_thread()?;
    let handle = function.cu_function();
    // SAFETY: the caller's promise.
    unsafe { result::launch_kernel(handle, (blocks, 1, 1), (BLOCK, 1, 1), 0, stream.cu_stream(), pointers) }
}

fn failure(device: &str, doing: &'static str, error: DriverError) -> DeviceError {
    DeviceError::Driver { device: device.to_owned(), doing, why: format!("{:?}", error.0) }
}
