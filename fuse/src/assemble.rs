//! Store, cache and file system become a mount: the only file that names them together.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rfuse_block::ObjectKey;
use rfuse_cache::BlockCache;
use rfuse_config::{MountConfig, StoreConfig};
use rfuse_fs::{FileSystem, PageCache};
use rfuse_fuse::adapter::{Adapter, AdapterConfig};
use rfuse_fuse::counters::Counters;
use rfuse_fuse::kernel::{self, Device, Mount, MountError, Notifier};
use rfuse_fuse::prefill::Prefill;
use rfuse_fuse::session::{Agreement, Session, SessionConfig, SessionError};
use rfuse_fuse::trace::Tracing;
use rfuse_store::{CredentialControl, Histogram, ListRequest, Opened, StoreError, Urgency};
use tokio::runtime::{Builder, Runtime};

use crate::{planning, unfinished};

/// Why there is no mount.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssembleError {
    /// The store cannot be opened or does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel does not let us mount.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The kernel does not talk to us.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The plan cannot be followed.
    #[error(transparent)]
    Plan(#[from] planning::LoadError),
    /// This machine has no room.
    #[error("cannot {0}: {1}")]
    Io(&'static str, #[source] io::Error),
}

/// What the control socket asks its answers from.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) opened: Arc<Opened>,
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) files: Arc<FileSystem>,
    pub(crate) prefill: Arc<Prefill>,
    pub(crate) tracing: Arc<Tracing>,
    /// The way to the kernel's caches.
    pub(crate) notifier: Notifier,
    pub(crate) counters: Counters,
    /// How long reads waited that memory did not answer.
    pub(crate) waits: Arc<Histogram>,
    pub(crate) config: Arc<MountConfig>,
    pub(crate) mount: Mount,
    pub(crate) since: Instant,
}

/// A mount that is being served.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub(crate) parts: Parts,
    pub(crate) session: Session,
}

/// The threads for everything that waits: one a processor. With one for two, a miss costs less processor time
/// (measured on two processors: 1.8 to 2.1 times the yardstick's), but 256 reads outstanding get a tenth to a
/// third fewer done and files of 100 KiB a tenth.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn runtime() -> Result<Runtime, AssembleError> {
    Builder::new_multi_thread()
        .enable_all()
        .thread_name("rfuse-io")
        .build()
        .map_err(|error| AssembleError::Io("start threads", error))
}

/// Opens the store and asks it for one name, so that a wrong credential or container shows before a mount does.
///
/// # Errors
/// What the store said.
pub(crate) async fn open_store(config: &StoreConfig) -> Result<Opened, StoreError> {
    let opened = rfuse_store::open(config).await?;
    look(&opened).await?;
    Ok(opened)
}

/// The handle on the credential in use; none where none is needed.
pub(crate) fn credential_control(opened: &Opened) -> Option<&dyn CredentialControl> {
    opened.credential.as_deref()
}

/// One small listing; how long it took.
///
/// # Errors
/// What the store said.
pub(crate) async fn look(opened: &Opened) -> Result<Duration, StoreError> {
    let begun = Instant::now();
    let everything = ObjectKey::from("");
    let request =
        ListRequest { prefix: &everything, delimited: true, token: None, limit: Some(1), urgency: Urgency::Demand };
    opened.store.list(request).await?;
    Ok(begun.elapsed())
}

/// Mounts what `config` names on `dir` and begins to serve it.
///
/// # Errors
/// See [`AssembleError`]; nothing stays mounted then.
pub(crate) fn assemble(config: MountConfig, dir: &Path, runtime: &Runtime) -> Result<Assembled, AssembleError> {
    let opened = runtime.block_on(open_store(&config.store))?;
    let rooms = rooms(opened, &config, runtime)?;
    let (device, mount) = kernel::mount(dir, &mount_options(&config))?;
    let session = Session::start(device, &rooms.adapter, &session_config(&config)).inspect_err(|_| {
        let _ = kernel::unmount(&mount.target, kernel::Unmount::Lazy);
    })?;
    raise_read_ahead(&config, &mount);
    rooms.with(session, config, mount)
}

/// Time for files that a process before this one left unfinished, while whoever mounts waits.
const BEFORE_THE_FIRST: Duration = Duration::from_secs(20);

/// A mount that somebody else made, by its descriptors.
pub(crate) struct Handed {
    pub(crate) mounted: Device,
    /// One for each further worker.
    pub(crate) others: Vec<Device>,
    pub(crate) resumed: Option<Agreement>,
    /// Where it is mounted, for people; this process need not see it.
    pub(crate) dir: PathBuf,
}

