//! The yardstick of writing: hyper-util's pooled client sends a file in parts, some at once, and completes the
//! upload. It reads each part into a buffer that it uses again, as the least that a client with a file can do.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

use crate::usage::own_cpu;

/// What to send, and how.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The server.
    pub server: SocketAddr,
    /// The object's bucket and name, as in `BUCKET/NAME`.
    pub object: String,
    /// The file that becomes it.
    pub file: PathBuf,
    /// Bytes of one part.
    pub part: u64,
    /// Parts under way all the time.
    pub outstanding: usize,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Uploaded {
    /// Bytes sent.
    pub bytes: u64,
    /// In so many seconds, from the beginning of the upload to the object's being there.
    pub seconds: f64,
    /// Processor time of this process, in seconds.
    pub cpu_seconds: f64,
}

type Pool = Client<HttpConnector, Full<Bytes>>;

/// Sends it on one thread.
///
/// # Errors
/// The file cannot be read, or the server does not answer as it should.
pub fn run(upload: &Upload) -> anyhow::Result<Uploaded> {
    let file = Arc::new(File::open(&upload.file)?);
    let size = file.metadata()?.len();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(upload.outstanding).build(connector);
        let (started, cpu) = (Instant::now(), own_cpu());
        let id = begin(&client, upload).await?;
        let (next, tags) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
        let lanes = (0..upload.outstanding).map(|_| {
            let (client, upload, next, tags) = (client.clone(), upload.clone(), Rc::clone(&next), Rc::clone(&tags));
            let (file, id) = (Arc::clone(&file), id.clone());
            tokio::task::spawn_local(async move {
                let mut buffer = vec![0; upload.part as usize];
                loop {
                    let index: u64 = next.get();
                    next.set(index + 1);
                    let offset = index * upload.part;
                    if offset >= size {
                        return anyhow::Ok(());
                    }
                    buffer.resize(upload.part.min(size - offset) as usize, 0);
                    file.read_exact_at(&mut buffer, offset)?;
                    let body = Bytes::from(buffer);
                    let query = format!("partNumber={}&uploadId={id}", index + 1);
                    let answer = send(&client, &upload, Method::PUT, &query, body.clone()).await?;
                    let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok()).context("no ETag")?;
                    tags.borrow_mut().push((index + 1, tag.to_owned()));
                    // Nobody else holds it once it is answered; if hyper still does, a fresh one is as good.
                    buffer = body.try_into_mut().map_or_else(|_| Vec::new(), Vec::from);
                }
            })
        });
        for lane in lanes.collect::<Vec<_>>() {
            lane.await??;
        }
        complete(&client, upload, &id, tags.take()).await?;
        let (seconds, cpu_seconds) = (started.elapsed().as_secs_f64(), (own_cpu() - cpu).as_secs_f64());
        Ok(Uploaded { bytes: size, seconds, cpu_seconds })
    })
}

async fn begin(client: &Pool, upload: &Upload) -> anyhow::Result<String> {
    let answer = send(client, upload, Method::POST, "uploads=", Bytes::new()).await?;
    let body = answer.into_body().collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once("</UploadId>"));
    Ok(id.context("the server names no upload")?.0.to_owned())
}

async fn complete(client: &Pool, upload: &Upload, id: &str, mut tags: Vec<(u64, String)>) -> anyhow::Result<()> {
    tags.sort_unstable();
    let parts: String = tags
        .iter()
        .map(|(number, tag)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"))
        .collect();
    let list = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    send(client, upload, Method::POST, &format!("uploadId={id}"), list.into()).await?.into_body().collect().await?;
    Ok(())
}

async fn send(
    client: &Pool,
    upload: &Upload,
    method: Method,
    query: &str,
    body: Bytes,
) -> anyhow::Result<Response<Incoming>> {
    let uri = format!("http://{}/{}?{query}", upload.server, upload.object);
    let answer = client.request(Request::builder().method(method).uri(uri).body(Full::new(body))?).await?;
    ensure!(answer.status().is_success(), "the server answered {}", answer.status());
    Ok(answer)
}
