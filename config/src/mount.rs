//! One mount, in full: what all layers together say.

use std::path::PathBuf;
use std::time::Duration;

use crate::{CacheConfig, FsConfig, StoreConfig};

/// How the kernel is served.
#[derive(Clone, PartialEq, Debug)]
pub struct MountOptions {
    /// Whether other users may read the mount; permissions are checked by the kernel then.
    pub allow_other: bool,
    /// Whether nothing can be changed.
    pub read_only: bool,
    /// Time for what is not stored yet once the mount has ended.
    pub drain_timeout: Duration,
    /// Whether programs on the mount may run.
    pub allow_exec: bool,
    /// Whether a directory that is not empty may be mounted on.
    pub nonempty: bool,
    /// Read-ahead of the kernel in bytes.
    pub read_ahead: u64,
    /// Whether every read of a program becomes a request, without the page cache.
    pub direct_io: bool,
    /// The access plan to follow from the start.
    pub plan: Option<PathBuf>,
    /// What a million reading requests cost, in any currency.
    pub request_price: Option<f64>,
    /// Threads that answer the kernel; none takes one a CPU.
    pub threads: Option<usize>,
    /// Requests the kernel may have waiting at once.
    pub max_background: u16,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            allow_other: false,
            read_only: true,
            drain_timeout: Duration::from_secs(60),
            allow_exec: true,
            nonempty: false,
            read_ahead: 4096,
            plan: None,
            direct_io: false,
            request_price: None,
            threads: None,
            max_background: 512,
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// Text; with `<N>` levels where systemd reads it.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is written down, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
    /// Where to, if not to standard error or the run directory.
    pub file: Option<PathBuf>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Auto, file: None }
    }
}

/// Everything one mount needs to know, a struct a room.
#[derive(Clone, PartialEq, Debug)]
pub struct MountConfig {
    /// For the store room.
    pub store: StoreConfig,
    /// For the cache room.
    pub cache: CacheConfig,
    /// For the fs room.
    pub fs: FsConfig,
    /// For the kernel's door.
    pub mount: MountOptions,
    /// For the log.
    pub log: LogOptions,
}
