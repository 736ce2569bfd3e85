//! Messages in, answers out: one thread a CPU, each with a descriptor of its own.
//!
//! A worker reads a message, hands it to the [`Service`], and reads the next. What can be answered from memory
//! is answered on the worker; what has to wait leaves it with its [`Reply`]. A worker never waits for anything
//! but the kernel.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::io::Errno;
use thiserror::Error;

use crate::counters::Counters;
use crate::kernel::{Device, Link, MessageBuffer, Notifier, Operation, Reply, Request};
pub use crate::negotiation::Agreement;
use crate::negotiation::{Move, negotiate};

/// Gives messages a meaning. Called by many workers at once; no call may block.
pub trait Service: Send + Sync + 'static {
    /// Answers `request` through `reply`, now or later. FORGET and INTERRUPT never come here.
    fn answer(&self, request: &Request<'_>, reply: Reply);

    /// `lookups` references to `node` are gone.
    fn forget(&self, node: u64, lookups: u64);

    /// Whoever waits for the answer to `unique` has a signal.
    fn interrupt(&self, unique: u64);
}

/// How a session is run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionConfig {
    /// Threads that talk to the kernel.
    pub workers: usize,
    /// Bytes the kernel reads ahead, and around page faults of mapped files. 4096: a random fault is one
    /// request of one page. More than 128 KiB needs [`set_read_ahead`](crate::kernel::set_read_ahead) too.
    pub read_ahead: u32,
    /// Read-ahead and asynchronous requests under way at most; the kernel keeps the others back.
    pub max_background: u16,
}

/// More workers than this were not measured to help.
const WORKERS_MAX: usize = 16;

impl Default for SessionConfig {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self { workers: cpus.min(WORKERS_MAX), read_ahead: 4096, max_background: 512 }
    }
}

