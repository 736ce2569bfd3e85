//! The words spoken on a mount's control socket.
//!
//! One request a line, one reply a line, both JSON. The socket lies in a directory of mode 0700 and has mode
//! 0600, so whoever can speak is who mounted, or root. Nothing here holds a secret.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The longest line either side accepts, in bytes.
pub const LINE_MAX: usize = 1 << 20;

/// What can be asked of a mount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// The numbers of `rfuse stats`.
    Stats,
    /// Whether the mount serves, and whether the store answers.
    Health,
    /// The numbers as Prometheus reads them.
    Metrics,
    /// The credential's source and expiry.
    Credential,
    /// Read the credential's source again, test it, swap it.
    ReloadCredential,
    /// Follow the access plan in a file, from its beginning.
    LoadPlan {
        /// The file, as the mount's process sees it.
        file: PathBuf,
    },
    /// Follow no plan any more.
    DropPlan,
    /// Record what is read.
    StartTrace {
        /// The file to write; must not exist.
        file: PathBuf,
    },
    /// End the recording.
    StopTrace,
    /// Bring bytes of a file here, behind every reader.
    Warm(FileRange),
    /// Keep bytes of files in the cache folder, from when they come there.
    Pin {
        /// Which; a thousand at most in one request.
        files: Vec<FileRange>,
    },
    /// Keep them no longer than others.
    Unpin {
        /// Their paths below the folder; none: all that this store has pinned.
        paths: Vec<String>,
    },
    /// Forget what is remembered of files, and of names in and below directories.
    Invalidate {
        /// Their paths below the folder; none: everything.
        paths: Vec<String>,
    },
    /// The files that readers waited for most.
    Files {
        /// How many at most.
        most: usize,
    },
    /// Unmount and end.
    Unmount,
}

/// What one file has cost since the kernel came to know it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FileNumbers {
    /// The path below the folder; bytes that are no text are replaced.
    pub path: String,
    /// Descriptors open now.
    pub handles: u64,
    /// Reads that memory did not answer at once.
    pub waited: u64,
    /// Bytes of these.
    pub waited_bytes: u64,
    /// Bytes of it in memory now.
    pub resident_bytes: u64,
}

/// Bytes of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileRange {
    /// The path below the folder, without a leading slash.
    pub path: String,
    /// The first byte.
    pub offset: u64,
    /// How many; what lies behind the end of the file is left out.
    pub length: u64,
}

/// What became of a range that was to be warmed, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WarmNumbers {
    /// Was here already.
    pub present: u64,
    /// Was brought, and is kept.
    pub brought: u64,
    /// Is not kept: readers need the memory, or the cache folder is full or broken.
    pub unkept: u64,
    /// Bytes that memory keeps at most of what was warmed; none: they are on disk.
    pub limit: Option<u64>,
}

/// What a mount answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// To [`Request::Stats`].
    Stats(Box<Statistics>),
    /// To [`Request::Health`].
    Health(Health),
    /// To [`Request::Metrics`].
    Metrics(String),
    /// To [`Request::Credential`] and [`Request::ReloadCredential`].
    Credential(CredentialStatus),
    /// To [`Request::StopTrace`].
    Traced {
        /// Where it is.
        file: PathBuf,
        /// Reads in it.
        reads: u64,
        /// Reads lost because its disk was too slow.
        dropped: u64,
    },
    /// To [`Request::Warm`].
    Warmed(WarmNumbers),
    /// To [`Request::Pin`] and [`Request::Unpin`]: bytes that were pinned or unpinned.
    Pinned {
        /// How many.
        bytes: u64,
    },
    /// To [`Request::Files`].
    Files(Vec<FileNumbers>),
    /// To [`Request::Invalidate`].
    Invalidated {
        /// Files of which something was known.
        files: u64,
        /// Blocks that were remembered.
        blocks: u64,
    },
    /// It is done, or has begun.
    Done,
    /// It cannot be done.
    Failed {
        /// Why.
        why: String,
    },
}

/// Whether a mount is of use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Health {
    /// The store answered a listing just now.
    pub store: bool,
    /// Why it did not.
    pub why: Option<String>,
}

