//! What signs requests, and how it is renewed.
//!
//! The idea: the hot path takes a signer out of a cell and compares one moment with one other. Ahead of its
//! expiry a credential is renewed behind the back of the requests, which go on with the old one; past it, they
//! wait. However many ask, one request goes to the issuer, and after a failure none for a while.

mod ini;
mod issuer;
mod process;
mod profile;
mod source;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use reqsign_core::Context;
use rfuse_config::AwsCredential;
use tokio::sync::OwnedMutexGuard;

use super::refusal::Asked;
use super::signature::Signer;
use super::wire::Wire;
use crate::credential::{self, CredentialCell, CredentialControl, Reloaded, Watched};
use crate::{Operation, StoreError, StoreErrorKind};
pub(super) use issuer::world;
pub(super) use profile::{ProfileFiles, chosen};
use source::{Loaded, Source};

/// A credential is renewed this long before it expires, or after three quarters of a shorter life.
const LEAD: Duration = Duration::from_secs(300);

/// After a renewal that failed or changed nothing, the issuer is left alone this long.
const PAUSE: Duration = Duration::from_secs(10);

/// The credential of a store.
pub(super) struct Credentials {
    cell: CredentialCell<Held>,
    source: Source,
    world: Context,
    wire: Arc<Wire>,
    /// Held by the one who asks the issuer.
    renewal: Arc<tokio::sync::Mutex<()>>,
    /// When the issuer may be asked again, and what it said last.
    pause: Mutex<Option<(Instant, Option<StoreError>)>>,
}

/// A credential in use.
#[derive(Debug)]
pub(super) struct Held {
    loaded: Option<Loaded>,
    signer: Option<Signer>,
    renew_at: Option<SystemTime>,
}

/// How far a credential is through its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Age {
    Fresh,
    Ageing,
    Spent,
}

impl Held {
    fn new(loaded: Option<Loaded>, region: &str, now: SystemTime) -> Result<Self, StoreError> {
        let signer = match &loaded {
            Some(loaded) => Some(loaded.signer(region)?),
            None => None,
        };
        let renew_at = loaded.as_ref().and_then(|loaded| loaded.expiry).map(|expiry| {
            let life = expiry.duration_since(now).unwrap_or_default();
            expiry - LEAD.min(life / 4)
        });
        Ok(Self { loaded, signer, renew_at })
    }

    /// What signs; none for nobody.
    pub(super) fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    fn expiry(&self) -> Option<SystemTime> {
        self.loaded.as_ref()?.expiry
    }

    fn age(&self, now: SystemTime) -> Age {
        match (self.expiry(), self.renew_at) {
            (Some(expiry), _) if now >= expiry => Age::Spent,
            (_, Some(renew_at)) if now >= renew_at => Age::Ageing,
            _ => Age::Fresh,
        }
    }

    /// Whether `error` is what an expired credential meets. A HEAD only says 400.
    pub(super) fn may_have_expired(&self, error: &StoreError) -> bool {
        let has_token = self.loaded.as_ref().is_some_and(|loaded| loaded.token.is_some());
        let bare_400 = error.status == Some(400) && error.code.is_none() && error.kind == StoreErrorKind::Other;
        has_token && (error.kind == StoreErrorKind::Expired || bare_400)
    }

    /// `error`, met with this credential and to be reported: says where the credential came from.
    pub(super) fn explain(&self, mut error: StoreError) -> StoreError {
        let Some(loaded) = &self.loaded else { return error };
        error.message = if error.kind == StoreErrorKind::Expired {
            format!("the credential has expired; renew it at its source ({})", loaded.origin)
        } else {
            format!("the store refuses the request; perhaps the session token from {} has expired", loaded.origin)
        };
        error
    }
}

impl Credentials {
    /// Loads the credential that `choice` names; a file it came from is watched from then on.
    ///
    /// # Errors
    /// `NoCredential` when there is none.
    pub(super) async fn open(choice: &AwsCredential, world: Context, wire: Arc<Wire>) -> Result<Arc<Self>, StoreError> {
        let source = Source::of(choice, wire.bucket.region());
        let held = Held::new(source.load(&world).await?, wire.bucket.region(), SystemTime::now())?;
        let watched = held.loaded.as_ref().is_some_and(|loaded| loaded.file.is_some());
        let this = Arc::new(Self {
            cell: CredentialCell::new(held),
            source,
            world,
            wire,
            renewal: Arc::default(),
            pause: Mutex::default(),
        });
        if watched {
            credential::watch(&this, credential::INTERVAL);
        }
        Ok(this)
    }

