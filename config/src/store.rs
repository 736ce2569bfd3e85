//! Where the objects are, as whom we come, and how hard we may try.

use std::path::PathBuf;
use std::time::Duration;

use crate::Secret;

/// Where the objects are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Location {
    /// `az://ACCOUNT/CONTAINER[/PREFIX]` or `https://ACCOUNT.blob.…/CONTAINER[/PREFIX]`.
    Azure {
        /// The storage account.
        account: String,
        /// The container.
        container: String,
        /// What every name starts with: empty, or ending in `/`.
        prefix: Vec<u8>,
    },
    /// `s3://BUCKET[/PREFIX]`.
    S3 {
        /// The bucket.
        bucket: String,
        /// What every name starts with: empty, or ending in `/`.
        prefix: Vec<u8>,
    },
    /// `file:///DIR`: the files below a local directory play the objects.
    Local(PathBuf),
    /// `mem:`: an empty store in this process.
    Memory,
}

/// As whom we come to Azure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AzureCredential {
    /// A shared access signature, without the leading `?`.
    Sas(Secret),
    /// A file that holds a SAS, read again when it changes.
    SasFile(PathBuf),
    /// The account key, base64.
    AccountKey(Secret),
    /// A managed identity, chosen by client id where the machine has several.
    ManagedIdentity {
        /// Client id of a user-assigned identity.
        client_id: Option<String>,
    },
    /// A federated token file of a Kubernetes service account (`AZURE_FEDERATED_TOKEN_FILE` and siblings).
    WorkloadIdentity,
    /// Whoever is logged in to the Azure command line.
    Cli,
    /// Nobody: the container must be public.
    Anonymous,
}

/// As whom we come to S3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AwsCredential {
    /// What the AWS tools would take: environment, profile (SSO too), web identity, container, instance.
    Default {
        /// A named profile of the AWS configuration files.
        profile: Option<String>,
    },
    /// A key pair given outright.
    Keys {
        /// Access key id.
        id: String,
        /// Secret access key.
        secret: Secret,
        /// Token of a temporary key.
        session_token: Option<Secret>,
    },
    /// A file in the format of `~/.aws/credentials`, read again when it changes.
    File {
        /// The file.
        path: PathBuf,
        /// Which profile in it.
        profile: String,
    },
    /// Nobody: the bucket must be public.
    Anonymous,
}

/// How hard the store room may try, and how much at once.
#[derive(Clone, PartialEq, Debug)]
pub struct Limits {
    /// Requests in flight at most; demand goes before fetch-ahead.
    pub requests_in_flight: usize,
    /// Requests sent at most for one call, the first included (1 to 10).
    pub tries: u32,
    /// Time at most for one call, all tries together.
    pub call_timeout: Duration,
    /// Time at most for a connection to open.
    pub connect_timeout: Duration,
    /// Time at most without a byte arriving.
    pub stall_timeout: Duration,
    /// Share of extra GETs that may be sent against a slow tail, 0.0 to 1.0; none by default.
    pub hedge_budget: Option<f64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_in_flight: 512,
            tries: 8,
            call_timeout: Duration::from_secs(25),
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(10),
            hedge_budget: None,
        }
    }
}

/// Everything the store room needs to know.
#[derive(Clone, PartialEq, Debug)]
pub struct StoreConfig {
    /// Where the objects are.
    pub location: Location,
    /// Base URL of the service, for emulators, sovereign clouds and S3-compatible servers.
    pub endpoint: Option<String>,
    /// As whom we come to Azure; ignored elsewhere.
    pub azure: AzureCredential,
    /// As whom we come to S3; ignored elsewhere.
    pub aws: AwsCredential,
    /// Region of the bucket; `us-east-1` where nothing says otherwise.
    pub region: Option<String>,
    /// Whether the bucket goes into the path instead of the host name; by default with a custom endpoint.
    pub path_style: Option<bool>,
    /// Whether we pay for requests to somebody else's bucket.
    pub requester_pays: bool,
    /// A PEM file of certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How hard we may try.
    pub limits: Limits,
}

impl StoreConfig {
    /// The defaults for objects at `location`: anonymous on Azure, the AWS default chain on S3.
    pub fn at(location: Location) -> Self {
        Self {
            location,
            endpoint: None,
            azure: AzureCredential::Anonymous,
            aws: AwsCredential::Default { profile: None },
            region: None,
            path_style: None,
            requester_pays: false,
            ca_file: None,
            limits: Limits::default(),
        }
    }
}
