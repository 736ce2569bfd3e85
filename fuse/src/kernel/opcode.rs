//! What the kernel asks for, by number, and the answer to what is not done here.

use rustix::io::Errno;

macro_rules! opcodes {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// The number of an operation in `linux/fuse.h`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the names are those of linux/fuse.h")]
        pub enum Opcode { $($name = $number),* }

        impl Opcode {
            /// Every operation known here.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The operation with this number, if it is known.
            pub fn new(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// Its name in lower case, for logs and metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

opcodes! {
    Lookup = 1, "lookup"; Forget = 2, "forget"; Getattr = 3, "getattr"; Setattr = 4, "setattr";
    Readlink = 5, "readlink"; Symlink = 6, "symlink"; Mknod = 8, "mknod"; Mkdir = 9, "mkdir";
    Unlink = 10, "unlink"; Rmdir = 11, "rmdir"; Rename = 12, "rename"; Link = 13, "link"; Open = 14, "open";
    Read = 15, "read"; Write = 16, "write"; Statfs = 17, "statfs"; Release = 18, "release"; Fsync = 20, "fsync";
    Setxattr = 21, "setxattr"; Getxattr = 22, "getxattr"; Listxattr = 23, "listxattr";
    Removexattr = 24, "removexattr"; Flush = 25, "flush"; Init = 26, "init"; Opendir = 27, "opendir";
    Readdir = 28, "readdir"; Releasedir = 29, "releasedir"; Fsyncdir = 30, "fsyncdir"; Getlk = 31, "getlk";
    Setlk = 32, "setlk"; Setlkw = 33, "setlkw"; Access = 34, "access"; Create = 35, "create";
    Interrupt = 36, "interrupt"; Bmap = 37, "bmap"; Destroy = 38, "destroy"; Ioctl = 39, "ioctl"; Poll = 40, "poll";
    NotifyReply = 41, "notify_reply"; BatchForget = 42, "batch_forget"; Fallocate = 43, "fallocate";
    Readdirplus = 44, "readdirplus"; Rename2 = 45, "rename2"; Lseek = 46, "lseek";
    CopyFileRange = 47, "copy_file_range"; Setupmapping = 48, "setupmapping"; Removemapping = 49, "removemapping";
    Syncfs = 50, "syncfs"; Tmpfile = 51, "tmpfile"; Statx = 52, "statx";
}

impl Opcode {
    /// The answer to an operation that is not done here.
    ///
    /// ENOSYS is a promise the kernel remembers: POLL and FSYNCDIR then succeed without asking, LSEEK, STATX,
    /// COPY_FILE_RANGE and locks are done by the kernel itself.
    pub fn refusal(self) -> Errno {
        match self {
            Self::Ioctl => Errno::NOTTY,
            // A file without a name: programs make one with a name then.
            Self::Tmpfile => Errno::OPNOTSUPP,
            _ => Errno::NOSYS,
        }
    }

    /// Whether it asks for a change, or ends one.
    pub(super) fn changes(self) -> bool {
        matches!(
            self,
            Self::Setattr
                | Self::Symlink
                | Self::Mknod
                | Self::Mkdir
                | Self::Unlink
                | Self::Rmdir
                | Self::Rename
                | Self::Rename2
                | Self::Link
                | Self::Write
                | Self::Setxattr
                | Self::Removexattr
                | Self::Create
                | Self::Fallocate
                | Self::Flush
                | Self::Fsync
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_finds_its_operation() {
        for &opcode in Opcode::ALL {
            assert_eq!(Opcode::new(opcode as u32), Some(opcode));
        }
        assert_eq!(Opcode::new(7), None);
        assert_eq!(Opcode::new(4096), None);
    }

    #[test]
    fn what_is_not_done_has_its_own_answer() {
        assert_eq!(Opcode::Ioctl.refusal(), Errno::NOTTY);
        assert_eq!(Opcode::Fsyncdir.refusal(), Errno::NOSYS);
        assert!(Opcode::Write.changes() && !Opcode::Read.changes());
    }
}
