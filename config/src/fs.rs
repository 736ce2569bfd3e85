//! How objects look as files.

use std::path::PathBuf;
use std::time::Duration;

use crate::PrefetchConfig;

/// Everything the fs room needs to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FsConfig {
    /// Owner of every file.
    pub uid: u32,
    /// Group of every file.
    pub gid: u32,
    /// Permission bits of files.
    pub file_mode: u32,
    /// Permission bits of directories.
    pub dir_mode: u32,
    /// How long names, sizes and times are believed before the store is asked again.
    pub metadata_ttl: Duration,
    /// How long it is believed that a name does not exist.
    pub negative_ttl: Duration,
    /// Names remembered at most over all directories.
    pub entries_max: usize,
    /// Time within which every request is answered, whatever the store does.
    pub deadline: Duration,
    /// For the prefetch room, whose plans fs carries out.
    pub prefetch: PrefetchConfig,
    /// Nothing can be changed.
    pub read_only: bool,
    /// Nothing can be deleted or renamed.
    pub no_delete: bool,
    /// No object that exists can be changed.
    pub no_overwrite: bool,
    /// Mode, owner and times are kept in the objects' metadata.
    pub posix: bool,
    /// Directories are marked by an object without a slash at its end and `hdi_isfolder=true` in its metadata.
    pub folder_markers: bool,
    /// The store has directories of its own, which stay when their last file goes and are told apart from
    /// objects.
    pub real_directories: bool,
    /// What is written replaces what somebody else stored meanwhile.
    pub overwrite_on_conflict: bool,
    /// Directory for the bytes of files that are being written; none takes one in the system's for temporary
    /// files.
    pub spool: Option<PathBuf>,
    /// What is mounted, as its journal in the spool names it.
    pub origin: String,
    /// Bytes of all files in the spool at most.
    pub spool_max: u64,
    /// Bytes of the first parts of an upload; a file of one part is one PUT.
    pub part_size: u64,
    /// Bytes on their way to the store at most, over all files.
    pub upload_memory: u64,
}

impl Default for FsConfig {
    fn default() -> Self {
        Self {
            uid: 0,
            gid: 0,
            file_mode: 0o444,
            dir_mode: 0o555,
            metadata_ttl: Duration::from_secs(60),
            negative_ttl: Duration::from_secs(5),
            entries_max: 1_000_000,
            deadline: Duration::from_secs(30),
            prefetch: PrefetchConfig::default(),
            read_only: true,
            no_delete: false,
            no_overwrite: false,
            posix: false,
            folder_markers: false,
            real_directories: false,
            overwrite_on_conflict: false,
            spool: None,
            origin: String::new(),
            spool_max: 64 << 30,
            part_size: 8 << 20,
            upload_memory: 128 << 20,
        }
    }
}
