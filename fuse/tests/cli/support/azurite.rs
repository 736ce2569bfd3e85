//! A fresh container of the emulator that `RFUSE_TEST_AZURITE` names.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rfuse_block::ObjectKey;
use rfuse_config::{ParsedUrl, Secret, StoreConfig};
use rfuse_store::{AzureStore, Precondition, PutOptions, Store, testing};
use tokio::runtime::Runtime;

/// A container, and who may write into it.
pub(crate) struct Azurite {
    pub(crate) endpoint: String,
    config: StoreConfig,
    runtime: Runtime,
}

impl Azurite {
    /// None, said aloud, without the emulator.
    pub(crate) fn new() -> Option<Self> {
        Self::at("RFUSE_TEST_AZURITE", None)
    }

    /// The emulator that speaks TLS, and the file of its certificate.
    pub(crate) fn with_tls() -> Option<(Self, String)> {
        let certificate = std::env::var("RFUSE_TEST_AZURITE_CA").unwrap_or_default();
        Some((Self::at("RFUSE_TEST_AZURITE_TLS", Some(certificate.clone()))?, certificate))
    }

    fn at(variable: &str, ca_file: Option<String>) -> Option<Self> {
        let Ok(endpoint) = std::env::var(variable) else {
            eprintln!("SKIPPED: {variable} is not set");
            return None;
        };
        let url = format!("az://devstoreaccount1/cli-{:016x}", fastrand::u64(..));
        let location = ParsedUrl::parse(&url, None).unwrap().location;
        let ca_file = ca_file.map(Into::into);
        // Nobody is the emulator's owner.
        let config = StoreConfig { endpoint: Some(endpoint.clone()), ca_file, ..StoreConfig::at(location) };
        let runtime = Runtime::new().unwrap();
        runtime.block_on(testing::create_container(&config)).unwrap();
        Some(Self { endpoint, config, runtime })
    }

    /// `az://devstoreaccount1/CONTAINER`.
    pub(crate) fn url(&self) -> String {
        self.config.location.to_string()
    }

    pub(crate) fn put(&self, key: &str, body: impl Into<Bytes>) {
        self.put_with(key, body, &[]);
    }

    pub(crate) fn put_with(&self, key: &str, body: impl Into<Bytes>, metadata: &[(&str, &str)]) {
        let metadata: BTreeMap<_, _> = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let options = PutOptions { content_type: None, metadata };
        let (key, body) = (ObjectKey::from(key), body.into());
        self.runtime.block_on(async {
            let (store, _) = AzureStore::open(&self.config).await.unwrap();
            store.put(&key, body, &Precondition::None, &options).await.unwrap();
        });
    }

    /// A SAS for the container that is good for `permissions` and ends in so many seconds, or ended so many ago.
    pub(crate) fn sas(&self, permissions: &str, seconds: i64) -> Secret {
        let (now, span) = (SystemTime::now(), Duration::from_secs(seconds.unsigned_abs()));
        let expiry = if seconds < 0 { now - span } else { now + span };
        self.runtime.block_on(testing::container_sas(&self.config, permissions, expiry)).unwrap()
    }
}
