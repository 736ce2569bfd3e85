//! How many requests are in flight, and who goes first.
//!
//! Two classes wait in line: readers (demand) before fetch-ahead, first come first served within a class.
//! The last few places are never given to fetch-ahead, so that a reader does not have to wait for one of its
//! requests to end, and fetch-ahead takes fewer where small reads have to wait because of it. A place is given back when the request ends or is dropped.

mod courtesy;
mod gate;

use std::future::Future;
use std::sync::Arc;

use crate::around::{Answer, Call, store_around};
use crate::{Fetched, Get, Landing, Store, StoreError, Urgency};
use courtesy::SMALL;
use gate::SmallRead;

pub use gate::{Gate, GateSnapshot};

/// A store with a bound on requests in flight.
#[derive(Debug)]
pub struct Limited {
    inner: Arc<dyn Store>,
    gate: Arc<Gate>,
}

impl Limited {
    /// Lets requests to `inner` pass `gate`.
    pub fn new(inner: Arc<dyn Store>, gate: Arc<Gate>) -> Self {
        Self { inner, gate }
    }

    async fn get_through(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
        let is_small = get.urgency == Urgency::Demand && get.range.length() <= SMALL;
        let small = is_small.then(|| self.gate.small_read());
        let _place = self.gate.enter(get.urgency).await;
        let fetched = self.inner.get(get, landing).await?;
        small.iter().for_each(SmallRead::answered);
        Ok(fetched)
    }

    async fn through<T: Answer, F: Future<Output = Result<T, StoreError>>>(
        &self,
        call: Call<'_>,
        send: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        let _place = self.gate.enter(call.urgency).await;
        send().await
    }
}

store_around!(Limited);