/// What may be known of a credential.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CredentialStatus {
    /// Where it comes from, in words.
    pub source: String,
    /// When it ends, in seconds since 1970.
    pub expires: Option<u64>,
    /// Whether the last reload put a new one in.
    pub swapped: bool,
}

/// Everything `rfuse stats` shows, counted since the mount began unless it says now.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Statistics {
    /// Version of rfuse that serves.
    pub version: String,
    /// The URL, without secrets.
    pub url: String,
    /// The folder.
    pub dir: String,
    /// Whether nothing can be changed through it.
    #[serde(default)]
    pub read_only: bool,
    /// The process that serves.
    pub pid: u32,
    /// Seconds since it was mounted.
    pub uptime_seconds: f64,
    /// The kernel's side.
    pub kernel: KernelNumbers,
    /// What programs read.
    pub reads: ReadNumbers,
    /// What was asked of the store.
    pub store: StoreNumbers,
    /// What is remembered.
    pub cache: CacheNumbers,
    /// What was done ahead of readers.
    #[serde(default)]
    pub ahead: AheadNumbers,
    /// What is written and not stored yet.
    #[serde(default)]
    pub writing: WriteNumbers,
    /// What the reading requests cost a day at the rate since the mount began, in the currency of `request-price`;
    /// none without a price.
    #[serde(default)]
    pub cost_a_day: Option<f64>,
    /// Bytes fetched for each byte delivered; none before the first read.
    pub amplification: Option<f64>,
    /// The credential.
    pub credential: Option<CredentialStatus>,
}

/// Files that are being written, or closed and not stored yet.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WriteNumbers {
    /// How many.
    pub files: u64,
    /// Bytes of them on local disk.
    pub dirty_bytes: u64,
}

/// Requests of the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KernelNumbers {
    /// Answers that were an error, a missing name included.
    pub errors: u64,
    /// Requests that wait for their answer now.
    pub outstanding: u64,
    /// Files and directories open now.
    pub handles: u64,
    /// Names remembered now.
    pub entries: u64,
    /// Objects met so far that no path leads to.
    pub unreachable_objects: u64,
    /// Handles that met an object which changed under them.
    pub stale_handles: u64,
    /// Look-ups of names.
    pub lookups: u64,
    /// Directories opened.
    pub opendirs: u64,
    /// Files opened.
    pub opens: u64,
}

/// Reads of programs, as far as the page cache did not answer them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ReadNumbers {
    /// Reads.
    pub total: u64,
    /// Of these, answered from memory at once.
    pub from_memory: u64,
    /// Bytes handed to readers.
    pub delivered_bytes: u64,
    /// Times of those that had to wait.
    pub waited: Latency,
    /// The same by how long: each bound in seconds, and how many took less than that and not less than the one
    /// before. Bounds are powers of two of a microsecond; those with nothing below them are left out.
    pub waits: Vec<WaitCount>,
}

/// How many reads waited less than a bound.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct WaitCount {
    /// The bound in seconds.
    pub below_seconds: f64,
    /// How many.
    pub count: u64,
}

/// One kind of request and how it ended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RequestCount {
    /// `get`, `head`, `list`, …
    pub op: String,
    /// `ok`, or the kind of failure.
    pub status: String,
    /// How many.
    pub count: u64,
}

/// Time from request to last byte of one operation, in seconds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// `get`, `head`, `list`, …
    pub op: String,
    /// How many were timed.
    pub count: u64,
    /// Half were faster.
    pub p50: f64,
    /// 99 of 100 were faster.
    pub p99: f64,
    /// Sum of all.
    pub sum: f64,
}

/// What was asked of the store.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StoreNumbers {
    /// Requests by operation and outcome.
    pub requests: Vec<RequestCount>,
    /// Bytes of bodies received.
    pub received_bytes: u64,
    /// Requests that failed, each try of a retry counted.
    pub failed: u64,
    /// Requests sent because an earlier try had failed.
    pub retries: u64,
    /// Requests under way now.
    pub in_flight: u64,
    /// Of these, those that no reader waits for.
    pub in_flight_ahead: u64,
    /// Requests under way at most.
    pub in_flight_max: u64,
    /// Times by operation.
    pub latency: Vec<Latency>,
}

