//! The yardstick of every path to the kernel: one file, answered from memory on the thread that took the
//! request. What a mount costs above it is ours.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen,
    Request,
};

use crate::pattern;

/// The name of its one file.
pub const NAME: &str = "null";

const FILE: INodeNo = INodeNo(2);
const BELIEVED: Duration = Duration::from_secs(3600);
/// Requests the kernel may have outstanding.
const BACKGROUND: u16 = 512;
/// What to serve and how.
#[derive(Clone, Copy, Debug)]
pub struct NullConfig {
    /// Size of the file in bytes.
    pub size: u64,
    /// Bytes of memory it is answered from, over and over; 1 MiB at least.
    pub memory: usize,
    /// Threads that take requests.
    pub threads: usize,
    /// Bytes the kernel may read ahead; up to 128 KiB, its own default.
    pub read_ahead: u32,
}

/// Serves until it is unmounted.
///
/// # Errors
/// It cannot be mounted there.
pub fn serve(dir: &Path, config: NullConfig) -> io::Result<()> {
    let mut bytes = vec![0; config.memory.max(1 << 20)];
    pattern::fill(pattern::seed_of(NAME, NAME), 0, &mut bytes);
    let null = Null { size: config.size, bytes, read_ahead: config.read_ahead };
    let mut mount = Config::default();
    mount.mount_options = vec![MountOption::RO, MountOption::FSName("rfuse-null".into())];
    mount.n_threads = Some(config.threads);
    mount.clone_fd = config.threads > 1;
    fuser::mount(null, dir, &mount)
}

struct Null {
    size: u64,
    bytes: Vec<u8>,
    read_ahead: u32,
}

impl Null {
    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, size, perm) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0, 0o555),
            FILE => (FileType::RegularFile, self.size, 0o444),
            _ => return None,
        };
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        })
    }
}

impl Filesystem for Null {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Each is a wish: an older kernel has less, and the null file system is then as slow as the mount.
        let _ = config.set_max_background(BACKGROUND);
        let _ = config.set_congestion_threshold(BACKGROUND / 4 * 3);
        let _ = config.set_max_readahead(self.read_ahead);
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO | InitFlags::FUSE_ASYNC_READ);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(FILE).filter(|_| parent == INodeNo::ROOT && name == NAME) {
            Some(attributes) => reply.entry(&BELIEVED, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _request: &Request, inode: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&BELIEVED, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _request: &Request, _inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn readdir(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        // One entry: it always fits.
        let _ = offset == 0 && reply.add(FILE, 1, FileType::RegularFile, NAME);
        reply.ok();
    }

    fn read(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let length = u64::from(size).min(self.size.saturating_sub(offset)) as usize;
        let at = (offset % self.bytes.len() as u64) as usize;
        // A request over the end of the memory is answered from its start: what is measured is the way there.
        let at = if at + length <= self.bytes.len() { at } else { 0 };
        reply.data(&self.bytes[at..at + length]);
    }
}
