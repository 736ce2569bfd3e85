//! One volume: its descriptors, and a process that serves them whatever happens to the one before it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rfuse_config::control;
use rfuse_host::Sealed;
use rfuse_host::handover::{Answer, Order, Refusal, Serve};

use super::channel::{self, Channel, End};
use super::process;
use super::words::{Renewal, Status};

/// A process that lived this long had begun well, and the next is started at once.
const LIVED: Duration = Duration::from_secs(10);
/// Starts one after the other without a pause.
const QUICK: usize = 3;
/// Between the starts after those.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];
/// An unmounted volume's process ends by itself; after this it is ended.
const FAREWELL: Duration = Duration::from_secs(5);
/// The same for one that may have to store what was written; the kubelet gives up after two minutes.
const FAREWELL_OF_WRITERS: Duration = Duration::from_secs(65);

/// What is needed to serve a volume, and to serve it again.
#[derive(Debug)]
pub(super) struct Supervised {
    pub(super) id: String,
    rfuse: PathBuf,
    user: Option<u32>,
    order: Mutex<Serve>,
    descriptors: Vec<OwnedFd>,
    now: Mutex<Now>,
    changed: Condvar,
    leaving: AtomicBool,
    restarts: AtomicU32,
}

/// How it is now.
#[derive(Debug, Default)]
struct Now {
    channel: Option<Arc<Channel>>,
    pid: Option<u32>,
    trouble: Option<String>,
    over: bool,
}

/// Told whenever there is something new to be kept: the volume, and the socket of its process.
pub(super) type Keep = dyn Fn(&Supervised, &UnixStream) + Send + Sync;

