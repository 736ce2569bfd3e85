//! Gathers what every room has counted.

use rfuse_config::control::{
    CacheNumbers, KernelNumbers, Latency, ReadNumbers, RequestCount, Statistics, StoreNumbers,
};
use rfuse_store::OperationSnapshot;

use crate::admin::credential;
use crate::assemble::Parts;

/// The numbers of this moment.
pub(crate) fn collect(parts: &Parts) -> Statistics {
    let fs = parts.files.snapshot();
    let cache = parts.cache.stats();
    let delivered = cache.delivered_bytes;
    Statistics {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        url: parts.config.store.location.to_string(),
        dir: parts.mount.target.display().to_string(),
        pid: std::process::id(),
        uptime_seconds: parts.since.elapsed().as_secs_f64(),
        kernel: KernelNumbers {
            errors: parts.counters.errors(),
            outstanding: parts.counters.outstanding(),
            handles: fs.handles,
            entries: fs.entries,
            lookups: fs.operations.lookup,
            opendirs: fs.operations.opendir,
            opens: fs.operations.open,
        },
        reads: ReadNumbers {
            total: fs.operations.read,
            from_memory: fs.operations.read_ready,
            delivered_bytes: delivered,
        },
        store: store(parts),
        cache: CacheNumbers {
            hits: cache.hits,
            misses: cache.misses,
            followed: cache.followed,
            fetched_bytes: cache.fetched_bytes,
            resident_bytes: cache.resident_bytes,
            overhead_bytes: cache.overhead_bytes,
            limit_bytes: parts.config.cache.memory,
            evictions: cache.evictions,
        },
        amplification: (delivered > 0).then(|| cache.fetched_bytes as f64 / delivered as f64),
        credential: credential(parts),
    }
}

fn store(parts: &Parts) -> StoreNumbers {
    let (meter, gate) = (parts.opened.meter.snapshot(), parts.opened.gate.snapshot());
    let used = || meter.operations.iter().filter(|one| one.succeeded + one.cancelled > 0 || !one.failed.is_empty());
    StoreNumbers {
        requests: used().flat_map(outcomes).collect(),
        received_bytes: meter.operations.iter().map(|one| one.bytes_received).sum(),
        failed: meter.operations.iter().flat_map(|one| one.failed.values()).sum(),
        in_flight: (gate.demand_in_flight + gate.ahead_in_flight) as u64,
        in_flight_max: gate.places as u64,
        latency: used().map(latency).collect(),
    }
}

/// The outcomes of one operation that happened.
fn outcomes(one: &OperationSnapshot) -> Vec<RequestCount> {
    let row = |status: &str, count| RequestCount { op: one.operation.clone(), status: status.to_owned(), count };
    let mut rows = vec![row("ok", one.succeeded), row("cancelled", one.cancelled)];
    rows.extend(one.failed.iter().map(|(kind, count)| row(kind, *count)));
    rows.retain(|row| row.count > 0);
    rows
}

fn latency(one: &OperationSnapshot) -> Latency {
    let quantile = |share| one.latency.quantile(share).map_or(0.0, |time| time.as_secs_f64());
    Latency {
        op: one.operation.clone(),
        count: one.latency.count(),
        p50: quantile(0.5),
        p99: quantile(0.99),
        sum: one.latency.micros as f64 / 1e6,
    }
}