impl StoreNumbers {
    /// Requests of `op`, whatever came of them.
    pub fn count(&self, op: &str) -> u64 {
        self.requests.iter().filter(|one| one.op == op).map(|one| one.count).sum()
    }
}

/// What is remembered.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CacheNumbers {
    /// Blocks a read found in memory.
    pub hits: u64,
    /// Blocks a read had to fetch.
    pub misses: u64,
    /// Blocks a read got from somebody else's fetch.
    pub followed: u64,
    /// Bytes fetched from the store.
    pub fetched_bytes: u64,
    /// Bytes of blocks in memory now.
    pub resident_bytes: u64,
    /// Bytes of bookkeeping now.
    pub overhead_bytes: u64,
    /// Bytes at most.
    pub limit_bytes: u64,
    /// Blocks that left to make room.
    pub evictions: u64,
    /// Bytes on their way that nobody waits for yet.
    #[serde(default)]
    pub ahead_bytes: u64,
    /// Bytes of these at most, over all readers.
    #[serde(default)]
    pub ahead_limit_bytes: u64,
    /// Fetches ahead refused for want of budget or memory.
    #[serde(default)]
    pub refused_ahead: u64,
    /// What is remembered on disk; none without a cache folder.
    pub disk: Option<DiskNumbers>,
}

/// What is remembered on disk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DiskNumbers {
    /// Blocks that were not in memory and came from disk.
    pub hits: u64,
    /// Blocks that were not in memory and did not come from disk.
    pub misses: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes pinned, by all who share the folder.
    #[serde(default)]
    pub pinned_bytes: u64,
    /// Bytes of the segments this mount reads.
    pub resident_bytes: u64,
    /// Bytes of the folder at most.
    pub limit_bytes: u64,
    /// Bytes of memory its index takes when the folder is full.
    pub overhead_bytes: u64,
    /// Blocks that left to make room.
    pub evictions: u64,
    /// Blocks not written because what is there is in use.
    pub refused: u64,
    /// Blocks not written because the disk was too slow or failed.
    pub dropped: u64,
    /// Reads and writes that failed.
    pub errors: u64,
    /// Blocks and index files found damaged; none reached a reader.
    pub corrupt: u64,
}

/// A plan that is followed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PlanNumbers {
    /// Reads of the plan.
    pub steps: u64,
    /// Reads up to where the reader is.
    pub position: u64,
    /// Reads up to what has been asked for ahead of him.
    pub planned: u64,
    /// Reads that were not where the plan had them.
    pub strayed: u64,
    /// Bytes asked for ahead of him.
    pub asked_bytes: u64,
    /// Requests given up: no room, no such file, or the store failed.
    pub given_up: u64,
}

/// What was done ahead of readers, in bytes but for the first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AheadNumbers {
    /// Streams recognised.
    pub streams: u64,
    /// Planned to be fetched.
    pub planned: u64,
    /// Planned and then read.
    pub used: u64,
    /// Planned and not read before the stream was over.
    pub wasted: u64,
    /// Asked for because a file's own index named it.
    #[serde(default)]
    pub hinted: u64,
    /// Put into the kernel's page cache before they were asked for.
    pub pushed: u64,
    /// Meant for the page cache and dropped.
    pub push_dropped: u64,
    /// The plan that is followed.
    #[serde(default)]
    pub plan: Option<PlanNumbers>,
}

/// One line of `rfuse list`: what a mount leaves in the run directory for others to find it by.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Registration {
    /// The folder.
    pub dir: String,
    /// The URL, without secrets.
    pub url: String,
    /// The process that serves.
    pub pid: u32,
    /// When it was mounted, in seconds since 1970.
    pub since: u64,
    /// Where its log goes; none for standard error.
    pub log: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_plain_word() {
        assert_eq!(serde_json::to_string(&Request::ReloadCredential).unwrap(), "\"reload-credential\"");
    }

    #[test]
    fn a_reply_is_one_line_whatever_it_holds() {
        let reply = Reply::Failed { why: "a\nb".to_owned() };
        let line = serde_json::to_string(&reply).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Reply>(&line).unwrap(), reply);
    }
}
