//! Keeps the credential of a mount fresh: a SAS file that changes, a token that runs out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::Method;
use rfuse_block::ObjectKey;
use rfuse_config::{AzureCredential, Secret};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::auth::Auth;
use super::request::{Call, Container};
use super::sas::SasToken;
use super::shared_key::SharedKey;
use super::token::TokenSource;
use crate::credential::{CredentialCell, CredentialControl, Reloaded, Watched};
use crate::http::HttpClient;
use crate::{Operation, StoreError, StoreErrorKind};

/// Account and public key of the emulator, the same everywhere.
/// Source: "Use the Azurite emulator", well-known storage account and key.
pub(super) const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
const EMULATOR_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The file of a mounted Kubernetes secret that holds the SAS, as blob.csi.azure.com names it.
const SECRET_KEY_OF_SAS: &str = "azurestorageaccountsastoken";

/// A token is renewed this long before its end.
const EARLY: Duration = Duration::from_secs(300);

/// After refused requests the source is asked again at most this often.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);
const TOKEN_RENEWAL_PAUSE: Duration = Duration::from_secs(10);

/// An issuer that hands out the same token again is asked at most this often.
const ISSUER_PAUSE: Duration = Duration::from_secs(30);

/// A SAS file is no longer than this.
const SAS_FILE_LIMIT: u64 = 64 * 1024;

/// Where the credential comes from.
enum Source {
    /// Given outright.
    Fixed(&'static str),
    /// A file, or the folder of a mounted secret.
    SasFile(PathBuf),
    /// An issuer of tokens.
    Tokens(TokenSource, HttpClient),
}

/// Holds the credential and renews it.
pub(super) struct Authority {
    container: Arc<Container>,
    cell: CredentialCell<Auth>,
    source: Source,
    /// When the source was last asked; one renewal at a time.
    renewals: Mutex<Option<Instant>>,
}

impl Authority {
    /// The credential that `config` names, ready for use; not tested yet. `machine` reaches the metadata
    /// service of this machine, without a proxy.
    ///
    /// # Errors
    /// `BadCredential` for a malformed one, `NoCredential` when its source gives none.
    pub(super) async fn open(
        container: Arc<Container>,
        machine: HttpClient,
        config: &AzureCredential,
    ) -> Result<Self, StoreError> {
        let account = &container.endpoint.account;
        let env = |name: &str| std::env::var(name).ok();
        let source = match config {
            AzureCredential::Anonymous if account == EMULATOR_ACCOUNT => {
                Source::Fixed("the emulator's own account key")
            }
            AzureCredential::Anonymous => Source::Fixed("none (public container)"),
            AzureCredential::Sas(_) => Source::Fixed("SAS"),
            AzureCredential::AccountKey(_) => Source::Fixed("account key"),
            AzureCredential::SasFile(path) => Source::SasFile(path.clone()),
            AzureCredential::ManagedIdentity { client_id } => {
                Source::Tokens(TokenSource::managed_identity(client_id.clone(), env), machine)
            }
            AzureCredential::WorkloadIdentity => {
                Source::Tokens(TokenSource::workload_identity(env)?, container.http.clone())
            }
            AzureCredential::Cli => Source::Tokens(TokenSource::Cli, machine),
        };
        if matches!(source, Source::Tokens(..)) && container.endpoint.is_plain() && !container.endpoint.is_local() {
            let message = "a token is not sent over http; use an https endpoint";
            return Err(StoreError::new(StoreErrorKind::BadCredential, Operation::Credential, message));
        }
        let auth = match config {
            AzureCredential::Anonymous if account == EMULATOR_ACCOUNT => key(account, &Secret::new(EMULATOR_KEY))?,
            AzureCredential::AccountKey(secret) => key(account, secret)?,
            AzureCredential::Sas(secret) => sas(secret.reveal())?,
            _ => source.fetch().await?.unwrap_or(Auth::Anonymous),
        };
        Ok(Self { container, cell: CredentialCell::new(auth), source, renewals: Mutex::new(None) })
    }

    /// The credential in use.
    pub(super) fn current(&self) -> Arc<Auth> {
        self.cell.get()
    }

    /// After `used` was refused: whether there is another credential now with which to try once more.
    pub(super) async fn renew(&self, used: &Arc<Auth>) -> bool {
        let pause = match self.source {
            Source::Fixed(_) => return false,
            Source::SasFile(_) => RENEWAL_PAUSE,
            Source::Tokens(..) => TOKEN_RENEWAL_PAUSE,
        };
        let mut last = self.renewals.lock().await;
        if !Arc::ptr_eq(&self.current(), used) {
            return true;
        }
        if last.is_some_and(|last| last.elapsed() < pause) {
            return false;
        }
        let outcome = self.reload_now().await;
        *last = Some(Instant::now());
        match outcome {
            Ok(outcome) => outcome == Reloaded::Swapped,
            Err(error) => {
                tracing::debug!(source = %self.describe(), %error, "no better credential found");
                false
            }
        }
    }

