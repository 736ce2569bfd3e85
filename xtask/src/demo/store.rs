//! What plays the bucket.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use rfuse_config::{AzureCredential, Location, StoreConfig};
use rfuse_store::{Precondition, PutOptions};

use super::sample::{LOG, TOKENS};
use crate::servers::Server;
use crate::shell::step;

/// Which store the demo uses.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// A folder of this machine.
    Folder,
    /// Azurite over HTTP on loopback.
    Azurite,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "a folder on this machine plays the bucket",
            Self::Azurite => "Azurite on this machine plays Azure Blob Storage",
        })
    }
}

/// The container of the demo at Azurite.
const CONTAINER: &str = "rfuse-demo";

/// A store with the sample data in it.
pub(super) enum Bucket {
    Folder(String),
    Azurite(Server),
}

impl Bucket {
    /// Puts the files of `folder` where the kind wants them.
    pub(super) fn open(kind: Kind, folder: &Path) -> Result<Self> {
        match kind {
            Kind::Folder => Ok(Self::Folder(format!("file://{}", folder.display()))),
            Kind::Azurite => {
                let server = Server::azurite()?;
                step("upload", format_args!("to {}/{CONTAINER}", server.url));
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?
                    .block_on(upload(&server, folder))?;
                Ok(Self::Azurite(server))
            }
        }
    }

    /// What `rfuse mount` is given.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Folder(url) => url.clone(),
            Self::Azurite(_) => format!("az://devstoreaccount1/{CONTAINER}"),
        }
    }

    /// The flags beside the URL.
    pub(super) fn flags(&self) -> Vec<String> {
        match self {
            Self::Folder(_) => Vec::new(),
            Self::Azurite(server) => vec!["--endpoint".to_owned(), server.url.clone()],
        }
    }
}

/// Sends the two files in blocks of 8 MiB.
async fn upload(server: &Server, folder: &Path) -> Result<()> {
    const PART: usize = 8 << 20;
    let location =
        Location::Azure { account: "devstoreaccount1".into(), container: CONTAINER.into(), prefix: Vec::new() };
    let mut config = StoreConfig::at(location);
    config.endpoint = Some(server.url.clone());
    config.azure = AzureCredential::Anonymous;
    rfuse_store::testing::create_container(&config).await?;
    let store = rfuse_store::open(&config).await?.store;
    for name in [TOKENS, LOG] {
        let content = Bytes::from(std::fs::read(folder.join(name)).with_context(|| name.to_owned())?);
        let key = name.into();
        let options = PutOptions::default();
        let upload = store.begin_upload(&key, &options).await?;
        let mut tags = Vec::new();
        for (number, start) in (1..).zip((0..content.len()).step_by(PART)) {
            let part = content.slice(start..content.len().min(start + PART));
            tags.push(store.put_part(&key, &upload, number, part).await?);
        }
        store.complete_upload(&key, &upload, &tags, &Precondition::None, &options).await?;
    }
    Ok(())
}
