//! The kernel's questions put to the file system, and its answers in the kernel's words.
//!
//! Nothing is decided here but what only FUSE has: flags of open files, sizes of buffers, and who gives back a
//! reference when the kernel did not take it.

use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rfuse_fs::{Answer, DirEntry, Entry, Errno, FileSystem, Handle, Inode, Opened, Via};
use rfuse_store::Histogram;
use rustix::fs::OFlags;
use tokio::runtime;

use crate::deferral::Deferral;
use crate::kernel::abi::{GetxattrOut, OpenOut, fopen, init};
use crate::kernel::{Delivery, Operation, Reply, Request};
use crate::listing::{Listing, is_counted};
use crate::session::{Agreement, Service};
use crate::trace::Tracing;
use crate::words;

/// What only the door decides about files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdapterConfig {
    /// Time within which every request is answered, whatever the store does.
    pub deadline: Duration,
    /// No page cache: every read of a program becomes a request.
    pub direct_io: bool,
    /// Whether blocks may come from a local disk.
    pub has_disk: bool,
}

/// A file system as the kernel sees it.
pub struct Adapter {
    pub(crate) files: Arc<FileSystem>,
    pub(crate) deferral: Deferral,
    pub(crate) open_flags: u32,
    /// Whether the kernel drops pages that are written around, as it does since Linux 6.6.
    pub(crate) has_coherent_direct_io: AtomicBool,
    waits: Arc<Histogram>,
    tracing: Arc<Tracing>,
}

impl Adapter {
    /// `files` as the kernel sees them; what has to wait waits on `runtime`.
    pub fn new(files: Arc<FileSystem>, config: &AdapterConfig, runtime: runtime::Handle) -> Arc<Self> {
        let open_flags = if config.direct_io { fopen::DIRECT_IO } else { 0 };
        Arc::new(Self {
            files,
            deferral: Deferral::new(runtime, config.deadline, config.has_disk),
            open_flags,
            has_coherent_direct_io: AtomicBool::new(false),
            waits: Arc::default(),
            tracing: Arc::default(),
        })
    }

    /// Takes in what was agreed with the kernel.
    pub fn agree(&self, agreement: &Agreement) {
        let is_coherent = agreement.flags & init::DIRECT_IO_ALLOW_MMAP != 0;
        self.has_coherent_direct_io.store(is_coherent, Ordering::Relaxed);
    }

    /// What records the reads.
    pub fn tracing(&self) -> Arc<Tracing> {
        Arc::clone(&self.tracing)
    }

    /// How long reads waited that memory did not answer at once; those are not timed, to cost nothing.
    pub fn waits(&self) -> Arc<Histogram> {
        Arc::clone(&self.waits)
    }

    fn lookup(&self, request: &Request<'_>, reply: Reply, name: &[u8]) {
        let files = Arc::clone(&self.files);
        self.deferral.settle(request, reply, self.files.lookup(Inode(request.node), name), move |reply, entry| {
            let delivery = reply.value(&words::entry(&entry));
            if let (Delivery::Unwanted, Entry::Found { attr, .. }) = (delivery, entry) {
                files.forget(attr.inode, 1);
            }
        });
    }

    fn getattr(&self, request: &Request<'_>, reply: Reply, handle: Option<u64>) {
        let answer = self.files.getattr(Inode(request.node), handle.map(Handle));
        self.deferral.settle(request, reply, answer, |reply, (attr, ttl)| {
            reply.value(&words::attr_out(&attr, ttl));
        });
    }

    fn open(&self, request: &Request<'_>, reply: Reply, flags: u32) {
        let flags = OFlags::from_bits_retain(flags);
        if flags & OFlags::ACCMODE != OFlags::RDONLY || flags.contains(OFlags::TRUNC) {
            self.open_to_write(request, reply, flags);
            return;
        }
        let (files, open_flags) = (Arc::clone(&self.files), self.open_flags);
        let is_direct = open_flags & fopen::DIRECT_IO != 0 || flags.contains(OFlags::DIRECT);
        let via = if is_direct { Via::Direct } else { Via::Pages };
        self.deferral.settle(request, reply, self.files.open(Inode(request.node), via), move |reply, opened| {
            let Opened { handle, keep_cache } = opened;
            let open_flags = if keep_cache { open_flags | fopen::KEEP_CACHE } else { open_flags };
            if reply.value(&OpenOut { fh: handle.0, open_flags, backing_id: 0 }) == Delivery::Unwanted {
                files.release(handle);
            }
        });
    }

    fn read(&self, request: &Request<'_>, reply: Reply, handle: u64, offset: u64, size: u32) {
        if self.tracing.is_on()
            && let Some((key, range)) = self.files.reading(Handle(handle), offset, size)
        {
            self.tracing.note(key, range, request.pid);
        }
        let answer = self.files.read(Handle(handle), offset, size);
        // Ends with the answer, whatever that is.
        let wait = matches!(answer, Answer::Pending(_)).then(|| Wait::begin(&self.waits));
        self.deferral.settle(request, reply, answer, move |reply, slices| {
            reply.pieces(slices.io_slices());
            drop(wait);
        });
    }

