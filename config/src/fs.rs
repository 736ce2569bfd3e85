//! How objects look as files.

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
        }
    }
}
