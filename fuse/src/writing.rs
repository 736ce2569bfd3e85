//! The half of the [`Adapter`] that changes files.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rfuse_fs::{AllocateMode, AttrChange, Entry, Errno, Handle, Inode, LabelMode, Opened, RenameMode, WriteMode};
use rustix::fs::{FallocateFlags, OFlags, RenameFlags, XattrFlags};
use zerocopy::IntoBytes;

use crate::adapter::Adapter;
use crate::kernel::abi::{OpenOut, WriteOut, fopen};
use crate::kernel::{Change, Delivery, Reply, Request, SetAttr};
use crate::words;

/// The type in a mode, and that of a regular file.
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

impl Adapter {
    pub(crate) fn change(&self, request: &Request<'_>, reply: Reply, change: &Change<'_>) {
        let (files, node) = (&self.files, Inode(request.node));
        let read_only = files.is_read_only();
        match *change {
            // The kernel remembers it and asks no more.
            Change::Flush { .. } | Change::Fsync { .. } if read_only => drop(reply.error(Errno::NOSYS)),
            _ if read_only => drop(reply.error(Errno::ROFS)),
            Change::Write { handle, offset, bytes } => {
                let answer = files.write(Handle(handle), offset, bytes);
                self.deferral.settle_change(request, reply, answer, |reply, size| {
                    reply.value(&WriteOut { size, padding: 0 });
                });
            }
            Change::Create { name, flags, mode } => self.create(request, reply, name, flags, mode),
            Change::Mknod { name, mode } if mode & TYPE == REGULAR => self.make_node(request, reply, name, mode),
            Change::Mkdir { name, mode } => {
                self.enter(request, reply, files.mkdir(node, name, mode, (request.uid, request.gid)));
            }
            Change::Symlink { name, target } => {
                self.enter(request, reply, files.symlink(node, name, target, (request.uid, request.gid)));
            }
            // Objects have one name, and are files.
            Change::Link | Change::Mknod { .. } => drop(reply.error(Errno::PERM)),
            Change::Unlink { name } => self.done(request, reply, files.unlink(node, name)),
            Change::Rmdir { name } => self.done(request, reply, files.rmdir(node, name)),
            Change::Rename { name, parent, new_name, flags } => {
                let flags = RenameFlags::from_bits_retain(flags);
                if !RenameFlags::NOREPLACE.contains(flags) {
                    // As rename(2) says for what a file system cannot do.
                    reply.error(Errno::INVAL);
                    return;
                }
                let mode = RenameMode { no_replace: flags.contains(RenameFlags::NOREPLACE) };
                self.done(request, reply, files.rename((node, name), (Inode(parent), new_name), mode));
            }
            Change::Setattr { handle, set } => self.set_attr(request, reply, handle, set),
            Change::Flush { handle } | Change::Fsync { handle } => {
                self.done(request, reply, files.synchronize(Handle(handle)));
            }
            Change::Fallocate { handle, offset, length, mode } => {
                let flags = FallocateFlags::from_bits_retain(mode);
                let keeps_size = flags.contains(FallocateFlags::KEEP_SIZE);
                let mode = match flags - FallocateFlags::KEEP_SIZE {
                    rest if rest.is_empty() => AllocateMode { keeps_size, zeroes: false },
                    FallocateFlags::PUNCH_HOLE if keeps_size => AllocateMode { keeps_size, zeroes: true },
                    FallocateFlags::ZERO_RANGE => AllocateMode { keeps_size, zeroes: true },
                    _ => {
                        reply.error(Errno::OPNOTSUPP);
                        return;
                    }
                };
                self.done(request, reply, files.allocate(Handle(handle), offset, length, mode));
            }
            Change::Setxattr { name, value, flags } => {
                let mode = match XattrFlags::from_bits_retain(flags) {
                    flags if flags.is_empty() => LabelMode::Set,
                    XattrFlags::CREATE => LabelMode::Create,
                    XattrFlags::REPLACE => LabelMode::Replace,
                    _ => {
                        reply.error(Errno::INVAL);
                        return;
                    }
                };
                self.done(request, reply, files.set_label(node, name, value, mode));
            }
            Change::Removexattr { name } => self.done(request, reply, files.remove_label(node, name)),
        }
    }

