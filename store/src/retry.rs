//! Faults of the store that pass, hidden from those who wait.
//!
//! A failed call is sent again after a pause that grows and is drawn at random, so that many readers do not
//! come back at once. A GET asks only for the bytes that are still missing, and only of the version whose
//! bytes have landed. Bounded three ways: tries, time for the whole call, and no pause that would outlast it.

mod pause;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rfuse_block::ByteRange;
use rfuse_config::Limits;
use tokio::time::{Instant, sleep, timeout_at};

use self::pause::longest_pause;
use crate::around::{Again, Answer, Call, store_around};
use crate::{Fetched, Get, Landing, Meter, Operation, Store, StoreError, StoreErrorKind};

/// Requests at most for one call, whatever the configuration says.
const TRIES_MAX: u32 = 10;

/// A call that moves bytes may take this much longer: a second for each MiB.
const SLOWEST_BYTES_PER_SECOND: u64 = 1 << 20;

/// A store that is asked again when it fails in passing.
#[derive(Debug)]
pub struct Retrying {
    inner: Arc<dyn Store>,
    tries: u32,
    patience: Duration,
    meter: Arc<Meter>,
}

impl Retrying {
    /// Asks `inner` up to `limits.tries` times (1 to 10) within `limits.call_timeout`, and a second longer
    /// for each MiB that is moved.
    pub fn new(inner: Arc<dyn Store>, limits: &Limits) -> Self {
        Self { inner, tries: limits.tries.clamp(1, TRIES_MAX), patience: limits.call_timeout, meter: Arc::default() }
    }

    /// Counts what is sent again in `meter`.
    pub fn counting_in(self, meter: Arc<Meter>) -> Self {
        Self { meter, ..self }
    }

    async fn get_through(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
        let before = landing.filled();
        let mut effort = self.effort(get.range.length());
        loop {
            let landed = landing.filled() - before;
            // A store that cannot say which version it delivers leaves nothing to go on with.
            let pinned = if landed > 0 { landing.version().cloned() } else { None };
            let rest = Get { version: get.version.or(pinned.as_ref()), range: get.range.skip(landed), ..get };
            let error = match effort.limit(Operation::Get, self.inner.get(rest, landing)).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => about_the_whole(error, get.range, landed),
            };
            let landed = landing.filled() - before;
            let can_go_on = landed < get.range.length() && (landed == 0 || get.version.or(landing.version()).is_some());
            match effort.after(error, can_go_on) {
                Ok(pause) => self.pause(pause).await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn through<T: Answer, F: Future<Output = Result<T, StoreError>>>(
        &self,
        call: Call<'_>,
        send: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        let mut effort = self.effort(call.sends);
        let mut may_have_happened = false;
        loop {
            let error = match effort.limit(call.operation, send()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if may_have_happened
                && error.kind == StoreErrorKind::NotFound
                && let Some(done) = T::of_done()
            {
                return Ok(done);
            }
            let error = if may_have_happened { perhaps_ours(error, call) } else { error };
            may_have_happened |= leaves_doubt(error.kind);
            match effort.after(error, true) {
                Ok(pause) => self.pause(pause).await,
                Err(error) => return Err(StoreError { key: error.key.clone().or(call.key.cloned()), ..error }),
            }
        }
    }

    async fn pause(&self, pause: Duration) {
        sleep(pause).await;
        self.meter.retry();
    }

    fn effort(&self, bytes: u64) -> Effort {
        let transfer = Duration::from_millis(bytes.saturating_mul(1000) / SLOWEST_BYTES_PER_SECOND);
        Effort { tries: self.tries, sent: 0, until: Instant::now() + self.patience + transfer }
    }
}

store_around!(Retrying);

/// What one call has cost so far, and may still cost.
struct Effort {
    tries: u32,
    sent: u32,
    until: Instant,
}

impl Effort {
    /// One try, ended by force when the time is up.
    async fn limit<T>(
        &mut self,
        operation: Operation,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.sent += 1;
        timeout_at(self.until, answer).await.unwrap_or_else(|_| {
            Err(StoreError::new(StoreErrorKind::TimedOut, operation, "the store did not answer in the time allowed"))
        })
    }

    /// How long to pause before the next try; the error when there is none.
    fn after(&self, mut error: StoreError, can_go_on: bool) -> Result<Duration, StoreError> {
        error.attempts = self.sent;
        if !can_go_on || !error.kind.is_transient() || self.sent >= self.tries {
            return Err(error);
        }
        let longest = longest_pause(self.sent);
        let drawn = Duration::from_micros(fastrand::u64(..=longest.as_micros() as u64));
        let pause = drawn.max(error.retry_after.unwrap_or_default());
        if Instant::now() + pause >= self.until { Err(error) } else { Ok(pause) }
    }
}

/// A range that ends after the object is `Cut`, also when the end was found by asking for the rest.
fn about_the_whole(error: StoreError, range: ByteRange, landed: u64) -> StoreError {
    if error.kind != StoreErrorKind::PastEnd || landed == 0 {
        return error;
    }
    let message = format!("the object ends {} bytes before the end of the range {range}", range.length() - landed);
    StoreError { kind: StoreErrorKind::Cut, message, ..error }
}

/// Whether a call that failed like this may have been carried out all the same.
fn leaves_doubt(kind: StoreErrorKind) -> bool {
    use StoreErrorKind as Kind;
    matches!(kind, Kind::Unavailable | Kind::Cut | Kind::TimedOut | Kind::Malformed | Kind::Unreachable)
}

/// Says so when a refusal may come from what an earlier try of the same call did.
fn perhaps_ours(error: StoreError, call: Call<'_>) -> StoreError {
    use StoreErrorKind as Kind;
    let is_refusal = matches!(error.kind, Kind::Exists | Kind::Changed | Kind::NotFound);
    if call.again == Again::Same || !is_refusal {
        return error;
    }
    let message = format!("{}; an earlier try, whose answer was lost, may have done it", error.message);
    StoreError { message, ..error }
}

#[cfg(test)]
mod tests;
