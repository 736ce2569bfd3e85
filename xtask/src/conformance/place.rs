//! A store that lives for a run, with an empty corner for each suite.

use anyhow::Result;
use rfuse_config::{AwsCredential, AzureCredential, Location, Secret, StoreConfig};
use tempfile::TempDir;

use crate::servers::{S3Server, Server};

/// Which store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A folder of this machine.
    Local,
    /// Azurite on loopback.
    Azurite,
    /// An S3 server on loopback.
    S3,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Local, Self::Azurite, Self::S3];

    /// As the lists of expected failures call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Azurite => "azurite",
            Self::S3 => "s3",
        }
    }
}

/// A key that the S3 server of a run knows; it guards a folder that is deleted afterwards.
const KEY: &str = "rfuse-conformance";
const SECRET: &str = "rfuse-conformance-secret";

/// The account Azurite knows.
const ACCOUNT: &str = "devstoreaccount1";

/// A store.
pub(crate) struct Place {
    kind: Kind,
    server: Option<Server>,
    folder: TempDir,
}

/// What `rfuse mount` is told of it.
pub(crate) struct Corner {
    pub(crate) url: String,
    pub(crate) flags: Vec<String>,
    pub(crate) variables: Vec<(&'static str, &'static str)>,
}

impl Place {
    pub(crate) fn open(kind: Kind) -> Result<Self> {
        let server = match kind {
            Kind::Local => None,
            Kind::Azurite => Some(Server::azurite()?),
            Kind::S3 => Some(Server::s3(S3Server::Versitygw, KEY, SECRET)?),
        };
        Ok(Self { kind, server, folder: TempDir::with_prefix("rfuse-conformance-store-")? })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// An empty container, bucket or folder called `name`.
    pub(crate) fn corner(&self, name: &str) -> Result<Corner> {
        let Some(server) = &self.server else {
            let folder = self.folder.path().join(name);
            std::fs::create_dir(&folder)?;
            return Ok(Corner {
                url: format!("file://{}", folder.display()),
                flags: Vec::new(),
                variables: Vec::new(),
            });
        };
        let mut config = StoreConfig::at(match self.kind {
            Kind::S3 => Location::S3 { bucket: name.to_owned(), prefix: Vec::new() },
            _ => Location::Azure { account: ACCOUNT.to_owned(), container: name.to_owned(), prefix: Vec::new() },
        });
        config.endpoint = Some(server.url.clone());
        config.azure = AzureCredential::Anonymous;
        config.aws = AwsCredential::Keys { id: KEY.to_owned(), secret: Secret::new(SECRET), session_token: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(rfuse_store::testing::create_container(&config))?;
        let (url, variables) = match self.kind {
            Kind::S3 => (format!("s3://{name}"), vec![("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET)]),
            _ => (format!("az://{ACCOUNT}/{name}"), Vec::new()),
        };
        Ok(Corner { url, flags: vec!["--endpoint".to_owned(), server.url.clone()], variables })
    }
}
