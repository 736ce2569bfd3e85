//! A memory store whose calls a test sees, holds and refuses before they are carried out.
//!
//! A test says in one method what it does with a call; every call there is goes through it, so that no test
//! repeats the trait.

use std::fmt::Debug;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;

use crate::around::{Answer, Call, store_around};
use crate::{Fetched, Get, Landing, MemoryStore, Operation, Store, StoreError};

/// A call that is about to be carried out.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// A GET.
    Get(Get<'a>),
    /// Anything else.
    Other(Operation),
}

/// What a test does with the calls.
#[async_trait]
pub trait Watch: Debug + Send + Sync + 'static {
    /// Sees a call; it is carried out when this returns, and answered with the error if that is one.
    async fn see(&self, asked: Asked<'_>) -> Result<(), StoreError>;
}

/// A memory store that is watched.
#[derive(Debug)]
pub struct Watched<W> {
    /// The store behind, where nobody watches.
    pub memory: Arc<MemoryStore>,
    /// The same, under the name that every wrapper has for it.
    inner: Arc<MemoryStore>,
    watch: W,
}

impl<W: Watch> Watched<W> {
    /// The objects of `memory`, watched by `watch`.
    pub fn new(memory: Arc<MemoryStore>, watch: W) -> Arc<Self> {
        let inner = Arc::clone(&memory);
        Arc::new(Self { memory, inner, watch })
    }

    async fn get_through(&self, get: Get<'_>, landing: &mut Landing<'_>) -> Result<Fetched, StoreError> {
        self.watch.see(Asked::Get(get)).await?;
        self.inner.get(get, landing).await
    }

    async fn through<T: Answer, F: Future<Output = Result<T, StoreError>>>(
        &self,
        call: Call<'_>,
        send: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        self.watch.see(Asked::Other(call.operation)).await?;
        send().await
    }
}

impl<W> Deref for Watched<W> {
    type Target = W;

    fn deref(&self) -> &W {
        &self.watch
    }
}

store_around!(for [W: Watch] Watched<W>);
