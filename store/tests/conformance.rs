//! Every store, alone and inside each wrapper, is asked the same questions.
//!
//! The emulators come from the environment; without them their questions are skipped aloud.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must panic")]

#[path = "support/s3_server.rs"]
mod s3_server;

use std::sync::Arc;
use std::time::Duration;

use rfuse_config::{Limits, Location, StoreConfig};
use rfuse_store::conformance::{Abilities, Subject};
use rfuse_store::{
    AzureStore, Fault, Faulty, Gate, Hedged, Limited, LocalStore, MemoryStore, Meter, Metered, Opened, Prefixed,
    Retrying, S3Store, Store, StoreErrorKind, conformance,
};
use s3_server::Server;

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

async fn around_memory(wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Option<Subject> {
    Some(Subject::new(wrap(memory())))
}

async fn local() -> Option<Subject> {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    let abilities = Abilities::default();
    Some(Subject { abilities, keep: Some(Arc::new(directory)), ..Subject::new(Arc::new(store)) })
}

/// One call in twenty fails in passing; nobody may notice.
async fn retrying_faulty() -> Option<Subject> {
    let faults = [
        Fault::Throttled,
        Fault::RetryAfter(Duration::from_millis(5)),
        Fault::Unavailable,
        Fault::Unreachable,
        Fault::Reset,
        Fault::CutAfter(2),
        Fault::WrongRange,
    ];
    let faulty = Arc::new(Faulty::by_chance(memory(), 42, 0.05, &faults));
    Some(Subject::new(Arc::new(Retrying::new(faulty, &Limits::default()))))
}

async fn s3() -> Option<Subject> {
    let config = Server::from_env()?.new_bucket();
    let (store, _) = S3Store::open(&config).await.unwrap();
    let location = Location::S3 { bucket: "not-there-at-all".to_owned(), prefix: Vec::new() };
    let (missing, _) = S3Store::open(&StoreConfig { location, ..config }).await.unwrap();
    let abilities = Abilities {
        lists_metadata: false,
        misses_the_deleted: false,
        part_min: 5 << 20,
        // The gateway keeps objects as files: `n/x` below the object `n` is a conflict to it. MinIO refuses `a//b`
        // but takes `/a` for `a`.
        holds_or_refuses_odd_paths: false,
        lists_below_objects: !Server::is_minio(),
        name_refusals: vec![StoreErrorKind::BadName, StoreErrorKind::Exists],
        ..Abilities::default()
    };
    Some(Subject { abilities, without_container: Some(Arc::new(missing)), ..Subject::new(Arc::new(store)) })
}

/// A fresh container of the emulator that `RFUSE_TEST_AZURITE` names.
async fn azure() -> Option<Subject> {
    let Ok(endpoint) = std::env::var("RFUSE_TEST_AZURITE") else {
        eprintln!("SKIPPED: RFUSE_TEST_AZURITE is not set");
        return None;
    };
    let at = |container: String| StoreConfig {
        endpoint: Some(endpoint.clone()),
        ..StoreConfig::at(Location::Azure { account: "devstoreaccount1".to_owned(), container, prefix: Vec::new() })
    };
    let (store, _) = AzureStore::open(&at(format!("conformance-{:016x}", fastrand::u64(..)))).await.unwrap();
    store.create_container().await.unwrap();
    let (missing, _) = AzureStore::open(&at("not-there-at-all".to_owned())).await.unwrap();
    // Azurite answers Put Block From URL without copying.
    let abilities = Abilities { copies_parts: false, ..Abilities::default() };
    Some(Subject { abilities, without_container: Some(Arc::new(missing)), ..Subject::new(Arc::new(store)) })
}

conformance!(memory_store, around_memory(|store| store));
conformance!(local_store, local());
conformance!(prefixed, around_memory(|store| Arc::new(Prefixed::new(store, b"top/"))));
conformance!(metered, around_memory(|store| Arc::new(Metered::new(store, Arc::new(Meter::default())))));
conformance!(limited, around_memory(|store| Arc::new(Limited::new(store, Arc::new(Gate::new(1))))));
conformance!(hedged, around_memory(|store| Arc::new(Hedged::new(store, Arc::new(Gate::new(1)), 0.5))));
conformance!(retrying, retrying_faulty());
conformance!(
    whole_tower,
    around_memory(|store| {
        let limits = Limits { hedge_budget: Some(0.05), ..Limits::default() };
        Opened::around(store, b"a/b/", &limits).store
    })
);
conformance!(s3_server_store, s3());
conformance!(azure_store, azure());
