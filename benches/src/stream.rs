//! The yardstick of streaming: hyper-util's pooled client fetches an object in order, piece after piece, some
//! pieces at once, and looks at every piece's length and first word only.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

use crate::pattern;
use crate::usage::own_cpu;

/// What to fetch, and how.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The server.
    pub server: SocketAddr,
    /// The object's bucket and name, as in `BUCKET/NAME`.
    pub object: String,
    /// Bytes from its beginning.
    pub size: u64,
    /// Bytes of one GET.
    pub piece: u64,
    /// GETs outstanding all the time.
    pub outstanding: usize,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Streamed {
    /// Bytes received.
    pub bytes: u64,
    /// In so many seconds.
    pub seconds: f64,
    /// Processor time of this process, in seconds.
    pub cpu_seconds: f64,
}

/// Fetches it on one thread.
///
/// # Errors
/// The server does not answer as it should.
pub fn run(stream: &Stream) -> anyhow::Result<Streamed> {
    ensure!(stream.piece >= 8, "a piece has 8 bytes at least");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(stream.outstanding).build(connector);
        let (started, cpu, next) = (Instant::now(), own_cpu(), Rc::new(Cell::new(0)));
        let lanes = (0..stream.outstanding).map(|_| {
            let (client, stream, next) = (client.clone(), stream.clone(), Rc::clone(&next));
            tokio::task::spawn_local(async move {
                let mut bytes = 0;
                while next.get() < stream.size {
                    let offset = next.get();
                    next.set(offset + stream.piece);
                    bytes += fetch(&client, &stream, offset).await?;
                }
                anyhow::Ok(bytes)
            })
        });
        let mut bytes = 0;
        for lane in lanes.collect::<Vec<_>>() {
            bytes += lane.await??;
        }
        let (seconds, cpu_seconds) = (started.elapsed().as_secs_f64(), (own_cpu() - cpu).as_secs_f64());
        Ok(Streamed { bytes, seconds, cpu_seconds })
    })
}

async fn fetch(client: &Client<HttpConnector, Empty<Bytes>>, stream: &Stream, offset: u64) -> anyhow::Result<u64> {
    let length = stream.piece.min(stream.size - offset);
    let request = Request::get(format!("http://{}/{}", stream.server, stream.object))
        .header("range", format!("bytes={offset}-{}", offset + length - 1))
        .body(Empty::new())?;
    let answer = client.request(request).await?;
    ensure!(answer.status() == StatusCode::PARTIAL_CONTENT, "the server answered {}", answer.status());
    let (mut body, mut got, mut first) = (answer.into_body(), 0, [0; 8]);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if got == 0 && data.len() >= 8 {
            first.copy_from_slice(&data[..8]);
        }
        got += data.len() as u64;
    }
    let (bucket, name) = stream.object.split_once('/').unwrap_or((&stream.object, ""));
    let mut want = [0; 8];
    pattern::fill(pattern::seed_of(bucket, name), offset, &mut want);
    ensure!(got == length && first == want, "the server sent other bytes");
    Ok(got)
}
