//! A mount of its own for each test, gone with it whatever happens.

use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rfuse_cache::BlockCache;
use rfuse_config::{CacheConfig, FsConfig};
use rfuse_fs::{FileSystem, PageCache};
use rfuse_fuse::adapter::{Adapter, AdapterConfig};
use rfuse_fuse::counters::Counters;
use rfuse_fuse::kernel::{Mount, MountOptions, Opcode, Unmount, UnmountError, Way, mount, unmount};
use rfuse_fuse::prefill::Prefill;
use rfuse_fuse::session::{Session, SessionConfig};
use rfuse_store::{MemoryStore, Store};
use tempfile::TempDir;

use crate::gated::{Gate, Gated};

/// Longer than anything here takes, shorter than a CI job.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Whether a real mount can be made; says so if not.
pub(crate) fn can_mount() -> bool {
    let can = rustix::process::geteuid().is_root() && PathBuf::from("/dev/fuse").exists();
    if !can {
        eprintln!("SKIPPED: needs root and /dev/fuse");
    }
    can
}

#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) deadline: Duration,
    pub(crate) direct_io: bool,
    pub(crate) way: Way,
    pub(crate) metadata_ttl: Duration,
    pub(crate) negative_ttl: Duration,
    /// Read-only mounts have no spool.
    pub(crate) writable: bool,
    pub(crate) part_size: u64,
    pub(crate) spool_max: u64,
    /// What else is set.
    pub(crate) tune: fn(&mut FsConfig),
}

impl Setup {
    /// A mount that can be written, whose parts are small, so that small files have many.
    pub(crate) fn writable() -> Self {
        Self { writable: true, part_size: 64 << 10, ..Self::default() }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            deadline: LONG * 3,
            direct_io: false,
            way: Way::Auto,
            metadata_ttl: Duration::from_secs(60),
            negative_ttl: FsConfig::default().negative_ttl,
            writable: false,
            part_size: 8 << 20,
            spool_max: 1 << 30,
            tune: |_| {},
        }
    }
}

/// Something mounted.
pub(crate) struct Mounted {
    pub(crate) memory: Arc<MemoryStore>,
    pub(crate) gate: Arc<Gated>,
    pub(crate) mount: Mount,
    pub(crate) counters: Counters,
    pub(crate) prefill: Arc<Prefill>,
    pub(crate) spool: TempDir,
    session: Option<Session>,
    /// Not below the mount point, which may hang.
    _dir: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Mounted {
    /// The objects of `memory`.
    pub(crate) fn new(memory: MemoryStore, setup: &Setup) -> Option<Self> {
        let memory = Arc::new(memory);
        let gate = Gate::before(Arc::clone(&memory));
        let store = Arc::clone(&gate) as Arc<dyn Store>;
        Self::over(store, memory, gate, setup)
    }

    /// The objects of `store`.
    pub(crate) fn of(store: Arc<dyn Store>) -> Option<Self> {
        let memory = Arc::new(MemoryStore::new());
        let gate = Gate::before(Arc::clone(&memory));
        Self::over(store, memory, gate, &Setup::default())
    }

    fn over(store: Arc<dyn Store>, memory: Arc<MemoryStore>, gate: Arc<Gated>, setup: &Setup) -> Option<Self> {
        if !can_mount() {
            return None;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let cache = BlockCache::new(Arc::clone(&store), &CacheConfig::default());
        let spool = tempfile::tempdir().unwrap();
        let (file_mode, dir_mode) = if setup.writable { (0o644, 0o755) } else { (0o444, 0o555) };
        let mut config = FsConfig {
            metadata_ttl: setup.metadata_ttl,
            negative_ttl: setup.negative_ttl,
            read_only: !setup.writable,
            posix: true,
            file_mode,
            dir_mode,
            spool: Some(spool.path().join("spool")),
            part_size: setup.part_size,
            spool_max: setup.spool_max,
            upload_memory: 8 * setup.part_size,
            ..FsConfig::default()
        };
        (setup.tune)(&mut config);
        let files = FileSystem::new(store, cache, &config, runtime.handle().clone());
        let config = AdapterConfig { deadline: setup.deadline, direct_io: setup.direct_io, has_disk: false };
        let adapter = Adapter::new(Arc::clone(&files), &config, runtime.handle().clone());
        let dir = tempfile::tempdir().unwrap();
        let options = MountOptions {
            source: "test:it, all".into(),
            way: setup.way,
            read_only: !setup.writable,
            ..MountOptions::default()
        };
        let (device, mount) = mount(dir.path(), &options).unwrap();
        let session = Session::start(device, &adapter, &SessionConfig::default()).unwrap();
        adapter.agree(&session.agreement());
        let prefill = Prefill::start(session.notifier(), adapter.tracing()).unwrap();
        files.fill_pages(Arc::clone(&prefill) as Arc<dyn PageCache>);
        let counters = session.counters();
        Some(Self {
            spool,
            prefill,
            memory,
            gate,
            mount,
            counters,
            session: Some(session),
            _dir: dir,
            _runtime: runtime,
        })
    }

    /// The path of `name` in the mount.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.mount.target.join(name)
    }

    /// READ requests so far.
    pub(crate) fn reads(&self) -> u64 {
        self.counters.requests(Opcode::Read)
    }

    /// Waits until the session has ended by itself.
    pub(crate) fn join(mut self) {
        self.session.take().unwrap().wait();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Readers that a failed test left behind must not hold the test up.
        match (unmount(&self.mount.target, Unmount::Force), self.session.take()) {
            (Ok(()) | Err(UnmountError::NotMounted), Some(session)) => session.wait(),
            (Ok(()) | Err(UnmountError::NotMounted), None) => {}
            (Err(error), _) => eprintln!("left mounted: {:?}: {error}", self.mount.target),
        }
    }
}

/// Waits until `holds`, and fails when it does not for long.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for the end of `child`, and fails when it does not come.
#[track_caller]
pub(crate) fn ended(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until("the process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}
