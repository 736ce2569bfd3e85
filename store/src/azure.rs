//! Azure Blob Storage over its REST interface, for flat and hierarchical accounts as far as the blob endpoint
//! goes.
//!
//! One call is one request. Names go into the URL byte for byte; what Azure cannot hold is refused here. The
//! credential is taken out of its cell for every request; after a refusal its source is asked once for a
//! better one. Neither URLs nor what the store echoes ever get into an error.

mod auth;
mod authority;
mod endpoint;
mod listing;
mod name;
mod read;
mod refusal;
mod request;
mod sas;
mod shared_key;
mod token;
mod write;
mod xml;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Response};
use hyper::body::Incoming;
use rfuse_block::{ByteRange, ObjectKey, Version};
use rfuse_config::{Location, StoreConfig};

use crate::credential::{self, CredentialControl};
use crate::http::HttpClient;
use crate::{
    Fetched, Get, Landing, ListPage, ListRequest, ObjectMeta, Operation, PartTag, Precondition, PutOptions, Store,
    StoreError, StoreErrorKind, UploadId,
};
use auth::Auth;
use authority::Authority;
use endpoint::Endpoint;
use request::{Call, Container};

/// One container of an Azure storage account. Keys are whole blob names.
pub struct AzureStore {
    container: Arc<Container>,
    authority: Arc<Authority>,
    /// Uploads given up lately, which must not be completed by mistake.
    given_up: Mutex<VecDeque<UploadId>>,
}

/// So many uploads given up are remembered; the oldest is forgotten first.
const REMEMBERED: usize = 1024;

impl AzureStore {
    /// The container that `config` names, and the handle on its credential. Static credentials cost no
    /// request; a token is fetched. Must be called inside a tokio runtime, which then watches the credential
    /// file or renews the token for as long as store or handle live.
    ///
    /// # Errors
    /// `BadCredential` and `NoCredential` for the credential, `NoHost` for a malformed endpoint or account,
    /// `Tls` for the CA file, `Unsupported` when `config` is not about Azure.
    pub async fn open(config: &StoreConfig) -> Result<(Self, Arc<dyn CredentialControl>), StoreError> {
        Self::open_watching(config, credential::INTERVAL).await
    }

    async fn open_watching(
        config: &StoreConfig,
        interval: Duration,
    ) -> Result<(Self, Arc<dyn CredentialControl>), StoreError> {
        let Location::Azure { account, container, .. } = &config.location else {
            return Err(StoreError::new(StoreErrorKind::Unsupported, Operation::Head, "not an Azure location"));
        };
        let ca_file = config.ca_file.as_deref();
        let http = HttpClient::new(&config.limits, ca_file)?;
        let machine = HttpClient::direct(&config.limits)?;
        let endpoint = Endpoint::new(account, config.endpoint.as_deref())?;
        let container = Arc::new(Container::new(http, endpoint, container));
        let authority = Arc::new(Authority::open(container.clone(), machine, &config.azure).await?);
        credential::watch(&authority, interval);
        Authority::keep_tokens_fresh(&authority);
        Ok((Self { container, authority: authority.clone(), given_up: Mutex::default() }, authority))
    }

    /// Makes the container, for emulators, demonstrations and tests; an existing one is left alone.
    ///
    /// # Errors
    /// What the store says.
    pub async fn create_container(&self) -> Result<(), StoreError> {
        let call = || Ok(Call::new(Method::PUT, self.container.path().to_owned()).query("restype", "container"));
        match self.send(Operation::Put, call).await {
            Err(error) if error.code.as_deref() == Some("ContainerAlreadyExists") => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// A SAS for the container; none unless an account key is in use.
    #[cfg(feature = "testing")]
    pub(crate) fn container_sas(
        &self,
        permissions: &str,
        expiry: std::time::SystemTime,
    ) -> Option<rfuse_config::Secret> {
        let Auth::Key(key) = &*self.authority.current() else { return None };
        Some(key.container_sas(&self.container.name, permissions, expiry))
    }

    fn given_up(&self) -> MutexGuard<'_, VecDeque<UploadId>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what `make` builds; twice when the credential was refused and a better one was found.
    async fn send(
        &self,
        operation: Operation,
        make: impl Fn() -> Result<Call, StoreError>,
    ) -> Result<Response<Incoming>, StoreError> {
        self.send_with(operation, |_| make()).await
    }

    /// As [`AzureStore::send`], for calls that also carry the credential in a header.
    async fn send_with(
        &self,
        operation: Operation,
        make: impl Fn(&Auth) -> Result<Call, StoreError>,
    ) -> Result<Response<Incoming>, StoreError> {
        let auth = self.authority.current();
        let refused = match self.container.send_as(operation, &auth, make(&auth)?).await {
            Err(error) if matches!(error.status, Some(401 | 403)) => error,
            outcome => return outcome,
        };
        if !self.authority.renew(&auth).await {
            return Err(refused);
        }
        let auth = self.authority.current();
        self.container.send_as(operation, &auth, make(&auth)?).await.map_err(|mut error| {
            error.attempts = 2;
            error
        })
    }
}

impl fmt::Debug for AzureStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AzureStore({}/{})", self.container.endpoint.account, self.container.name)
    }
}

#[async_trait]
impl Store for AzureStore {
    async fn get(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
        self.read_range(get, landing).await.map_err(|error| error.about(get.key))
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        self.read_meta(key).await.map_err(|error| error.about(key))
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<ListPage, StoreError> {
        self.read_page(request).await
    }

    async fn put(
        &self,
        key: &ObjectKey,
        body: Bytes,
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError> {
        self.write_whole(key, body, condition, options).await.map_err(|error| error.about(key))
    }

    async fn begin_upload(&self, key: &ObjectKey, _: &PutOptions) -> Result<UploadId, StoreError> {
        name::text(Operation::Upload, key)?;
        Ok(write::new_upload())
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
    ) -> Result<PartTag, StoreError> {
        self.write_block(key, upload, number, body).await.map_err(|error| error.about(key))
    }

    async fn copy_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        source: &ObjectKey,
        version: &Version,
        range: ByteRange,
    ) -> Result<PartTag, StoreError> {
        let copied = self.write_block_from(key, upload, number, (source, version), range).await;
        copied.map_err(|error| error.about(key))
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: &Precondition,
        options: &PutOptions,
    ) -> Result<Version, StoreError> {
        if self.given_up().contains(upload) {
            let message = "the upload was given up";
            return Err(StoreError::new(StoreErrorKind::NotFound, Operation::Upload, message).about(key));
        }
        self.commit_blocks(key, parts, condition, options).await.map_err(|error| error.about(key))
    }

    /// Sends nothing: Azure has no call for it. Uncommitted blocks are dropped by the next commit of the same
    /// object, or by themselves after a week.
    async fn abort_upload(&self, _: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
        let mut given_up = self.given_up();
        given_up.push_back(upload.clone());
        if given_up.len() > REMEMBERED {
            given_up.pop_front();
        }
        Ok(())
    }

    async fn copy(
        &self,
        source: &ObjectKey,
        target: &ObjectKey,
        condition: &Precondition,
    ) -> Result<Version, StoreError> {
        self.copy_whole(source, target, condition).await.map_err(|error| error.about(source))
    }

    /// Deletes the snapshots of the object with it.
    async fn delete(&self, key: &ObjectKey, version: Option<&Version>) -> Result<(), StoreError> {
        self.remove(key, version).await.map_err(|error| error.about(key))
    }
}
