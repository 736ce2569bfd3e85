//! Answers that have to wait: each in a task, with a deadline, ended by a signal to its caller.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Abortable, Aborted, BoxFuture};
use rfuse_fs::{Answer, FsError};
use tokio::runtime::Handle;

use crate::complaint::Complaints;
use crate::first_poll::{self, Work};
use crate::interrupt::InterruptTable;
use crate::kernel::{Opcode, Reply, Request};

/// Where answers wait.
#[derive(Debug)]
pub(crate) struct Deferral {
    runtime: Handle,
    deadline: Duration,
    /// Blocks may come from a local disk: then a read is begun where it was taken.
    has_disk: bool,
    interrupts: Arc<InterruptTable>,
    complaints: Arc<Complaints>,
}

impl Deferral {
    /// Tasks on `runtime`, none longer than `deadline`; reads that a disk may answer are begun at once.
    pub(crate) fn new(runtime: Handle, deadline: Duration, has_disk: bool) -> Self {
        Self { runtime, deadline, has_disk, interrupts: Arc::default(), complaints: Arc::default() }
    }

    /// Ends the wait for `unique`.
    pub(crate) fn interrupt(&self, unique: u64) {
        self.interrupts.interrupt(unique);
    }

    /// Sends `answer`, on this thread if it is there: what `finish` makes of it, or its error.
    pub(crate) fn settle<T: Send + 'static>(
        &self,
        request: &Request<'_>,
        reply: Reply,
        answer: Answer<T>,
        finish: impl FnOnce(Reply, T) + Send + 'static,
    ) {
        match answer {
            Answer::Ready(Ok(value)) => finish(reply, value),
            Answer::Ready(Err(error)) => fail(&self.complaints, request.opcode, request.node, reply, &error),
            Answer::Pending(future) => self.defer(request.opcode, request.node, reply, future, finish),
        }
    }

    /// Sends `answer` to a change, on this thread if it is there. Signals do not end it, which would leave it
    /// half done or its caller in doubt, and neither does the deadline: every request it makes of the store has
    /// a bound of its own, which grows with the bytes it moves.
    pub(crate) fn settle_change<T: Send + 'static>(
        &self,
        request: &Request<'_>,
        reply: Reply,
        answer: Answer<T>,
        finish: impl FnOnce(Reply, T) + Send + 'static,
    ) {
        match answer {
            Answer::Pending(future) => {
                let (opcode, node, complaints) = (request.opcode, request.node, Arc::clone(&self.complaints));
                self.runtime.spawn(async move {
                    match future.await {
                        Ok(value) => finish(reply, value),
                        Err(error) => fail(&complaints, opcode, node, reply, &error),
                    }
                });
            }
            ready => self.settle(request, reply, ready, finish),
        }
    }

    fn defer<T: Send + 'static>(
        &self,
        opcode: Option<Opcode>,
        node: u64,
        reply: Reply,
        future: BoxFuture<'static, Result<T, FsError>>,
        finish: impl FnOnce(Reply, T) + Send + 'static,
    ) {
        let (deadline, complaints) = (self.deadline, Arc::clone(&self.complaints));
        let (waiting, registration) = self.interrupts.enter(reply.unique());
        let (begun, end, runtime) = (Instant::now(), registration.handle(), self.runtime.clone());
        let work = Box::pin(async move {
            let waited = Abortable::new(future, registration).await;
            // The future is gone, and with it whatever it asked of the store, before the caller hears.
            let outcome = match waited {
                Ok(outcome) => outcome,
                Err(Aborted) if begun.elapsed() < deadline => Err(FsError::Interrupted),
                Err(Aborted) => Err(FsError::Deadline(deadline)),
            };
            drop(waiting);
            match outcome {
                Ok(value) => finish(reply, value),
                Err(error) => fail(&complaints, opcode, node, reply, &error),
            }
        });
        let hand_over = move |mut work: Work| {
            let end = end.clone();
            runtime.spawn(async move {
                let rest = deadline.saturating_sub(begun.elapsed());
                if tokio::time::timeout(rest, work.as_mut()).await.is_err() {
                    end.abort();
                    work.await;
                }
            });
        };
        if self.has_disk && opcode == Some(Opcode::Read) { first_poll::begin(work, hand_over) } else { hand_over(work) }
    }
}

fn fail(complaints: &Complaints, opcode: Option<Opcode>, node: u64, reply: Reply, error: &FsError) {
    complaints.note(opcode, node, error);
    reply.error(error.errno());
}
