//! Tries, pauses and the missing tail, with the clock as an argument.

use std::collections::BTreeMap;

use bytes::Bytes;
use rfuse_block::ObjectKey;

use super::*;
use crate::{Fault, Faulty, MemoryStore, Precondition, PutOptions, Urgency, pattern};

const SEED: u64 = 11;

/// Every fault that passes.
const PASSING: [Fault; 7] = [
    Fault::Throttled,
    Fault::Unavailable,
    Fault::Unreachable,
    Fault::Reset,
    Fault::CutAfter(1000),
    Fault::WrongRange,
    Fault::RetryAfter(Duration::from_millis(15)),
];

fn memory() -> Arc<MemoryStore> {
    let memory = MemoryStore::new();
    memory.put_pattern("big", 1 << 40, SEED);
    Arc::new(memory)
}

fn retrying(faulty: &Arc<Faulty>) -> Retrying {
    Retrying::new(Arc::clone(faulty) as Arc<dyn Store>, &Limits::default())
}

fn scripted(script: impl IntoIterator<Item = (u64, Fault)>) -> (Arc<Faulty>, Retrying) {
    let faulty = Arc::new(Faulty::scripted(memory(), script));
    let store = retrying(&faulty);
    (faulty, store)
}

async fn read(store: &Retrying, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
    let (key, mut bytes) = (ObjectKey::from("big"), vec![0; length]);
    let range = ByteRange::at(start, length as u64);
    let get = Get { key: &key, version: None, range, urgency: Urgency::Demand };
    store.get(get, &mut Landing::one(&mut bytes)).await?;
    Ok(bytes)
}

