//! A file system that costs nothing: `null DIR [WORKERS]` serves one file of 4 GiB from one buffer in memory,
//! through the session and the device loop of this room. What rfuse adds to this is what rfuse costs.
//!
//! It ends when DIR is unmounted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rfuse_fuse::kernel::abi::{self, Dirent, EntryOut, OpenOut, StatfsOut};
use rfuse_fuse::kernel::{MountOptions, Operation, Reply, Request, mount};
use rfuse_fuse::session::{Service, Session, SessionConfig};
use rustix::io::Errno;
use zerocopy::IntoBytes;

const FILE: u64 = 2;
const NAME: &[u8] = b"data";
const SIZE: u64 = 4 << 30;
const TTL: Duration = Duration::from_secs(3600);

/// The content repeats every this many bytes.
const PATTERN: usize = 64 << 20;

struct Null {
    bytes: Vec<u8>,
}

fn attr(node: u64) -> abi::Attr {
    let (mode, size) = if node == FILE { (0o100_444, SIZE) } else { (0o040_555, 0) };
    abi::Attr { ino: node, mode, size, blocks: size / 512, nlink: 1, blksize: 4096, ..abi::Attr::default() }
}

impl Null {
    fn read(&self, reply: Reply, offset: u64, size: u32) {
        let start = usize::try_from(offset % PATTERN as u64).unwrap_or(0);
        let size = size as usize;
        match self.bytes.get(start..start + size) {
            Some(bytes) => reply.bytes(bytes),
            None => reply.bytes(&self.bytes[..size]),
        };
    }
}

impl Service for Null {
    fn answer(&self, request: &Request<'_>, reply: Reply) {
        let node = request.node;
        let _ = match request.operation {
            Operation::Read { offset, size, .. } => return self.read(reply, offset, size),
            Operation::Lookup { name: NAME } => reply.value(&EntryOut {
                nodeid: FILE,
                entry_valid: TTL.as_secs(),
                attr_valid: TTL.as_secs(),
                attr: attr(FILE),
                ..EntryOut::default()
            }),
            Operation::Lookup { .. } => reply.error(Errno::NOENT),
            Operation::Getattr { .. } => {
                reply.value(&abi::AttrOut { attr_valid: TTL.as_secs(), attr: attr(node), ..abi::AttrOut::default() })
            }
            Operation::Open { .. } => {
                reply.value(&OpenOut { open_flags: abi::fopen::KEEP_CACHE, ..OpenOut::default() })
            }
            Operation::Opendir => reply.value(&OpenOut::default()),
            Operation::Readdir { offset: 0, plus, .. } => {
                let head = Dirent { ino: FILE, off: 1, namelen: 4, kind: 8 };
                // Inode 0: a listing with attributes that enters nothing into the kernel's tables.
                let nothing = EntryOut::default();
                let before = if plus { nothing.as_bytes() } else { &[] };
                reply.bytes(&[before, head.as_bytes(), NAME, &[0; 4]].concat())
            }
            Operation::Readdir { .. } | Operation::Release { .. } | Operation::Releasedir { .. } => reply.ok(),
            Operation::Statfs => reply.value(&StatfsOut { bsize: 4096, namelen: 255, ..StatfsOut::default() }),
            _ => reply.error(Errno::NOSYS),
        };
    }

    fn forget(&self, _node: u64, _lookups: u64) {}

    fn interrupt(&self, _unique: u64) {}
}

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let target = words.next().ok_or_else(|| anyhow::anyhow!("usage: null DIR [WORKERS]"))?;
    let mut config = SessionConfig::default();
    if let Some(workers) = words.next() {
        config.workers = workers.parse()?;
    }
    let options = MountOptions { source: "null".into(), ..MountOptions::default() };
    let (device, _mount) = mount(Path::new(&target), &options)?;
    let bytes = (0..PATTERN).map(|index| (index >> 12) as u8 ^ index as u8).collect();
    Session::start(device, &Arc::new(Null { bytes }), &config)?.wait();
    Ok(())
}