    /// The credential to sign with now.
    ///
    /// # Errors
    /// `NoCredential` or `Expired` when the old one has expired and the source gives no other.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<Held>, StoreError> {
        let held = self.cell.get();
        match held.age(SystemTime::now()) {
            Age::Fresh => Ok(held),
            Age::Ageing => {
                self.renew_behind();
                Ok(held)
            }
            Age::Spent => self.renewed(&held).await,
        }
    }

    /// Another credential than `refused`, which the store calls expired; none when there is none.
    pub(super) async fn after_refusal(self: &Arc<Self>, refused: &Arc<Held>) -> Option<Arc<Held>> {
        let fresh = self.renewed(refused).await.ok()?;
        (!Arc::ptr_eq(&fresh, refused)).then_some(fresh)
    }

    /// Renews in the background, unless somebody does already.
    fn renew_behind(self: &Arc<Self>) {
        if self.paused().is_some() {
            return;
        }
        if let Ok(turn) = self.renewal.clone().try_lock_owned() {
            tokio::spawn(self.clone().renew(turn));
        }
    }

    /// What replaces `stale`. The renewal goes on when the caller gives up, so that nobody has to begin anew.
    async fn renewed(self: &Arc<Self>, stale: &Arc<Held>) -> Result<Arc<Held>, StoreError> {
        let turn = self.renewal.clone().lock_owned().await;
        let current = self.cell.get();
        if !Arc::ptr_eq(&current, stale) {
            return Ok(current);
        }
        if let Some(refused) = self.paused() {
            return Err(refused.unwrap_or_else(|| expired(stale)));
        }
        let renewal = tokio::spawn(self.clone().renew(turn));
        renewal.await.unwrap_or_else(|_| Err(expired(stale)))?;
        let fresh = self.cell.get();
        if fresh.age(SystemTime::now()) == Age::Spent && Arc::ptr_eq(&fresh, stale) {
            Err(expired(stale))
        } else {
            Ok(fresh)
        }
    }

    /// Asks the source once, in one's turn.
    async fn renew(self: Arc<Self>, turn: OwnedMutexGuard<()>) -> Result<(), StoreError> {
        let outcome = self.load().await;
        match &outcome {
            Ok(Some(held)) => tracing::info!(source = %held.origin(), "credential renewed"),
            Ok(None) => self.pause(None),
            Err(error) => {
                tracing::warn!(%error, "the credential could not be renewed");
                self.pause(Some(error.clone()));
            }
        }
        let renewed = outcome.map(|held| held.into_iter().for_each(|held| self.cell.swap(held)));
        drop(turn);
        renewed
    }

    /// What the source has now; none when it is what is in use.
    async fn load(&self) -> Result<Option<Held>, StoreError> {
        let loaded = self.source.load(&self.world).await?;
        if loaded == self.cell.get().loaded {
            return Ok(None);
        }
        Held::new(loaded, self.wire.bucket.region(), SystemTime::now()).map(Some)
    }

    /// A request with `held` whose only question is whether it is accepted: lacking a permission is no flaw.
    async fn test(&self, held: &Held) -> Result<(), StoreError> {
        let uri = self.wire.bucket.itself(Operation::List, "encoding-type=url&list-type=2&max-keys=1&prefix=")?;
        let request = self.wire.request(http::Method::GET, uri, bytes::Bytes::new());
        match self.wire.exchange(Asked::plain(Operation::List), request, b"", held.signer()).await {
            Err(error) if error.kind != StoreErrorKind::Denied => Err(error),
            _ => Ok(()),
        }
    }

    fn pause(&self, refused: Option<StoreError>) {
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now() + PAUSE, refused));
    }

    fn paused(&self) -> Option<Option<StoreError>> {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        match &*pause {
            Some((until, refused)) if Instant::now() < *until => Some(refused.clone()),
            _ => {
                *pause = None;
                None
            }
        }
    }
}

impl Held {
    fn origin(&self) -> &str {
        self.loaded.as_ref().map_or("nobody: only public buckets answer", |loaded| &loaded.origin)
    }
}

#[async_trait]
impl CredentialControl for Credentials {
    fn describe(&self) -> String {
        self.cell.get().origin().to_owned()
    }

    fn expiry(&self) -> Option<SystemTime> {
        self.cell.get().expiry()
    }

    async fn reload(&self) -> Result<Reloaded, StoreError> {
        let _turn = self.renewal.lock().await;
        let Some(held) = self.load().await? else { return Ok(Reloaded::Unchanged) };
        self.test(&held).await?;
        self.cell.swap(held);
        Ok(Reloaded::Swapped)
    }
}

impl Watched for Credentials {
    fn path(&self) -> Option<PathBuf> {
        self.cell.get().loaded.as_ref().and_then(|loaded| loaded.file.clone())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.describe())
    }
}

fn expired(held: &Held) -> StoreError {
    held.explain(StoreError::new(StoreErrorKind::Expired, Operation::Credential, "the credential has expired"))
}

#[cfg(test)]
mod tests;
