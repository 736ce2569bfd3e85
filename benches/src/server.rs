//! A fast object server of our own: every byte is made when it is asked for, so objects of any size cost nothing.
//!
//! It speaks S3 and Azure Blob on one port (a request is Azure's when it carries `x-ms-version`), waits a latency
//! exactly, limits each connection's bandwidth, and makes faults by number and seed. It believes every client:
//! **no signature is checked**. What is written is compared with the content that was to be written while it comes
//! in, and only what is anything else is kept, so that writing large objects costs no memory either. One thread is
//! the default, so that on a small machine it takes one core and not the one that is measured.

mod answer;
mod azure;
mod behaviour;
mod catalogue;
mod connection;
mod content;
mod control;
mod delays;
mod fault;
mod page;
mod reply;
mod request;
mod s3;
mod stats;
mod upload;
mod world;
mod writing;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

pub use behaviour::{Answering, Behaviour};
pub use catalogue::{Catalogue, Object};
pub use fault::Fault;
pub use stats::{Operation, Stats};
use world::World;

/// Connections a worker has not yet taken, at most; more are refused.
const BACKLOG: usize = 1024;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts on 127.0.0.1; port 0 takes any free one.
    ///
    /// # Errors
    /// The port is taken, or a thread, timer or event loop cannot be had.
    pub fn start(catalogue: Catalogue, behaviour: Behaviour, port: u16, workers: usize) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(catalogue, behaviour));
        let (stop, stopped) = watch::channel(false);
        let mut threads = Vec::new();
        let mut takers = Vec::new();
        for _ in 0..workers.max(1) {
            let (give, take) = mpsc::channel(BACKLOG);
            let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
            threads.push(std::thread::Builder::new().name("serve".into()).spawn(move || work(take, &shared, stopped))?);
            takers.push(give);
        }
        let accepting = Arc::clone(&shared);
        threads.push(
            std::thread::Builder::new()
                .name("accept".into())
                .spawn(move || accept(&listener, &takers, &accepting, &stopped))?,
        );
        Ok(Self { address, shared, stop, threads })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted.
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }

    /// Starts counting again, requests for faults too.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Behaves so from the next request on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.behave(behaviour);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // The acceptor waits in `accept`: one more connection wakes it.
        drop(TcpStream::connect(self.address));
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// What every connection of every worker shares.
#[derive(Debug)]
struct Shared {
    world: World,
    counters: stats::Counters,
    behaviour: RwLock<Behaviour>,
    answering: watch::Sender<Answering>,
    number: AtomicU64,
}

impl Shared {
    fn new(catalogue: Catalogue, behaviour: Behaviour) -> Self {
        let answering = watch::Sender::new(behaviour.answering);
        let counters = stats::Counters::default();
        let world = World::new(catalogue);
        Self { world, counters, behaviour: RwLock::new(behaviour), answering, number: AtomicU64::new(0) }
    }

    /// The number of a new request, from 0, and how to behave towards it.
    fn next_request(&self) -> (u64, Behaviour) {
        let behaviour = self.behaviour.read().unwrap_or_else(PoisonError::into_inner).clone();
        (self.number.fetch_add(1, Ordering::Relaxed), behaviour)
    }

    fn reset(&self) {
        self.number.store(0, Ordering::Relaxed);
        self.counters.reset();
    }

    fn set(&self, words: &[(String, String)]) -> Result<(), String> {
        let mut behaviour = self.behaviour.read().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, word) in words {
            behaviour.set(name, word)?;
        }
        self.behave(behaviour);
        Ok(())
    }

    fn behave(&self, behaviour: Behaviour) {
        self.answering.send_replace(behaviour.answering);
        *self.behaviour.write().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// Returns when requests are answered (again).
    async fn answers_again(&self) {
        let mut answering = self.answering.subscribe();
        // The sender lives as long as this: there is no error to meet.
        let _ = answering.wait_for(|answering| *answering == Answering::Always).await;
    }
}

fn accept(
    listener: &TcpListener,
    takers: &[mpsc::Sender<TcpStream>],
    shared: &Shared,
    stopped: &watch::Receiver<bool>,
) {
    for (turn, stream) in listener.incoming().enumerate() {
        if *stopped.borrow() {
            return;
        }
        let Ok(stream) = stream else { continue };
        if stream.set_nonblocking(true).is_ok() && stream.set_nodelay(true).is_ok() {
            shared.counters.connections.fetch_add(1, Ordering::Relaxed);
            // A full queue drops the stream: the client sees a closed connection.
            let _ = takers[turn % takers.len()].try_send(stream);
        }
    }
}

fn work(mut take: mpsc::Receiver<TcpStream>, shared: &Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let Ok(delays) = delays::Delays::new().map(Rc::new) else { return };
        let timer = Rc::clone(&delays);
        tokio::task::spawn_local(async move { timer.run().await });
        loop {
            let stream = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                stream = take.recv() => stream,
            };
            let Some(stream) = stream else { return };
            if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                tokio::task::spawn_local(connection::serve(stream, Arc::clone(shared), Rc::clone(&delays)));
            }
        }
    });
}
