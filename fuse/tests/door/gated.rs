//! A store whose reads wait for as long as a gate is shut, and that knows how many do.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rfuse_store::testing::{Asked, Watch, Watched};
use rfuse_store::{MemoryStore, Operation, StoreError, StoreErrorKind};
use tokio::sync::watch;

/// The gate.
#[derive(Debug)]
pub(crate) struct Gate {
    shut: watch::Sender<bool>,
    waiting: AtomicUsize,
    gets: AtomicUsize,
    bytes: AtomicU64,
    asked: Mutex<HashMap<Operation, usize>>,
    refused: Mutex<Option<(Operation, StoreErrorKind)>>,
    /// A kind of request, and how many of it still succeed.
    failing: Mutex<Option<(Operation, usize)>>,
}

/// A memory store behind the gate.
pub(crate) type Gated = Watched<Gate>;

impl Gate {
    pub(crate) fn before(inner: Arc<MemoryStore>) -> Arc<Gated> {
        let gate = Self {
            shut: watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
            gets: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            asked: Mutex::default(),
            refused: Mutex::default(),
            failing: Mutex::default(),
        };
        Watched::new(inner, gate)
    }

    pub(crate) fn shut(&self) {
        self.shut.send_replace(true);
    }

    pub(crate) fn open(&self) {
        self.shut.send_replace(false);
    }

    /// All requests of a kind but the next `count` fail.
    pub(crate) fn fail_after(&self, operation: Operation, count: usize) {
        *self.failing.lock().unwrap() = Some((operation, count));
    }

    /// Nothing fails any more.
    pub(crate) fn fail_no_more(&self) {
        *self.failing.lock().unwrap() = None;
    }

    /// Reads that wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Reads so far.
    pub(crate) fn gets(&self) -> usize {
        self.gets.load(SeqCst)
    }

    /// Requests of a kind other than GET so far.
    pub(crate) fn asked(&self, operation: Operation) -> usize {
        self.asked.lock().unwrap().get(&operation).copied().unwrap_or(0)
    }

    /// Refuses every request of a kind from now on, or none.
    pub(crate) fn refuse(&self, what: Option<(Operation, StoreErrorKind)>) {
        *self.refused.lock().unwrap() = what;
    }

    /// Bytes asked for so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(SeqCst)
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[async_trait]
impl Watch for Gate {
    async fn see(&self, asked: Asked<'_>) -> Result<(), StoreError> {
        if let Asked::Get(get) = asked {
            self.gets.fetch_add(1, SeqCst);
            self.bytes.fetch_add(get.range.length(), SeqCst);
            let mut shut = self.shut.subscribe();
            let _waiting = Counted::new(&self.waiting);
            let _ = shut.wait_for(|shut| !shut).await;
        }
        if let Asked::Other(operation) = asked {
            *self.asked.lock().unwrap().entry(operation).or_default() += 1;
            if let Some((refused, kind)) = *self.refused.lock().unwrap()
                && refused == operation
            {
                return Err(StoreError::new(kind, operation, "the test says no"));
            }
            if let Some((failing, left)) = self.failing.lock().unwrap().as_mut()
                && *failing == operation
            {
                let Some(fewer) = left.checked_sub(1) else {
                    return Err(StoreError::new(StoreErrorKind::Unavailable, operation, "as the test wants it"));
                };
                *left = fewer;
            }
        }
        Ok(())
    }
}
