//! A server for tests that answers whatever it is told, byte for byte: wrong ranges, cut bodies, silence.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// One step of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// These bytes, as they are.
    Send(Vec<u8>),
    /// Silence.
    Wait(Duration),
    /// The connection is closed; without it, it is kept for the next request.
    Close,
}

/// Answers the n-th request, counted over all connections, with the n-th script; the last one again and again.
pub(crate) struct OddServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
    task: tokio::task::JoinHandle<()>,
}

impl OddServer {
    /// A server on a free port of this machine.
    pub(crate) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let (seen, opened) = (requests.clone(), connections.clone());
        let scripts = Arc::new(scripts);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                *opened.lock().unwrap() += 1;
                tokio::spawn(serve(socket, scripts.clone(), seen.clone()));
            }
        });
        Self { address, requests, connections, task }
    }

    /// A server whose answers are whole texts.
    pub(crate) async fn answering(answers: &[&str]) -> Self {
        Self::start(answers.iter().map(|text| vec![Step::Send(text.as_bytes().to_vec())]).collect()).await
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads (and small bodies) of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Connections opened so far.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

impl Drop for OddServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut socket: TcpStream, scripts: Arc<Vec<Vec<Step>>>, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = read_request(&mut socket).await {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request);
            seen.len() - 1
        };
        for step in scripts.get(number).or(scripts.last()).into_iter().flatten() {
            match step {
                Step::Send(bytes) => {
                    if socket.write_all(bytes).await.is_err() {
                        return;
                    }
                }
                Step::Wait(time) => tokio::time::sleep(*time).await,
                Step::Close => return,
            }
        }
    }
}

/// One request with a body of the stated length, as text.
async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse::<usize>().ok())
                .unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
