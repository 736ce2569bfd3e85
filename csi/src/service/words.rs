//! What plugin and mount service say to each other: one request and one response a connection.

use std::collections::BTreeMap;

use rfuse_host::Sealed;
use rfuse_host::handover::{Refusal, Serve};
use serde::{Deserialize, Serialize};

/// What the plugin asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Whether anybody is there.
    Ping,
    /// Serve the descriptors that come with this.
    Start {
        /// The handle.
        id: String,
        /// What to serve.
        serve: Box<Serve>,
        /// What it is to have of the node.
        needs: Needs,
    },
    /// Use these secrets from now on, if they are others than before.
    Renew {
        /// The handle.
        id: String,
        /// As in [`Serve`].
        secrets: BTreeMap<String, Sealed>,
    },
    /// When the credential in use ends.
    Credential {
        /// The handle.
        id: String,
    },
    /// How a volume is.
    Status {
        /// The handle.
        id: String,
    },
    /// How every volume is, with its numbers for Prometheus.
    List {
        /// Whether the numbers are wanted, for which every process is asked.
        numbers: bool,
    },
    /// Let a volume go that is unmounted, or was never mounted; what was written is stored first.
    Stop {
        /// The handle.
        id: String,
    },
    /// How the service is as a whole.
    Node,
}

/// Folders of the node that a volume writes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Needs {
    /// A spool: the volume can be written.
    pub(crate) spool: bool,
    /// The cache folder.
    pub(crate) cache: bool,
}

/// What the service answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Response {
    /// It is done.
    Done,
    /// To `Stop`: it is done, but files are not stored.
    Unfinished {
        /// The folder of the mount service that they lie in.
        spool: String,
    },
    /// To `Node`.
    Node(NodeStatus),
    /// To `Renew` and `Credential`.
    Renewed(Renewal),
    /// To `Status` and `List`; the former has one or none.
    Volumes(Vec<Status>),
    /// It is not done.
    Refused(Refusal),
}

/// What came of new secrets.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Renewal {
    /// They were tested and are in use.
    pub(crate) swapped: bool,
    /// When the credential in use ends, in seconds since 1970.
    pub(crate) expires: Option<u64>,
}

/// How the service is as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NodeStatus {
    /// Volumes that left this node and left files on it that are not stored.
    pub(crate) unfinished: usize,
    /// Bytes of memory that its processes may take together.
    pub(crate) memory_promised: u64,
    /// Bytes that their container may take; none without a limit.
    pub(crate) memory_limit: Option<u64>,
}

/// How one volume is.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The handle.
    pub(crate) id: String,
    /// Where it is mounted.
    pub(crate) mount: String,
    /// Whether a process serves it now.
    pub(crate) serving: bool,
    /// The process.
    pub(crate) pid: Option<u32>,
    /// How often it was started again.
    pub(crate) restarts: u32,
    /// Why it was not, last.
    pub(crate) trouble: Option<String>,
    /// Its numbers, as Prometheus reads them.
    pub(crate) metrics: Option<String>,
}
