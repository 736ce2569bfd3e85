//! The yardstick of every store path: hyper's bare HTTP/1.1 client, unsigned, on one thread, asking for random
//! 4 KiB ranges and looking at length and first word only. What a mount costs above it is ours.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::pattern;
use crate::usage::own_cpu;

/// Bytes of one GET.
const BLOCK: u64 = 4096;
/// Latencies kept at most; later ones are not looked at.
const LATENCIES_MAX: usize = 4 << 20;

/// How requests get to connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Connections {
    /// Each GET outstanding has a connection of its own: the least a client can do.
    Own,
    /// hyper-util's pool.
    Pool,
}

/// What to ask, of whom, and how much at once.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server.
    pub server: SocketAddr,
    /// The object's bucket and name, as in `BUCKET/NAME`.
    pub object: String,
    /// Its size in bytes; at least one block.
    pub size: u64,
    /// GETs outstanding all the time.
    pub outstanding: usize,
    /// For how long.
    pub time: Duration,
    /// How they get to connections.
    pub connections: Connections,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// GETs answered.
    pub gets: u64,
    /// In so many seconds.
    pub seconds: f64,
    /// Processor time of this process for one GET, in microseconds.
    pub cpu_us: f64,
    /// Half of the GETs took no longer than this, in microseconds.
    pub p50_us: u64,
    /// 99 of 100 took no longer than this, in microseconds.
    pub p99_us: u64,
}

impl Outcome {
    /// GETs a second.
    pub fn rate(&self) -> f64 {
        self.gets as f64 / self.seconds.max(1e-9)
    }
}

/// Runs it.
///
/// # Errors
/// The server does not answer as it should; the first error ends the run.
pub fn run(load: &Load) -> anyhow::Result<Outcome> {
    ensure!(load.size >= BLOCK, "the object must hold a block of {BLOCK} bytes");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let lanes = match load.connections {
            Connections::Own => {
                let mut lanes = Vec::new();
                for _ in 0..load.outstanding {
                    lanes.push(Lane::Own(connect(load.server).await?));
                }
                lanes
            }
            Connections::Pool => {
                let mut connector = HttpConnector::new();
                connector.set_nodelay(true);
                let client =
                    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(load.outstanding).build(connector);
                (0..load.outstanding).map(|_| Lane::Pool(Box::new(client.clone()))).collect()
            }
        };
        drive(load, lanes).await
    })
}

async fn drive(load: &Load, lanes: Vec<Lane>) -> anyhow::Result<Outcome> {
    let latencies = Rc::new(RefCell::new(Vec::new()));
    let (started, cpu) = (Instant::now(), own_cpu());
    let end = started + load.time;
    let workers = lanes.into_iter().enumerate().map(|(number, mut lane)| {
        let (load, latencies) = (load.clone(), Rc::clone(&latencies));
        tokio::task::spawn_local(async move {
            let mut random = fastrand::Rng::with_seed(number as u64 ^ started.elapsed().as_nanos() as u64);
            let seed = seed(&load.object);
            let mut gets = 0;
            while Instant::now() < end {
                let offset = random.u64(0..load.size / BLOCK) * BLOCK;
                let began = Instant::now();
                lane.get(&load, seed, offset).await?;
                gets += 1;
                let mut latencies = latencies.borrow_mut();
                if latencies.len() < LATENCIES_MAX {
                    latencies.push(began.elapsed().as_micros() as u32);
                }
            }
            anyhow::Ok(gets)
        })
    });
    let mut gets = 0;
    for worker in workers.collect::<Vec<_>>() {
        gets += worker.await??;
    }
    let (time, cpu) = (started.elapsed(), own_cpu() - cpu);
    let mut latencies = latencies.take();
    latencies.sort_unstable();
    Ok(Outcome {
        gets,
        seconds: time.as_secs_f64(),
        cpu_us: cpu.as_secs_f64() * 1e6 / gets.max(1) as f64,
        p50_us: percentile(&latencies, 50),
        p99_us: percentile(&latencies, 99),
    })
}

/// The value that `percent` of the sorted values do not exceed.
pub(crate) fn percentile(sorted: &[u32], percent: usize) -> u64 {
    sorted.get(sorted.len() * percent / 100).or(sorted.last()).copied().unwrap_or(0).into()
}

fn seed(object: &str) -> u64 {
    let (bucket, name) = object.split_once('/').unwrap_or((object, ""));
    pattern::seed_of(bucket, name)
}

enum Lane {
    Own(SendRequest<Empty<Bytes>>),
    Pool(Box<Client<HttpConnector, Empty<Bytes>>>),
}

impl Lane {
    async fn get(&mut self, load: &Load, seed: u64, offset: u64) -> anyhow::Result<()> {
        let path = match self {
            Self::Own(_) => format!("/{}", load.object),
            Self::Pool(_) => format!("http://{}/{}", load.server, load.object),
        };
        let request = Request::get(path)
            .header("host", "localhost")
            .header("range", format!("bytes={offset}-{}", offset + BLOCK - 1))
            .body(Empty::new())?;
        let answer = match self {
            Self::Own(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Pool(client) => client.request(request).await?,
        };
        ensure!(answer.status() == StatusCode::PARTIAL_CONTENT, "the server answered {}", answer.status());
        let (mut body, mut length, mut first) = (answer.into_body(), 0, [0; 8]);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if length == 0 && data.len() >= 8 {
                first.copy_from_slice(&data[..8]);
            }
            length += data.len();
        }
        let mut want = [0; 8];
        pattern::fill(seed, offset, &mut want);
        ensure!(length as u64 == BLOCK && first == want, "the server sent other bytes");
        Ok(())
    }
}

async fn connect(server: SocketAddr) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(server).await.with_context(|| format!("cannot connect to {server}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::task::spawn_local(connection);
    Ok(sender)
}
