//! The yardstick of every path to the kernel: one file, answered from memory or from another file on the thread
//! that took the request. What a mount costs above it is ours.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
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
#[derive(Clone, Debug)]
pub struct NullConfig {
    /// Size of the file in bytes.
    pub size: u64,
    /// Bytes of memory it is answered from, over and over; 1 MiB at least.
    pub memory: usize,
    /// Threads that take requests.
    pub threads: usize,
    /// Bytes the kernel may read ahead; up to 128 KiB, its own default.
    pub read_ahead: u32,
    /// A file to read instead of the memory, past the page cache; its size is the size.
    pub file: Option<PathBuf>,
}

/// Serves until it is unmounted.
///
/// # Errors
/// It cannot be mounted there.
pub fn serve(dir: &Path, config: &NullConfig) -> io::Result<()> {
    let (size, content) = match &config.file {
        Some(path) => {
            let direct = rustix::fs::OFlags::DIRECT.bits().cast_signed();
            let file = OpenOptions::new().read(true).custom_flags(direct).open(path)?;
            (file.metadata()?.len(), Content::File(file))
        }
        None => {
            let mut bytes = vec![0; config.memory.max(1 << 20)];
            pattern::fill(pattern::seed_of(NAME, NAME), 0, &mut bytes);
            (config.size, Content::Memory(bytes))
        }
    };
    let null = Null { size, content, read_ahead: config.read_ahead };
    let mut mount = Config::default();
    mount.mount_options = vec![MountOption::RO, MountOption::FSName("rfuse-null".into())];
    mount.n_threads = Some(config.threads);
    mount.clone_fd = config.threads > 1;
    fuser::mount(null, dir, &mount)
}

struct Null {
    size: u64,
    content: Content,
    read_ahead: u32,
}

enum Content {
    Memory(Vec<u8>),
    File(File),
}

/// What direct reads are aligned to.
const PAGE: usize = 4096;

thread_local! {
    /// Where a thread reads the file to; aligned somewhere inside.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Answers with `length` bytes of `file` at `offset`, both whole pages.
fn answer_from(file: &File, offset: u64, length: usize, reply: ReplyData) {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(buffer.len().max(length + PAGE), 0);
        let start = buffer.as_ptr().align_offset(PAGE);
        let buffer = &mut buffer[start..][..length];
        match file.read_exact_at(buffer, offset) {
            Ok(()) => reply.data(buffer),
            Err(_) => reply.error(Errno::EIO),
        }
    });
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
        let bytes = match &self.content {
            Content::File(file) => return answer_from(file, offset, length, reply),
            Content::Memory(bytes) => bytes,
        };
        let at = (offset % bytes.len() as u64) as usize;
        // A request over the end of the memory is answered from its start: what is measured is the way there.
        let at = if at + length <= bytes.len() { at } else { 0 };
        reply.data(&bytes[at..at + length]);
    }
}