    fn opendir(&self, request: &Request<'_>, reply: Reply) {
        let files = Arc::clone(&self.files);
        self.deferral.settle(request, reply, self.files.opendir(Inode(request.node)), move |reply, handle| {
            // Not FOPEN_CACHE_DIR: the kernel would keep names for as long as the directory's time stands
            // still, which that of an implied directory always does.
            if reply.value(&OpenOut { fh: handle.0, open_flags: 0, backing_id: 0 }) == Delivery::Unwanted {
                files.releasedir(handle);
            }
        });
    }

    fn readdir(&self, request: &Request<'_>, reply: Reply, handle: u64, offset: u64, room: (u32, bool)) {
        let (size, plus) = room;
        let handle = Handle(handle);
        let answer = self.files.readdir(handle, offset, Listing::entries_max(size, plus));
        let files = Arc::clone(&self.files);
        self.deferral.settle(request, reply, answer, move |reply, entries| {
            let mut listing = Listing::new(size, plus);
            if plus {
                list_plus(&files, handle, entries, reply, &mut listing);
            } else {
                let _ = entries.iter().try_for_each(|entry| listing.push(entry));
                reply.bytes(listing.as_bytes());
            }
        });
    }

    fn getxattr(&self, request: &Request<'_>, reply: Reply, name: &[u8], size: u32) {
        let answer = self.files.getxattr(Inode(request.node), name);
        self.deferral.settle(request, reply, answer, move |reply, value| sized(reply, &value, size));
    }

    fn listxattr(&self, request: &Request<'_>, reply: Reply, size: u32) {
        let answer = self.files.listxattr(Inode(request.node));
        self.deferral.settle(request, reply, answer, move |reply, names| {
            let list: Vec<u8> = names.iter().flat_map(|name| name.iter().copied().chain([0])).collect();
            sized(reply, &list, size);
        });
    }

    fn access(&self, request: &Request<'_>, reply: Reply, mask: u32) {
        match self.files.access(Inode(request.node), request.uid, request.gid, mask) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error.errno()),
        };
    }
}

/// A read that waits; timed until it is dropped.
struct Wait {
    times: Arc<Histogram>,
    since: Instant,
}

impl Wait {
    fn begin(times: &Arc<Histogram>) -> Self {
        Self { times: Arc::clone(times), since: Instant::now() }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.times.add(self.since.elapsed());
    }
}

impl Service for Adapter {
    fn answer(&self, request: &Request<'_>, reply: Reply) {
        match request.operation {
            Operation::Read { handle, offset, size } => self.read(request, reply, handle, offset, size),
            Operation::Lookup { name } => self.lookup(request, reply, name),
            Operation::Getattr { handle } => self.getattr(request, reply, handle),
            Operation::Open { flags } => self.open(request, reply, flags),
            Operation::Opendir => self.opendir(request, reply),
            Operation::Readdir { handle, offset, size, plus } => {
                self.readdir(request, reply, handle, offset, (size, plus));
            }
            Operation::Readlink => {
                let answer = self.files.readlink(Inode(request.node));
                self.deferral.settle(request, reply, answer, |reply, target| {
                    reply.bytes(&target);
                });
            }
            Operation::Getxattr { name, size } => self.getxattr(request, reply, name, size),
            Operation::Listxattr { size } => self.listxattr(request, reply, size),
            Operation::Change(ref change) => self.change(request, reply, change),
            Operation::Access { mask } => self.access(request, reply, mask),
            Operation::Statfs => drop(reply.value(&words::statfs(&self.files.statfs()))),
            Operation::Release { handle } => {
                self.files.release(Handle(handle));
                reply.ok();
            }
            Operation::Releasedir { handle } => {
                self.files.releasedir(Handle(handle));
                reply.ok();
            }
            _ => drop(reply.error(Errno::NOSYS)),
        }
    }

    fn forget(&self, node: u64, lookups: u64) {
        self.files.forget(Inode(node), lookups);
    }

    fn interrupt(&self, unique: u64) {
        self.deferral.interrupt(unique);
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").field("deferral", &self.deferral).finish_non_exhaustive()
    }
}

/// Sends a listing that counts a reference for each entry. They are counted before the kernel can give the
/// first one back.
fn list_plus(files: &FileSystem, handle: Handle, entries: Vec<DirEntry>, reply: Reply, listing: &mut Listing) {
    let mut counted = Vec::with_capacity(entries.len());
    for mut entry in entries {
        if !listing.fits(&entry) {
            break;
        }
        if is_counted(&entry) {
            entry.attr.inode = files.remember(handle, &entry);
            counted.push(entry.attr.inode);
        }
        let _ = listing.push(&entry);
    }
    if reply.bytes(listing.as_bytes()) == Delivery::Unwanted {
        counted.into_iter().for_each(|inode| files.forget(inode, 1));
    }
}

/// Sends a value into a buffer of `size` bytes; into none, how large it must be.
fn sized(reply: Reply, value: &[u8], size: u32) {
    let needed = u32::try_from(value.len()).unwrap_or(u32::MAX);
    match size {
        0 => reply.value(&GetxattrOut { size: needed, padding: 0 }),
        size if size < needed => reply.error(Errno::RANGE),
        _ => reply.pieces([IoSlice::new(value)]),
    };
}