/// Begins to serve what `config` names on descriptors that were handed over.
///
/// # Errors
/// See [`AssembleError`].
pub(crate) fn adopt(config: MountConfig, handed: Handed, runtime: &Runtime) -> Result<Assembled, AssembleError> {
    // Programs wait already when a mount is resumed: they get the store's refusal, not a wait without end.
    let opened = match handed.resumed {
        Some(_) => runtime.block_on(rfuse_store::open(&config.store))?,
        None => runtime.block_on(open_store(&config.store))?,
    };
    let rooms = rooms(opened, &config, runtime)?;
    let Handed { mounted, others, resumed, dir } = handed;
    if resumed.is_some() {
        rooms.files.follow_another_process();
    } else {
        unfinished::store(runtime, &rooms.files, &config, BEFORE_THE_FIRST);
    }
    let session = Session::adopt(mounted, others, resumed, &rooms.adapter, &session_config(&config))?;
    rooms.with(session, config, Mount { target: dir, entry: None })
}

/// The house without its door.
struct Rooms {
    opened: Opened,
    cache: Arc<BlockCache>,
    files: Arc<FileSystem>,
    adapter: Arc<Adapter>,
}

/// The file system of `config`, without a mount.
///
/// # Errors
/// What the store said.
pub(crate) fn files(config: &MountConfig, runtime: &Runtime) -> Result<Arc<FileSystem>, AssembleError> {
    let opened = runtime.block_on(open_store(&config.store))?;
    Ok(rooms(opened, config, runtime)?.files)
}

fn rooms(opened: Opened, config: &MountConfig, runtime: &Runtime) -> Result<Rooms, AssembleError> {
    let cache = BlockCache::new(Arc::clone(&opened.store), &config.cache);
    let files = FileSystem::new(Arc::clone(&opened.store), Arc::clone(&cache), &config.fs, runtime.handle().clone());
    let door = AdapterConfig {
        deadline: config.fs.deadline,
        direct_io: config.mount.direct_io,
        has_disk: config.cache.disk.is_some(),
    };
    let adapter = Adapter::new(Arc::clone(&files), &door, runtime.handle().clone());
    // Before anything is mounted: a plan that cannot be read is no reason for a mount without one.
    if let Some(file) = &config.mount.plan {
        planning::follow(&files, config, file)?;
    }
    Ok(Rooms { opened, cache, files, adapter })
}

impl Rooms {
    fn with(self, session: Session, config: MountConfig, mount: Mount) -> Result<Assembled, AssembleError> {
        self.adapter.agree(&session.agreement());
        let tracing = self.adapter.tracing();
        let notifier = session.notifier();
        let prefill = Prefill::start(notifier.clone(), Arc::clone(&tracing))
            .map_err(|error| AssembleError::Io("start a thread", error))?;
        self.files.fill_pages(Arc::clone(&prefill) as Arc<dyn PageCache>);
        let parts = Parts {
            opened: Arc::new(self.opened),
            cache: self.cache,
            files: self.files,
            prefill,
            tracing,
            notifier,
            counters: session.counters(),
            waits: self.adapter.waits(),
            config: Arc::new(config),
            mount,
            since: Instant::now(),
        };
        Ok(Assembled { parts, session })
    }
}

fn mount_options(config: &MountConfig) -> kernel::MountOptions {
    kernel::MountOptions {
        source: config.store.location.to_string(),
        allow_other: config.mount.allow_other,
        read_only: config.mount.read_only,
        no_exec: !config.mount.allow_exec,
        non_empty: config.mount.nonempty,
        ..kernel::MountOptions::default()
    }
}

fn session_config(config: &MountConfig) -> SessionConfig {
    let default = SessionConfig::default();
    SessionConfig {
        workers: config.mount.threads.unwrap_or(default.workers),
        read_ahead: read_ahead(config),
        max_background: config.mount.max_background,
    }
}

fn read_ahead(config: &MountConfig) -> u32 {
    u32::try_from(config.mount.read_ahead).unwrap_or(u32::MAX)
}

/// The kernel's own default, which INIT can only lower.
const KERNEL_READ_AHEAD: u32 = 128 << 10;

fn raise_read_ahead(config: &MountConfig, mount: &Mount) {
    let wanted = read_ahead(config);
    let Some(entry) = mount.entry.as_ref().filter(|_| wanted > KERNEL_READ_AHEAD) else { return };
    if let Err(error) = kernel::set_read_ahead(entry, wanted) {
        tracing::warn!(%error, wanted, "read-ahead stays at 128KiB; more needs root");
    }
}
