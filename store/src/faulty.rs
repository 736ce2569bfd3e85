//! A store that fails on purpose, for tests (feature `testing`).
//!
//! Faults come from a script (the n-th call) or by chance from a seed; the same seed gives the same faults in
//! the same order of calls. What it spoils it spoils as real stores do: a cut body has delivered its first
//! bytes, a hang never answers.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::around::{Answer, Call, store_around};
use crate::{Fetched, Get, Landing, Operation, Store, StoreError, StoreErrorKind};

/// One way to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// 503: the store asks for patience, without saying how much.
    Throttled,
    /// 429 with `Retry-After`.
    RetryAfter(Duration),
    /// 500.
    Unavailable,
    /// The connection is refused.
    Unreachable,
    /// The connection breaks before the first byte of the body.
    Reset,
    /// The body ends after this many bytes; in a call without a body, as [`Fault::Reset`].
    CutAfter(u64),
    /// The answer is for other bytes than asked; none lands.
    WrongRange,
    /// The answer never comes.
    Hang,
    /// The answer comes after this time, and is right.
    Slow(Duration),
    /// 403.
    Denied,
    /// 412: the object has another version.
    Changed,
    /// The call is carried out, but its answer is lost. For a GET, as [`Fault::Reset`].
    AnswerLost,
}

/// A store around a store that fails on purpose.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Store>,
    /// Faults by the number of the call they meet, counted from 0 over all operations.
    script: BTreeMap<u64, Fault>,
    /// Share of the other calls that meet one of `faults`.
    share: f64,
    faults: Vec<Fault>,
    chance: Mutex<fastrand::Rng>,
    calls: AtomicU64,
    met: AtomicU64,
}

impl Faulty {
    /// Fails at the calls of `script`, numbered from 0, and at no other.
    pub fn scripted(inner: Arc<dyn Store>, script: impl IntoIterator<Item = (u64, Fault)>) -> Self {
        Self { script: script.into_iter().collect(), ..Self::by_chance(inner, 0, 0.0, &[]) }
    }

    /// Fails at a share (0.0 to 1.0) of the calls, drawn from `seed`, each time in one of the ways of `faults`.
    pub fn by_chance(inner: Arc<dyn Store>, seed: u64, share: f64, faults: &[Fault]) -> Self {
        Self {
            inner,
            script: BTreeMap::new(),
            share,
            faults: faults.to_vec(),
            chance: Mutex::new(fastrand::Rng::with_seed(seed)),
            calls: AtomicU64::new(0),
            met: AtomicU64::new(0),
        }
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Calls so far that met a fault.
    pub fn faults_met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }

    /// What befalls the next call.
    fn next(&self) -> Option<Fault> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let fault = self.script.get(&call).copied().or_else(|| self.drawn());
        self.met.fetch_add(fault.is_some().into(), Ordering::Relaxed);
        fault
    }

    fn drawn(&self) -> Option<Fault> {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        if self.faults.is_empty() || chance.f64() >= self.share {
            return None;
        }
        let which = chance.usize(..self.faults.len());
        Some(self.faults[which])
    }

    async fn get_through(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
        match self.next() {
            Some(Fault::CutAfter(bytes)) => {
                self.land_part(get, bytes.min(get.range.length().saturating_sub(1)), landing).await?;
                Err(error(Fault::CutAfter(bytes), Operation::Get).about(get.key))
            }
            Some(fault) => {
                befall(fault, Operation::Get).await.map_err(|error| error.about(get.key))?;
                self.inner.get(get, landing).await
            }
            None => self.inner.get(get, landing).await,
        }
    }

    /// Lands only the first `bytes` of what is asked.
    async fn land_part(&self, get: Get<'_>, bytes: u64, landing: &mut Landing<'_>) -> Result<(), StoreError> {
        if bytes == 0 {
            return Ok(());
        }
        let range = rfuse_block::ByteRange::at(get.range.start(), bytes);
        let mut part = vec![0; range.length() as usize];
        let fetched = self.inner.get(Get { range, ..get }, &mut Landing::one(&mut part)).await?;
        landing.pin(&fetched.version);
        // The part is shorter than the landing.
        let _ = landing.push(&part);
        Ok(())
    }

    async fn through<T: Answer, F: Future<Output = Result<T, StoreError>>>(
        &self,
        call: Call<'_>,
        send: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        match self.next() {
            Some(Fault::AnswerLost) => {
                send().await?;
                Err(error(Fault::AnswerLost, call.operation))
            }
            Some(fault) => {
                befall(fault, call.operation).await?;
                send().await
            }
            None => send().await,
        }
    }
}

store_around!(Faulty);

/// What happens instead of, or before, the call.
async fn befall(fault: Fault, operation: Operation) -> Result<(), StoreError> {
    match fault {
        Fault::Hang => std::future::pending().await,
        Fault::Slow(time) => {
            tokio::time::sleep(time).await;
            Ok(())
        }
        fault => Err(error(fault, operation)),
    }
}

fn error(fault: Fault, operation: Operation) -> StoreError {
    use StoreErrorKind as Kind;
    let (kind, status, text) = match fault {
        Fault::Throttled => (Kind::Throttled, Some(503), "made to fail: slow down"),
        Fault::RetryAfter(_) => (Kind::Throttled, Some(429), "made to fail: too many requests"),
        Fault::Unavailable => (Kind::Unavailable, Some(500), "made to fail: internal error"),
        Fault::Unreachable => (Kind::Unreachable, None, "made to fail: connection refused"),
        Fault::Reset | Fault::CutAfter(_) | Fault::AnswerLost => (Kind::Cut, None, "made to fail: connection reset"),
        Fault::WrongRange => (Kind::Malformed, Some(206), "made to fail: the answer is for other bytes"),
        Fault::Denied => (Kind::Denied, Some(403), "made to fail: not allowed"),
        Fault::Changed => (Kind::Changed, Some(412), "made to fail: another version"),
        Fault::Hang | Fault::Slow(_) => (Kind::TimedOut, None, "made to fail: no answer"),
    };
    let mut error = StoreError::new(kind, operation, text);
    error.status = status;
    if let Fault::RetryAfter(wait) = fault {
        error.retry_after = Some(wait);
    }
    error
}
