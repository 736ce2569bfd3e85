//! A second request against the slow tail, within a budget.
//!
//! When a GET has taken longer than nineteen of twenty like it, the same bytes are asked for once more; the
//! first answer wins and the other request is dropped. Only GETs of a stated version are doubled, so that
//! both answers are the same bytes, only those a reader waits for, and only while the line before the store
//! is empty: doubling what waits in line would make the line longer. Off unless a budget is configured.

mod usual;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::usual::Usual;
use crate::around::{Answer, Call, store_around};
use crate::{Fetched, Gate, Get, Landing, Store, StoreError, Urgency};

/// Larger GETs are not doubled: what they wait for is bandwidth.
const LENGTH_MAX: u64 = 1 << 20;

/// Second requests that may be saved up: so many can go out at once after a calm time.
const SAVED_MAX: f64 = 16.0;

/// A store whose slow GETs are sent twice.
#[derive(Debug)]
pub struct Hedged {
    inner: Arc<dyn Store>,
    gate: Arc<Gate>,
    /// Second requests that each GET allows for.
    budget: f64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Second requests that may be sent now.
    saved: f64,
    usual: Usual,
}

impl Hedged {
    /// Sends at most the share `budget` (0.0 to 1.0) of the GETs to `inner` twice, and none while readers
    /// wait at `gate`.
    pub fn new(inner: Arc<dyn Store>, gate: Arc<Gate>, budget: f64) -> Self {
        Self { inner, gate, budget: budget.clamp(0.0, 1.0), state: Mutex::default() }
    }

    async fn get_through(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
        if get.version.is_none() || get.urgency != Urgency::Demand || get.range.length() > LENGTH_MAX {
            return self.inner.get(get, landing).await;
        }
        let since = Instant::now();
        let answer = match self.begin(get.range.length()) {
            Some(usual) => self.race(get, landing, usual).await,
            None => self.inner.get(get, landing).await,
        };
        if answer.is_ok() {
            self.with_state(|state| state.usual.learn(get.range.length(), since.elapsed()));
        }
        answer
    }

    /// Earns the budget of one GET; how long one of this length usually takes at most, when that is known.
    fn begin(&self, length: u64) -> Option<Duration> {
        self.with_state(|state| {
            state.saved = (state.saved + self.budget).min(SAVED_MAX);
            state.usual.bound(length)
        })
    }

    /// Pays for a second request, if one may be sent.
    fn pay(&self) -> bool {
        self.gate.is_open()
            && self.with_state(|state| {
                let can = state.saved >= 1.0;
                state.saved -= f64::from(u8::from(can));
                can
            })
    }

    async fn race(&self, get: Get<'_>, landing: &mut Landing<'_>, usual: Duration) -> Result<Fetched, StoreError> {
        let before = landing.filled();
        let mut spare = Vec::new();
        let second = {
            let mut first = self.inner.get(get, landing);
            tokio::select! {
                biased;
                answer = &mut first => return answer,
                () = sleep(usual) => {}
            }
            if !self.pay() {
                return first.await;
            }
            spare.resize(get.range.length() as usize, 0);
            let mut spare = Landing::one(&mut spare);
            let mut second = self.inner.get(get, &mut spare);
            tokio::select! {
                biased;
                answer = &mut first => match answer {
                    Ok(fetched) => return Ok(fetched),
                    // The second may still do better; when it does not, its error is as good.
                    Err(_) => second.await,
                },
                answer = &mut second => match answer {
                    Ok(fetched) => Ok(fetched),
                    Err(_) => return first.await,
                },
            }
        }?;
        // The first has landed some of the same bytes, perhaps.
        let landed = (landing.filled() - before) as usize;
        let _ = landing.push(&spare[landed..]);
        Ok(second)
    }

    async fn through<T: Answer, F: Future<Output = Result<T, StoreError>>>(
        &self,
        _call: Call<'_>,
        send: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        send().await
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

store_around!(Hedged);

#[cfg(test)]
mod tests {
    use rfuse_block::{ByteRange, ObjectKey, Version};

    use super::*;
    use crate::{Fault, Faulty, MemoryStore, pattern};

    const SLOW: Duration = Duration::from_secs(5);

    struct Rig {
        faulty: Arc<Faulty>,
        version: Version,
        store: Hedged,
    }

    /// Every call takes 10 ms but those of `slow`.
    fn rig(budget: f64, slow: &[u64], calls: u64) -> Rig {
        let memory = MemoryStore::new();
        let version = memory.put_pattern("a", 1 << 30, 3);
        let usual = (0..calls).map(|call| (call, Fault::Slow(Duration::from_millis(10))));
        let script = usual.chain(slow.iter().map(|&call| (call, Fault::Slow(SLOW))));
        let faulty = Arc::new(Faulty::scripted(Arc::new(memory), script));
        let store = Hedged::new(Arc::clone(&faulty) as Arc<dyn Store>, Arc::new(Gate::new(8)), budget);
        Rig { faulty, version, store }
    }

    impl Rig {
        /// Reads once; how long it took.
        async fn read(&self, version: Option<&Version>, urgency: Urgency) -> Duration {
            let (key, mut bytes, since) = (ObjectKey::from("a"), [0; 4096], Instant::now());
            let get = Get { key: &key, version, range: ByteRange::at(8192, 4096), urgency };
            self.store.get(get, &mut Landing::one(&mut bytes)).await.unwrap();
            assert_eq!(pattern::first_difference(3, 8192, &bytes), None);
            since.elapsed()
        }

        async fn learn(&self) {
            for _ in 0..100 {
                self.read(Some(&self.version), Urgency::Demand).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_get_is_overtaken_by_its_second() {
        let rig = rig(0.05, &[100], 200);
        rig.learn().await;
        assert!(rig.read(Some(&rig.version), Urgency::Demand).await < Duration::from_millis(100));
        assert_eq!(rig.faulty.calls(), 102);
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_bounds_the_second_requests() {
        let slow: Vec<u64> = (100..400).collect();
        let rig = rig(0.05, &slow, 400);
        rig.learn().await;
        for _ in 0..100 {
            rig.read(Some(&rig.version), Urgency::Demand).await;
        }
        // 200 GETs earn ten second requests.
        assert!(rig.faulty.calls() <= 210, "{}", rig.faulty.calls());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_or_has_no_version_is_sent_once() {
        let rig = rig(1.0, &[100, 101], 200);
        rig.learn().await;
        assert_eq!(rig.read(None, Urgency::Demand).await, SLOW);
        assert_eq!(rig.read(Some(&rig.version), Urgency::Ahead).await, SLOW);
        assert_eq!(rig.faulty.calls(), 102);
    }
}
