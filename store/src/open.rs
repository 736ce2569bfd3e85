//! From a configuration to a store that is ready to use: the implementation inside its wrappers.
//!
//! From the outside in: prefix, retry, hedge, limit, meter. Decision 0005 says why in this order: a pause
//! between tries holds no place in the line, a hedge takes a place of its own, and the meter sees every
//! request that goes out, and its time without the line.

use std::sync::Arc;

use rfuse_config::{Limits, Location, StoreConfig};

use crate::{
    AzureStore, CredentialControl, Gate, Hedged, Limited, LocalStore, MemoryStore, Meter, Metered, Prefixed, Retrying,
    S3Store, Store, StoreError,
};

/// A store with everything around it, and the handles on what is around it.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What goes out and what comes back.
    pub meter: Arc<Meter>,
    /// Who is in flight and who waits.
    pub gate: Arc<Gate>,
    /// The credential, where the store asks for one.
    pub credential: Option<Arc<dyn CredentialControl>>,
}

impl Opened {
    /// Puts the wrappers around `inner`, with every name below `prefix` (empty, or ending in `/`).
    pub fn around(inner: Arc<dyn Store>, prefix: &[u8], limits: &Limits) -> Self {
        let meter = Arc::new(Meter::default());
        let gate = Arc::new(Gate::new(limits.requests_in_flight));
        let metered = Arc::new(Metered::new(inner, Arc::clone(&meter)));
        let mut store: Arc<dyn Store> = Arc::new(Limited::new(metered, Arc::clone(&gate)));
        if let Some(budget) = limits.hedge_budget.filter(|&budget| budget > 0.0) {
            store = Arc::new(Hedged::new(store, Arc::clone(&gate), budget));
        }
        store = Arc::new(Retrying::new(store, limits).counting_in(Arc::clone(&meter)));
        if !prefix.is_empty() {
            store = Arc::new(Prefixed::new(store, prefix));
        }
        Self { store, meter, gate, credential: None }
    }
}

/// Opens the place that `config` names.
///
/// # Errors
/// What opening meets: `NoContainer` for a local directory that is not there, `NoCredential` and its siblings
/// for a cloud. Whether the container exists and the credential is good, [`probe`](crate::probe()) finds out.
pub async fn open(config: &StoreConfig) -> Result<Opened, StoreError> {
    let (inner, prefix, credential): (Arc<dyn Store>, &[u8], _) = match &config.location {
        Location::Memory => (Arc::new(MemoryStore::new()), b"", None),
        Location::Local(directory) => (Arc::new(LocalStore::open(directory)?), b"", None),
        Location::S3 { prefix, .. } => {
            let (store, credential) = S3Store::open(config).await?;
            (Arc::new(store), prefix, Some(credential))
        }
        Location::Azure { prefix, .. } => {
            let (store, credential) = AzureStore::open(config).await?;
            (Arc::new(store), prefix, Some(credential))
        }
    };
    Ok(Opened { credential, ..Opened::around(inner, prefix, &config.limits) })
}

#[cfg(test)]
mod tests {
    use rfuse_block::{ByteRange, ObjectKey};

    use super::*;
    use crate::{Fault, Faulty, Get, Landing, Operation, Urgency};

    #[tokio::test(start_paused = true)]
    async fn each_try_is_metered_and_no_place_is_held_between_tries() {
        let memory = MemoryStore::new();
        memory.put_now("top/a", "0123456789");
        let faulty = Arc::new(Faulty::scripted(Arc::new(memory), [(0, Fault::Unavailable), (1, Fault::CutAfter(3))]));
        let limits = Limits { hedge_budget: Some(0.05), ..Limits::default() };
        let opened = Opened::around(faulty, b"top/", &limits);
        let (key, mut bytes) = (ObjectKey::from("a"), [0; 10]);
        let get = Get { key: &key, version: None, range: ByteRange::new(0, 10), urgency: Urgency::Demand };
        opened.store.get(get, &mut Landing::one(&mut bytes)).await.unwrap();
        assert_eq!(&bytes, b"0123456789");
        let seen = opened.meter.snapshot().of(Operation::Get);
        assert_eq!((seen.requests(), seen.succeeded, seen.bytes_received), (3, 1, 10));
        assert_eq!(opened.meter.snapshot().retries, 2);
        assert_eq!(opened.gate.snapshot().demand_in_flight, 0);
    }

    #[tokio::test]
    async fn a_local_directory_and_memory_open() {
        let directory = tempfile::tempdir().unwrap();
        for location in [Location::Memory, Location::Local(directory.path().to_owned())] {
            open(&StoreConfig::at(location)).await.unwrap();
        }
    }
}
