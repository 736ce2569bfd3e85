//! The conversation with one `rfuse` process: orders one at a time, answers as they come, its end as the end.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rfuse_host::handover::{self, Answer, Order};

/// Opening a store tries for 25 s, testing a credential as well.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Our end of the socket. Who orders waits for the answer, so that no two are mixed up.
#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    answers: Mutex<Receiver<Answer>>,
}

/// The other half: reads what the process says until it ends.
#[derive(Debug)]
pub(super) struct Listener {
    stream: UnixStream,
    answers: Sender<Answer>,
}

/// How the conversation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The file system is unmounted everywhere.
    Unmounted,
    /// The process is gone and did not say so.
    Died,
}

/// Both halves of a conversation over `stream`.
///
/// # Errors
/// When there is no descriptor left.
pub(super) fn open(stream: UnixStream) -> io::Result<(Channel, Listener)> {
    // A process that does not read its orders must not hold up whoever gives them.
    stream.set_write_timeout(Some(ANSWER_TIME))?;
    let (send, receive) = mpsc::channel();
    let listener = Listener { stream: stream.try_clone()?, answers: send };
    Ok((Channel { stream, answers: Mutex::new(receive) }, listener))
}

impl Channel {
    /// Gives `order` and waits for what comes of it.
    ///
    /// # Errors
    /// `UnexpectedEof` when the process ends meanwhile, `TimedOut` when it says nothing.
    pub(super) fn order(&self, order: &Order, descriptors: &[BorrowedFd<'_>]) -> io::Result<Answer> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        // Answers to somebody who gave up waiting.
        while answers.try_recv().is_ok() {}
        handover::send(&self.stream, order, descriptors)?;
        answers.recv_timeout(ANSWER_TIME).map_err(|error| match error {
            RecvTimeoutError::Timeout => io::Error::new(io::ErrorKind::TimedOut, "rfuse does not answer"),
            RecvTimeoutError::Disconnected => io::Error::new(io::ErrorKind::UnexpectedEof, "rfuse ended"),
        })
    }

    /// The socket, to be kept by somebody else too.
    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }
}

impl Listener {
    /// Passes answers on until the process ends.
    pub(super) fn listen(self) -> End {
        loop {
            match handover::receive::<Answer>(&self.stream) {
                Ok((Answer::Unmounted, _)) => return End::Unmounted,
                // The channel may be gone: then nobody waits.
                Ok((answer, _)) => drop(self.answers.send(answer)),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!("rfuse said something this version does not know");
                }
                Err(_) => return End::Died,
            }
        }
    }
}