#[tokio::test(start_paused = true)]
async fn every_fault_that_passes_is_hidden() {
    for fault in PASSING {
        let (faulty, store) = scripted([(0, fault)]);
        assert_eq!(read(&store, 5000, 4096).await.unwrap(), pattern::bytes(SEED, 5000, 4096), "{fault:?}");
        assert_eq!(faulty.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_is_told_at_once() {
    for (fault, kind) in [(Fault::Denied, StoreErrorKind::Denied), (Fault::Changed, StoreErrorKind::Changed)] {
        let (faulty, store) = scripted([(0, fault)]);
        let error = read(&store, 0, 10).await.unwrap_err();
        assert_eq!((error.kind, error.attempts, faulty.calls()), (kind, 1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn tries_are_bounded_and_counted_in_the_error() {
    let (faulty, store) = scripted((0..100).map(|call| (call, Fault::Unavailable)));
    let error = read(&store, 0, 10).await.unwrap_err();
    assert_eq!((error.kind, error.attempts, faulty.calls()), (StoreErrorKind::Unavailable, 8, 8));
    let limits = Limits { tries: 1000, call_timeout: Duration::from_secs(1000), ..Limits::default() };
    let store = Retrying::new(Arc::clone(&faulty) as Arc<dyn Store>, &limits);
    assert_eq!(read(&store, 0, 10).await.unwrap_err().attempts, 10);
}

#[tokio::test(start_paused = true)]
async fn after_a_cut_only_the_missing_tail_is_asked_for() {
    let memory = memory();
    let meter = Arc::new(Meter::default());
    let metered = Arc::new(crate::Metered::new(memory, Arc::clone(&meter)));
    let faulty = Arc::new(Faulty::scripted(metered, [(0, Fault::CutAfter(3000)), (1, Fault::CutAfter(1000))]));
    let bytes = read(&retrying(&faulty), 1 << 30, 4096).await.unwrap();
    assert_eq!(bytes, pattern::bytes(SEED, 1 << 30, 4096));
    assert_eq!(meter.snapshot().of(Operation::Get).bytes_received, 4096);
}

#[tokio::test(start_paused = true)]
async fn the_tail_of_another_version_is_never_put_behind_the_first_bytes() {
    let memory = memory();
    let faulty = Arc::new(Faulty::scripted(Arc::clone(&memory) as Arc<dyn Store>, [(0, Fault::CutAfter(100))]));
    let store = retrying(&faulty);
    let (key, mut bytes) = (ObjectKey::from("big"), vec![0; 4096]);
    let get = Get { key: &key, version: None, range: ByteRange::new(0, 4096), urgency: Urgency::Demand };
    let mut landing = Landing::one(&mut bytes);
    let mut reading = Box::pin(store.get(get, &mut landing));
    assert!(futures_util::FutureExt::now_or_never(reading.as_mut()).is_none());
    memory.put_pattern("big", 1 << 40, SEED + 1);
    assert_eq!(reading.await.unwrap_err().kind, StoreErrorKind::Changed);
}

#[tokio::test(start_paused = true)]
async fn the_wait_the_store_asks_for_is_kept() {
    let wait = Duration::from_secs(3);
    let (_, store) = scripted([(0, Fault::RetryAfter(wait))]);
    let since = Instant::now();
    read(&store, 0, 10).await.unwrap();
    assert!(since.elapsed() >= wait);
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_time_allowed_is_not_begun() {
    let (faulty, store) = scripted([(0, Fault::RetryAfter(Duration::from_secs(60)))]);
    let since = Instant::now();
    assert_eq!(read(&store, 0, 10).await.unwrap_err().kind, StoreErrorKind::Throttled);
    assert_eq!((faulty.calls(), since.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_costs_the_time_allowed_and_no_more() {
    let (_, store) = scripted([(0, Fault::Hang)]);
    let since = Instant::now();
    assert_eq!(read(&store, 0, 10).await.unwrap_err().kind, StoreErrorKind::TimedOut);
    let allowed = Limits::default().call_timeout;
    assert!((allowed..allowed + Duration::from_millis(10)).contains(&since.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_range_that_ends_after_the_object_is_cut() {
    let (_, store) = scripted([]);
    assert_eq!(read(&store, (1 << 40) - 5, 10).await.unwrap_err().kind, StoreErrorKind::Cut);
    assert_eq!(read(&store, 1 << 40, 10).await.unwrap_err().kind, StoreErrorKind::PastEnd);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_whose_answer_was_lost_is_done() {
    let (_, store) = scripted([(0, Fault::AnswerLost)]);
    store.delete(&"big".into(), None).await.unwrap();
    assert_eq!(store.delete(&"big".into(), None).await.unwrap_err().kind, StoreErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_conditional_write_whose_answer_was_lost_says_so() {
    let (_, store) = scripted([(0, Fault::AnswerLost)]);
    let (key, options) = (ObjectKey::from("new"), PutOptions { content_type: None, metadata: BTreeMap::new() });
    let error = store.put(&key, Bytes::from("x"), &Precondition::Absent, &options).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Exists);
    assert!(error.message.contains("earlier try"), "{error}");
}

/// The row of the issue: 300 reads by 8 readers, one request in twenty spoiled. The clock is tokio's own and
/// jumps over the pauses, so this counts pauses only and does not depend on the machine.
#[tokio::test(start_paused = true)]
async fn with_five_percent_faults_every_byte_is_right_and_a_fault_costs_milliseconds() {
    let faulty = Arc::new(Faulty::by_chance(memory(), 5, 0.05, &PASSING));
    let store = Arc::new(retrying(&faulty));
    let since = Instant::now();
    let readers: Vec<_> = (0..8)
        .map(|reader| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for i in 0..300 / 8 + 1 {
                    let start = (reader * 1_000_003 + i * 77_777) * 4096;
                    let bytes = read(&store, start, 4096).await.unwrap();
                    assert_eq!(pattern::first_difference(SEED, start, &bytes), None);
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(faulty.faults_met() >= 10, "{} faults", faulty.faults_met());
    assert!(since.elapsed() < Duration::from_millis(500), "{:?}", since.elapsed());
    assert!(faulty.calls() < 304 + 40);
}