    pub(crate) fn open_to_write(&self, request: &Request<'_>, reply: Reply, flags: OFlags) {
        let mode = WriteMode { truncate: flags.contains(OFlags::TRUNC), exclusive: false };
        let answer = self.files.open_to_write(Inode(request.node), mode);
        let (files, flags) = (Arc::clone(&self.files), self.flags_of_writer(flags));
        self.deferral.settle_change(request, reply, answer, move |reply, opened| {
            if reply.value(&open_out(opened, flags)) == Delivery::Unwanted {
                files.release(opened.handle);
            }
        });
    }

    /// Who only writes goes around the page cache: taking up fresh pages costs him more than all we do, and what a
    /// job writes need not displace what it reads.
    fn flags_of_writer(&self, flags: OFlags) -> u32 {
        let only_writes = flags & OFlags::ACCMODE == OFlags::WRONLY;
        let is_direct = only_writes && self.has_coherent_direct_io.load(Ordering::Relaxed);
        if is_direct { self.open_flags | fopen::DIRECT_IO } else { self.open_flags }
    }

    fn create(&self, request: &Request<'_>, reply: Reply, name: &[u8], flags: u32, mode: u32) {
        let flags = OFlags::from_bits_retain(flags);
        let how = WriteMode { truncate: flags.contains(OFlags::TRUNC), exclusive: flags.contains(OFlags::EXCL) };
        let owner = (request.uid, request.gid);
        let answer = self.files.create(Inode(request.node), name, mode, owner, how);
        let (files, flags) = (Arc::clone(&self.files), self.flags_of_writer(flags));
        self.deferral.settle_change(request, reply, answer, move |reply, (entry, opened)| {
            let (entry_out, open_out) = (words::entry(&entry), open_out(opened, flags));
            let pieces = [IoSlice::new(entry_out.as_bytes()), IoSlice::new(open_out.as_bytes())];
            if reply.pieces(pieces) == Delivery::Unwanted {
                files.release(opened.handle);
                if let Entry::Found { attr, .. } = entry {
                    files.forget(attr.inode, 1);
                }
            }
        });
    }

    /// An empty file, stored at once because nobody has it open.
    fn make_node(&self, request: &Request<'_>, reply: Reply, name: &[u8], mode: u32) {
        let how = WriteMode { truncate: false, exclusive: true };
        let answer = self.files.make_file(Inode(request.node), name, mode, (request.uid, request.gid), how);
        self.enter(request, reply, answer);
    }

    /// Answers with a name that was made.
    fn enter(&self, request: &Request<'_>, reply: Reply, answer: rfuse_fs::Answer<Entry>) {
        let files = Arc::clone(&self.files);
        self.deferral.settle_change(request, reply, answer, move |reply, entry| {
            let delivery = reply.value(&words::entry(&entry));
            if let (Delivery::Unwanted, Entry::Found { attr, .. }) = (delivery, entry) {
                files.forget(attr.inode, 1);
            }
        });
    }

    fn done(&self, request: &Request<'_>, reply: Reply, answer: rfuse_fs::Answer<()>) {
        self.deferral.settle_change(request, reply, answer, |reply, ()| {
            reply.ok();
        });
    }

    fn set_attr(&self, request: &Request<'_>, reply: Reply, handle: Option<u64>, set: SetAttr) {
        let SetAttr { size, mode, uid, gid, modified, accessed } = set;
        let change = AttrChange { size, mode, uid, gid, modified, accessed };
        let answer = self.files.setattr(Inode(request.node), handle.map(Handle), change);
        self.deferral.settle_change(request, reply, answer, |reply, (attr, ttl)| {
            reply.value(&words::attr_out(&attr, ttl));
        });
    }
}

fn open_out(opened: Opened, flags: u32) -> OpenOut {
    let open_flags = if opened.keep_cache { flags | fopen::KEEP_CACHE } else { flags };
    OpenOut { fh: opened.handle.0, open_flags, backing_id: 0 }
}