/// Why there is no session.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The kernel's FUSE is too old.
    #[error("the kernel speaks FUSE {major}.{minor}; rfuse needs 7.28, which Linux has since 4.20")]
    KernelTooOld {
        /// Its major version.
        major: u32,
        /// Its minor version.
        minor: u32,
    },
    /// The device failed.
    #[error("cannot talk to the kernel through /dev/fuse: {0}")]
    Device(#[from] Errno),
    /// Unmounted before it began.
    #[error("unmounted before the kernel said hello")]
    Gone,
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// A conversation with the kernel about one mount. It ends when the mount does; dropping this does not end it.
#[derive(Debug)]
pub struct Session {
    workers: Vec<JoinHandle<()>>,
    links: Arc<[Arc<Link>]>,
    agreement: Agreement,
}

impl Session {
    /// Answers the kernel's INIT on a fresh `device` and starts the workers.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub fn start<S: Service>(device: Device, service: &Arc<S>, config: &SessionConfig) -> Result<Self, SessionError> {
        let link = Link::new(device);
        let agreement = greet(&link, config)?;
        let mut links = Vec::with_capacity(config.workers.max(1));
        for _ in 1..config.workers {
            links.push(Arc::new(Link::new(link.device().another()?)));
        }
        links.push(Arc::new(link));
        Self::begin(links, agreement, service)
    }

    /// Serves a mount with descriptors that were handed over: `mounted`, and one of /dev/fuse for each further
    /// worker. With `resumed`, what a process that is gone agreed on with the kernel, the conversation goes on
    /// where it was, and requests which that process left unanswered are asked for again (Linux 6.9; before
    /// it, they wait until their program is killed).
    ///
    /// # Errors
    /// See [`SessionError`].
    pub fn adopt<S: Service>(
        mounted: Device,
        others: Vec<Device>,
        resumed: Option<Agreement>,
        service: &Arc<S>,
        config: &SessionConfig,
    ) -> Result<Self, SessionError> {
        let link = Link::new(mounted);
        let agreement = match resumed {
            Some(agreement) => agreement,
            None => greet(&link, config)?,
        };
        if resumed.is_none() {
            others.iter().try_for_each(|device| device.join(link.device()))?;
        }
        let mut links: Vec<_> = others.into_iter().map(|device| Arc::new(Link::new(device))).collect();
        links.push(Arc::new(link));
        let session = Self::begin(links, agreement, service)?;
        if resumed.is_some()
            && let Err(error) = session.notifier().resend()
        {
            tracing::warn!(%error, "requests under way cannot be asked for again; this needs Linux 6.9");
        }
        Ok(session)
    }

    fn begin<S: Service>(links: Vec<Arc<Link>>, agreement: Agreement, service: &Arc<S>) -> Result<Self, SessionError> {
        let mut workers = Vec::with_capacity(links.len());
        for (number, link) in links.iter().enumerate() {
            let (link, service) = (Arc::clone(link), Arc::clone(service));
            let name = format!("fuse-{number}");
            let spawned = std::thread::Builder::new().name(name).spawn(move || work(&link, &*service));
            workers.push(spawned.map_err(SessionError::Thread)?);
        }
        tracing::debug!(?agreement, workers = workers.len(), "session begins");
        Ok(Self { workers, links: links.into(), agreement })
    }

    /// Speaks to the kernel's caches.
    pub fn notifier(&self) -> Notifier {
        Notifier::new(Arc::clone(&self.links[0]))
    }

    /// Requests so far.
    pub fn counters(&self) -> Counters {
        Counters::new(Arc::clone(&self.links))
    }

    /// What was agreed with the kernel.
    pub fn agreement(&self) -> Agreement {
        self.agreement
    }

    /// Waits until the mount is gone.
    pub fn wait(self) {
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

/// Reads messages until INIT is agreed upon.
fn greet(link: &Link, config: &SessionConfig) -> Result<Agreement, SessionError> {
    let mut buffer = MessageBuffer::new();
    loop {
        let message = match link.device().receive(&mut buffer) {
            Ok(message) => message,
            Err(Errno::INTR | Errno::AGAIN | Errno::NOENT) => continue,
            Err(Errno::NODEV | Errno::CONNABORTED) => return Err(SessionError::Gone),
            Err(errno) => return Err(errno.into()),
        };
        let Some(Request { unique, operation: Operation::Init { offer, flags2 }, .. }) = Request::parse(message) else {
            continue;
        };
        match negotiate(&offer, flags2, config) {
            Ok(Move::Agree(out, agreement)) => {
                link.send_value(unique, &out)?;
                return Ok(agreement);
            }
            Ok(Move::Lower(out)) => link.send_value(unique, &out)?,
            Err(error) => {
                link.send_error(unique, Errno::PROTO)?;
                return Err(error);
            }
        }
    }
}

fn work<S: Service>(link: &Arc<Link>, service: &S) {
    let mut buffer = MessageBuffer::new();
    loop {
        match link.device().receive(&mut buffer) {
            // A panic costs the request at hand, whose reply says EIO when it is dropped, and not the worker.
            Ok(message) => drop(catch_unwind(AssertUnwindSafe(|| dispatch(link, service, message)))),
            Err(errno) if passes(errno) => {}
            Err(Errno::NODEV | Errno::CONNABORTED) => return,
            Err(errno) => {
                tracing::error!(%errno, "cannot read from /dev/fuse; this worker ends");
                return;
            }
        }
    }
}

/// NOENT: the request was withdrawn while it was read.
fn passes(errno: Errno) -> bool {
    matches!(errno, Errno::INTR | Errno::AGAIN | Errno::NOENT)
}

fn dispatch<S: Service>(link: &Arc<Link>, service: &S, message: &[u8]) {
    let Some(request) = Request::parse(message) else {
        tracing::error!(bytes = message.len(), "a message from the kernel is too short");
        return;
    };
    let read = if let Operation::Read { size, .. } = request.operation { size } else { 0 };
    let silent =
        matches!(request.operation, Operation::Forget { .. } | Operation::BatchForget(_) | Operation::Interrupt { .. });
    link.counters().received(request.opcode, read, !silent);
    match request.operation {
        Operation::Forget { lookups } => service.forget(request.node, lookups),
        Operation::BatchForget(nodes) => nodes.iter().for_each(|one| service.forget(one.nodeid, one.nlookup)),
        Operation::Interrupt { unique } => service.interrupt(unique),
        // Says nothing that the end of the device does not say.
        Operation::Destroy => drop(Reply::new(Arc::clone(link), request.unique).ok()),
        Operation::Refused(errno) => drop(Reply::new(Arc::clone(link), request.unique).error(errno)),
        _ => service.answer(&request, Reply::new(Arc::clone(link), request.unique)),
    }
}