    /// Fetches tokens ahead of their end until nobody holds the store any more.
    pub(super) fn keep_tokens_fresh(this: &Arc<Self>) {
        if !matches!(this.source, Source::Tokens(..)) {
            return;
        }
        let weak = Arc::downgrade(this);
        tokio::spawn(async move {
            let mut failures = 0u32;
            loop {
                let Some(this) = weak.upgrade() else { return };
                let left = this.expiry().and_then(|end| end.duration_since(SystemTime::now()).ok()).unwrap_or_default();
                let wait = match failures {
                    0 => left.saturating_sub(EARLY).max(ISSUER_PAUSE),
                    _ => Duration::from_secs(5 << failures.min(4)),
                };
                drop(this);
                // In steps, so that an unmounted store is let go and a suspended machine catches up.
                tokio::time::sleep(wait.min(Duration::from_secs(60))).await;
                let Some(this) = weak.upgrade() else { return };
                if failures == 0 && wait > Duration::from_secs(60) {
                    continue;
                }
                match this.reload().await {
                    Ok(_) => failures = 0,
                    Err(error) => {
                        failures += 1;
                        tracing::warn!(source = %this.describe(), %error, failures, "token not renewed, will try again");
                    }
                }
            }
        });
    }

    async fn reload_now(&self) -> Result<Reloaded, StoreError> {
        let Some(fresh) = self.source.fetch().await? else { return Ok(Reloaded::Unchanged) };
        match (&fresh, &*self.current()) {
            (Auth::Sas(new), Auth::Sas(old)) if new == old => return Ok(Reloaded::Unchanged),
            (Auth::Bearer(new), Auth::Bearer(old)) if new.header == old.header => return Ok(Reloaded::Unchanged),
            (Auth::Sas(_), _) => self.test(&fresh).await?,
            _ => {}
        }
        self.cell.swap(fresh);
        Ok(Reloaded::Swapped)
    }

    /// Whether the store believes `auth` and lets it read: it lists one name, or where the SAS may not list,
    /// asks for an object that is not there.
    async fn test(&self, auth: &Auth) -> Result<(), StoreError> {
        let list = Call::new(Method::GET, self.container.path().to_owned())
            .query("restype", "container")
            .query("comp", "list")
            .query("maxresults", "1");
        match self.container.send_as(Operation::List, auth, list).await {
            Err(error) if error.kind == StoreErrorKind::Denied => {}
            outcome => return outcome.map(drop),
        }
        let nothing = ObjectKey::from(format!(".rfuse-credential-test-{:016x}", fastrand::u64(..)).as_str());
        let path = self.container.object_path(Operation::Head, &nothing)?;
        match self.container.send_as(Operation::Head, auth, Call::new(Method::HEAD, path)).await {
            Err(error) if error.kind != StoreErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl CredentialControl for Authority {
    fn describe(&self) -> String {
        match &self.source {
            Source::Fixed(what) => (*what).to_owned(),
            Source::SasFile(path) => format!("SAS file {}", path.display()),
            Source::Tokens(source, _) => source.describe(),
        }
    }

    fn expiry(&self) -> Option<SystemTime> {
        self.current().expiry()
    }

    async fn reload(&self) -> Result<Reloaded, StoreError> {
        let mut last = self.renewals.lock().await;
        let outcome = self.reload_now().await;
        *last = Some(Instant::now());
        outcome
    }
}

impl Watched for Authority {
    fn path(&self) -> Option<PathBuf> {
        match &self.source {
            Source::SasFile(path) => Some(path.clone()),
            _ => None,
        }
    }
}

impl Source {
    /// A credential out of the source; none when it cannot give another one.
    async fn fetch(&self) -> Result<Option<Auth>, StoreError> {
        match self {
            Self::Fixed(_) => Ok(None),
            Self::SasFile(path) => Ok(Some(sas(read(path).await?.reveal())?)),
            Self::Tokens(source, http) => Ok(Some(Auth::Bearer(source.fetch(http).await?))),
        }
    }
}

/// The SAS in `path`, or in the one file of a mounted secret.
async fn read(path: &Path) -> Result<Secret, StoreError> {
    let unreadable = |why: &dyn fmt::Display| {
        let message = format!("the SAS file {} cannot be read: {why}", path.display());
        StoreError::new(StoreErrorKind::NoCredential, Operation::Credential, message)
    };
    let mut file = path.to_owned();
    let mut meta = tokio::fs::metadata(&file).await.map_err(|error| unreadable(&error))?;
    if meta.is_dir() {
        file.push(SECRET_KEY_OF_SAS);
        meta =
            tokio::fs::metadata(&file).await.map_err(|_| unreadable(&format!("it has no file {SECRET_KEY_OF_SAS}")))?;
    }
    if meta.len() > SAS_FILE_LIMIT {
        return Err(unreadable(&"it is too long for a SAS"));
    }
    tokio::fs::read_to_string(&file).await.map(Secret::new).map_err(|error| unreadable(&error))
}

fn sas(text: &str) -> Result<Auth, StoreError> {
    let bad = |error: super::sas::SasError| {
        StoreError::new(StoreErrorKind::BadCredential, Operation::Credential, error.to_string())
    };
    SasToken::parse(text).map(Auth::Sas).map_err(bad)
}

fn key(account: &str, secret: &Secret) -> Result<Auth, StoreError> {
    SharedKey::new(account, secret).map(Auth::Key).ok_or_else(|| {
        let message = "the account key is not base64; copy it again (a SAS is given as such)";
        StoreError::new(StoreErrorKind::BadCredential, Operation::Credential, message)
    })
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.describe())
    }
}
