//! Asks the mount service: one connection a question, with a bound on its time.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rfuse_host::handover;

use crate::fault::Fault;
use crate::service::words::{NodeStatus, Renewal, Request, Response, Status};

/// Starting a volume tries its store, which takes 25 s where nobody answers; letting one go stores what was written,
/// which is bounded by 65 s. The kubelet gives up after 120 s.
const LIMIT: Duration = Duration::from_secs(75);
const PING_LIMIT: Duration = Duration::from_secs(3);

/// How the plugin reaches the mount service.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    socket: PathBuf,
}

/// How a volume left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Farewell {
    /// All that was written is stored.
    Clean,
    /// Some is not, and lies in this folder of the mount service.
    Unfinished(String),
}

impl Client {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it does not.
    pub(crate) fn ping(&self) -> Result<(), Fault> {
        match self.ask(&Request::Ping, &[], PING_LIMIT)? {
            Response::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Has it serve what came with `request`, which is a `Start`.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn start(&self, request: &Request, descriptors: &[OwnedFd]) -> Result<(), Fault> {
        match self.ask(request, descriptors, LIMIT)? {
            Response::Done => Ok(()),
            Response::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    /// Has it let volume `id` go.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the service does not answer.
    pub(crate) fn stop(&self, id: &str) -> Result<Farewell, Fault> {
        match self.ask(&Request::Stop { id: id.to_owned() }, &[], LIMIT)? {
            Response::Done => Ok(Farewell::Clean),
            Response::Unfinished { spool } => Ok(Farewell::Unfinished(spool)),
            other => Err(unexpected(&other)),
        }
    }

    /// How the service is as a whole.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the service does not answer.
    pub(crate) fn node(&self) -> Result<NodeStatus, Fault> {
        match self.ask(&Request::Node, &[], PING_LIMIT)? {
            Response::Node(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    /// Has a running mount use other secrets.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when the store does not accept them.
    pub(crate) fn renew(&self, request: &Request) -> Result<Renewal, Fault> {
        match self.ask(request, &[], LIMIT)? {
            Response::Renewed(renewal) => Ok(renewal),
            Response::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    /// How a volume is; none when the service does not know it.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the service does not answer.
    pub(crate) fn status(&self, id: &str) -> Result<Option<Status>, Fault> {
        self.volumes(&Request::Status { id: id.to_owned() }).map(|volumes| volumes.into_iter().next())
    }

    /// How every volume is.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the service does not answer.
    pub(crate) fn list(&self, numbers: bool) -> Result<Vec<Status>, Fault> {
        self.volumes(&Request::List { numbers })
    }

    fn volumes(&self, request: &Request) -> Result<Vec<Status>, Fault> {
        match self.ask(request, &[], LIMIT)? {
            Response::Volumes(volumes) => Ok(volumes),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&self, request: &Request, descriptors: &[OwnedFd], limit: Duration) -> Result<Response, Fault> {
        let asked = || -> io::Result<Response> {
            let stream = UnixStream::connect(&self.socket)?;
            stream.set_read_timeout(Some(limit))?;
            stream.set_write_timeout(Some(PING_LIMIT))?;
            let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            handover::send(&stream, request, &borrowed)?;
            Ok(handover::receive(&stream)?.0)
        };
        asked().map_err(|error| {
            let socket = self.socket.display();
            Fault::unavailable(format!(
                "the mount service does not answer on {socket}: {error}; is the pod rfuse-csi-mounts of this node running?"
            ))
        })
    }
}

fn unexpected(response: &Response) -> Fault {
    match response {
        Response::Refused(refusal) => refusal.clone().into(),
        _ => Fault::internal("the mount service speaks another version; give both pods the same image"),
    }
}
