//! One connection: read a request, wait the latency, answer, again.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Shared;
use super::answer::{Refusal, answer, content_range, operation};
use super::behaviour::{Answering, Behaviour};
use super::control;
use super::delays::Delays;
use super::fault::Fault;
use super::reply::{Body, Reply};
use super::request::Request;
use super::stats::Operation;

/// Bytes made and sent at a time.
const CHUNK: u64 = 128 << 10;

/// Serves until the client hangs up or a fault ends it.
pub(super) async fn serve(mut stream: TcpStream, shared: Arc<Shared>, delays: Rc<Delays>) {
    let mut input = Vec::with_capacity(8 << 10);
    let mut output = Vec::with_capacity(16 << 10);
    // An error is the client's hanging up or a fault we made: both are the end of this connection only.
    let kept = shared.world.kept();
    while let Ok(Some(request)) = Request::read(&mut stream, &mut input, &kept).await {
        let arrived = Instant::now();
        let mut exchange = Exchange { stream: &mut stream, output: &mut output, shared: &shared, delays: &delays };
        match exchange.run(&request, arrived).await {
            Ok(After::GoOn) if !request.close => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    GoOn,
    Close,
}

struct Exchange<'a> {
    stream: &'a mut TcpStream,
    output: &'a mut Vec<u8>,
    shared: &'a Shared,
    delays: &'a Delays,
}

impl Exchange<'_> {
    async fn run(&mut self, request: &Request, arrived: Instant) -> io::Result<After> {
        if request.bucket.starts_with("__") {
            let reply = control::answer(self.shared, request);
            self.send(&reply, reply.body.length(), None).await?;
            return Ok(After::GoOn);
        }
        let operation = operation(request);
        self.shared.counters.begin(operation);
        let in_flight = InFlight(self.shared);
        let (number, behaviour) = self.shared.next_request();
        let after = self.answer(request, operation, arrived, number, &behaviour).await;
        drop(in_flight);
        after
    }

    async fn answer(
        &mut self,
        request: &Request,
        operation: Operation,
        arrived: Instant,
        number: u64,
        behaviour: &Behaviour,
    ) -> io::Result<After> {
        self.shared.counters.received(request.body.size());
        let reply = answer(&self.shared.world, request, behaviour.generation);
        if let (true, Body::Object { range, .. }) = (behaviour.per_block, &reply.body) {
            self.shared.counters.block(crate::pattern::seed_of(&request.bucket, &request.name), range.start);
        }
        if behaviour.answering == Answering::Never {
            self.shared.answers_again().await;
        }
        let latency = behaviour.latency_of(number);
        if latency > Duration::ZERO {
            self.delays.until(arrived + latency).await;
        }
        self.shared.counters.waited(arrived.elapsed());
        let fault = Fault::of(behaviour.seed, number, behaviour.faults).map(|fault| fault.fit(&reply.body));
        let Some(fault) = fault else {
            self.send(&reply, reply.body.length(), behaviour.bandwidth).await?;
            self.count_bytes(operation, &reply.body, reply.body.length());
            return Ok(After::GoOn);
        };
        self.shared.counters.fault(fault);
        self.send_faulty(request, reply, fault).await
    }

    async fn send_faulty(&mut self, request: &Request, reply: Reply, fault: Fault) -> io::Result<After> {
        match fault {
            Fault::Unavailable | Fault::Internal => {
                let refusal = if fault == Fault::Internal { Refusal::Internal } else { Refusal::Unavailable };
                let reply = refusal.reply(request.dialect, request.method);
                self.send(&reply, reply.body.length(), None).await?;
                Ok(After::GoOn)
            }
            Fault::Reset => {
                rustix::net::sockopt::set_socket_linger(&*self.stream, Some(Duration::ZERO))?;
                Ok(After::Close)
            }
            Fault::Truncated => {
                let half = reply.body.length() / 2;
                self.send(&reply, half, None).await?;
                self.count_bytes(Operation::Get, &reply.body, half);
                Ok(After::Close)
            }
            Fault::WrongRange => {
                let reply = shifted(reply);
                self.send(&reply, reply.body.length(), None).await?;
                self.count_bytes(Operation::Get, &reply.body, reply.body.length());
                Ok(After::GoOn)
            }
        }
    }

    /// Sends the head and the first `length` bytes of the body.
    async fn send(&mut self, reply: &Reply, length: u64, bandwidth: Option<u64>) -> io::Result<()> {
        self.output.clear();
        self.output.extend_from_slice(reply.head().as_bytes());
        let started = Instant::now();
        match &reply.body {
            Body::Absent(_) => {}
            Body::Text(text) => self.output.extend_from_slice(&text.as_bytes()[..length as usize]),
            Body::Object { content, range } => {
                let mut sent = 0;
                while sent < length {
                    let chunk = CHUNK.min(length - sent);
                    let before = self.output.len();
                    self.output.resize(before + chunk as usize, 0);
                    content.fill(range.start + sent, &mut self.output[before..]);
                    self.stream.write_all(self.output).await?;
                    self.output.clear();
                    sent += chunk;
                    if let Some(bandwidth) = bandwidth {
                        let due = Duration::from_secs_f64(sent as f64 / bandwidth as f64);
                        self.delays.until(started + due).await;
                    }
                }
            }
        }
        self.stream.write_all(self.output).await
    }

    fn count_bytes(&self, operation: Operation, body: &Body, length: u64) {
        if operation == Operation::Get && matches!(body, Body::Object { .. }) {
            self.shared.counters.bytes.fetch_add(length, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

impl Fault {
    /// Only the bytes of an object can be cut or exchanged; other answers fail with 500 instead.
    fn fit(self, body: &Body) -> Self {
        match (self, body) {
            (Self::Truncated | Self::WrongRange, Body::Text(_) | Body::Absent(_)) => Self::Internal,
            _ => self,
        }
    }
}

/// The answer for as many bytes elsewhere in the object, honestly labelled.
fn shifted(mut reply: Reply) -> Reply {
    if let Body::Object { range, .. } = &mut reply.body {
        let length = range.end - range.start;
        let first = if range.start >= length { range.start - length } else { range.start + length };
        *range = first..first + length;
        let kept = reply.lines.split_inclusive('\n').filter(|line| !line.starts_with("content-range"));
        let kept: String = kept.collect();
        reply.lines = kept + &content_range(range.start, range.end, range.end.saturating_mul(2));
        reply.status = 206;
    }
    reply
}

struct InFlight<'a>(&'a Shared);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.counters.end();
    }
}