impl Supervised {
    pub(super) fn new(
        id: String,
        rfuse: PathBuf,
        user: Option<u32>,
        order: Serve,
        descriptors: Vec<OwnedFd>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            rfuse,
            user,
            order: Mutex::new(order),
            descriptors,
            now: Mutex::default(),
            changed: Condvar::new(),
            leaving: AtomicBool::new(false),
            restarts: AtomicU32::new(0),
        })
    }

    /// Starts its first process and waits until it serves; from then on a thread sees to it that one does, and
    /// calls `over` when the volume is unmounted.
    ///
    /// # Errors
    /// Why it cannot be served; nothing runs then.
    pub(super) fn begin(
        self: &Arc<Self>,
        keep: Arc<Keep>,
        over: impl FnOnce() + Send + 'static,
    ) -> Result<(), Refusal> {
        let (send, receive) = mpsc::channel();
        let this = Arc::clone(self);
        std::thread::spawn(move || {
            this.see_to_it(Some(send), None, &*keep);
            over();
        });
        receive.recv().unwrap_or_else(|_| Err(self.refusal("it ended before it served")))
    }

    /// Goes on with a process that runs already.
    pub(super) fn resume(
        self: &Arc<Self>,
        stream: UnixStream,
        pid: Option<u32>,
        keep: Arc<Keep>,
        over: impl FnOnce() + Send + 'static,
    ) {
        let this = Arc::clone(self);
        std::thread::spawn(move || {
            this.see_to_it(None, Some((stream, pid)), &*keep);
            over();
        });
    }

    fn see_to_it(
        &self,
        mut first: Option<Sender<Result<(), Refusal>>>,
        running: Option<(UnixStream, Option<u32>)>,
        keep: &Keep,
    ) {
        let mut running = running;
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let lived = match running.take() {
                Some((stream, pid)) => self.rejoin(stream, pid),
                None => self.serve_once(first.take().as_ref(), keep),
            };
            match lived {
                Lived::Refused if self.lock_order().resume.is_none() => break,
                Lived::Unmounted => break,
                _ if self.leaving.load(Ordering::SeqCst) => break,
                Lived::Died if begun.elapsed() > LIVED => failures = 0,
                _ => failures += 1,
            }
            self.restarts.fetch_add(1, Ordering::Relaxed);
            if failures > QUICK {
                self.pause(PAUSES[(failures - QUICK - 1).min(PAUSES.len() - 1)]);
            }
            tracing::warn!(
                volume = self.id,
                restarts = self.restarts.load(Ordering::Relaxed),
                "rfuse ended; starting it again"
            );
        }
        let mut now = self.lock_now();
        now.over = true;
        now.channel = None;
        self.changed.notify_all();
    }

    /// One process from its start to its end.
    fn serve_once(&self, first: Option<&Sender<Result<(), Refusal>>>, keep: &Keep) -> Lived {
        let tell = |outcome: Result<(), Refusal>| {
            if let Err(refusal) = &outcome {
                self.lock_now().trouble = Some(refusal.why.clone());
                tracing::warn!(volume = self.id, why = refusal.why, "cannot serve");
            }
            if let Some(first) = first {
                let _ = first.send(outcome);
            }
        };
        let broken = |error: io::Error| self.refusal(&error.to_string());
        let started = process::start(&self.rfuse, self.user).and_then(|(child, stream)| {
            let (channel, listener) = channel::open(stream)?;
            Ok((child, channel, listener))
        });
        let (mut child, channel, listener) = match started {
            Ok(started) => started,
            Err(error) => {
                tell(Err(broken(error)));
                return Lived::Refused;
            }
        };
        self.lock_now().pid = Some(child.id());
        let channel = Arc::new(channel);
        let ended = std::thread::spawn(move || listener.listen());
        let order = Order::Serve(Box::new(self.lock_order().clone()));
        let handed: Vec<_> = self.descriptors.iter().map(AsFd::as_fd).collect();
        match channel.order(&order, &handed) {
            Ok(Answer::Serving(agreement)) => {
                self.lock_order().resume = Some(agreement);
                let mut now = self.lock_now();
                *now = Now { channel: Some(Arc::clone(&channel)), pid: Some(child.id()), ..Now::default() };
                drop(now);
                keep(self, channel.stream());
                tell(Ok(()));
            }
            answer => {
                let refusal = match answer {
                    Ok(Answer::Failed(refusal)) => refusal,
                    Ok(_) => self.refusal("rfuse says something else than was asked"),
                    Err(error) => broken(error),
                };
                // Forgotten before it is reaped: the number may be another's then.
                self.lock_now().pid = None;
                end(&mut child);
                tell(Err(refusal));
                return Lived::Refused;
            }
        }
        let how = self.until_end(ended);
        end(&mut child);
        how
    }

    /// A process that another worker started, from here to its end.
    fn rejoin(&self, stream: UnixStream, pid: Option<u32>) -> Lived {
        let Ok((channel, listener)) = channel::open(stream) else { return Lived::Died };
        let ended = std::thread::spawn(move || listener.listen());
        *self.lock_now() = Now { channel: Some(Arc::new(channel)), pid, ..Now::default() };
        self.until_end(ended)
    }

    fn until_end(&self, ended: std::thread::JoinHandle<End>) -> Lived {
        let end = ended.join().unwrap_or(End::Died);
        let mut now = self.lock_now();
        now.channel = None;
        now.pid = None;
        match end {
            End::Unmounted => Lived::Unmounted,
            End::Died => Lived::Died,
        }
    }

    /// When the credential in use ends; nothing is known while no process serves.
    ///
    /// # Errors
    /// When its process does not answer.
    pub(super) fn credential(&self) -> Result<Renewal, Refusal> {
        match self.lock_now().channel.clone() {
            Some(channel) => self.asked(&channel, &Order::Ask(control::Request::Credential)),
            None => Ok(Renewal::default()),
        }
    }

    /// Uses `secrets` from now on.
    ///
    /// # Errors
    /// When the store does not accept them; those before stay in use.
    pub(super) fn renew(&self, secrets: &BTreeMap<String, Sealed>) -> Result<Renewal, Refusal> {
        let before = self.lock_order().secrets.clone();
        let channel = self.lock_now().channel.clone();
        let Some(channel) = channel else {
            // The next process begins with them.
            self.lock_order().secrets.clone_from(secrets);
            return Ok(Renewal { swapped: before != *secrets, expires: None });
        };
        if before != *secrets && !is_swappable(&before, secrets) {
            return Ok(self.restart_with(secrets));
        }
        let order =
            if before == *secrets { Order::Ask(control::Request::Credential) } else { Order::Renew(secrets.clone()) };
        let renewal = self.asked(&channel, &order)?;
        self.lock_order().secrets.clone_from(secrets);
        Ok(renewal)
    }

    fn asked(&self, channel: &Channel, order: &Order) -> Result<Renewal, Refusal> {
        match channel.order(order, &[]) {
            Ok(Answer::Reply(control::Reply::Credential(status))) => {
                Ok(Renewal { swapped: status.swapped, expires: status.expires })
            }
            Ok(Answer::Reply(control::Reply::Failed { why })) => Err(Refusal { exit: 4, ..self.refusal(&why) }),
            Ok(Answer::Failed(refusal)) => Err(refusal),
            Ok(_) => Err(self.refusal("rfuse says something else than was asked")),
            Err(error) => Err(self.refusal(&error.to_string())),
        }
    }

    /// Another kind of credential, or one that its process reads only once: the next process has it. Programs
    /// wait as long as that takes.
    fn restart_with(&self, secrets: &BTreeMap<String, Sealed>) -> Renewal {
        self.lock_order().secrets.clone_from(secrets);
        if let Some(pid) = self.lock_now().pid {
            kill(pid);
        }
        Renewal { swapped: true, expires: None }
    }

    /// How it is.
    pub(super) fn status(&self, numbers: bool) -> Status {
        let (channel, pid, trouble) = {
            let now = self.lock_now();
            (now.channel.clone(), now.pid, now.trouble.clone())
        };
        let metrics = channel.as_ref().filter(|_| numbers).and_then(|channel| {
            match channel.order(&Order::Ask(control::Request::Metrics), &[]) {
                Ok(Answer::Reply(control::Reply::Metrics(text))) => Some(text),
                _ => None,
            }
        });
        Status {
            id: self.id.clone(),
            mount: self.lock_order().dir.clone(),
            serving: channel.is_some(),
            pid,
            restarts: self.restarts.load(Ordering::Relaxed),
            trouble,
            metrics,
        }
    }

    /// Lets it go: its process ends by itself when it is unmounted, and is ended otherwise.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        self.changed.notify_all();
        let farewell = if self.lock_order().settings.contains_key("spool") { FAREWELL_OF_WRITERS } else { FAREWELL };
        let now = self.lock_now();
        // One that never served has nothing to finish.
        let patience = if now.channel.is_some() { farewell } else { Duration::ZERO };
        let waited = self.changed.wait_timeout_while(now, patience, |now| !now.over);
        let Ok((now, _)) = waited else { return };
        if let Some(pid) = now.pid.filter(|_| !now.over) {
            tracing::warn!(volume = self.id, "rfuse did not end by itself");
            kill(pid);
        }
    }

    /// What it serves, to be kept; holds secrets.
    pub(super) fn order(&self) -> Serve {
        self.lock_order().clone()
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.lock_now().pid
    }

    pub(super) fn user(&self) -> Option<u32> {
        self.user
    }

    pub(super) fn descriptors(&self) -> &[OwnedFd] {
        &self.descriptors
    }

    fn pause(&self, time: Duration) {
        let now = self.lock_now();
        let leaving = |_: &mut Now| !self.leaving.load(Ordering::SeqCst);
        drop(self.changed.wait_timeout_while(now, time, leaving));
    }

    fn refusal(&self, why: &str) -> Refusal {
        let order = self.lock_order();
        Refusal {
            exit: 1,
            what: format!("mount {} on {}", order.url, order.dir),
            why: why.to_owned(),
            help: "the log of the mount service says more".to_owned(),
        }
    }

    fn lock_now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_order(&self) -> std::sync::MutexGuard<'_, Serve> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How one process went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lived {
    /// It never served.
    Refused,
    /// It served and is gone.
    Died,
    /// It served to the end.
    Unmounted,
}

/// Secrets of the same names, all of which a process can swap.
fn is_swappable(before: &BTreeMap<String, Sealed>, after: &BTreeMap<String, Sealed>) -> bool {
    before.keys().eq(after.keys()) && !after.contains_key("account-key")
}

fn kill(pid: u32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Waits for a process that has ended or is about to, and ends it if it is not.
fn end(child: &mut Child) {
    let limit = Instant::now() + Duration::from_secs(3);
    while Instant::now() < limit {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            _ => return,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}
