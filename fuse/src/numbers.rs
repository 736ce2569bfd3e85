//! Gathers what every room has counted.

use rfuse_config::control::{
    AheadNumbers, CacheNumbers, DiskNumbers, FileNumbers, KernelNumbers, Latency, PlanNumbers, ReadNumbers,
    RequestCount, Statistics, StoreNumbers, WaitCount, WriteNumbers,
};
use rfuse_fs::{AheadSnapshot, FileCost, PlanSnapshot};
use rfuse_prefetch::access::CursorStats;
use rfuse_store::{HistogramSnapshot, OperationSnapshot};

use crate::admin::credential;
use crate::assemble::Parts;

/// The numbers of this moment.
pub(crate) fn collect(parts: &Parts) -> Statistics {
    let fs = parts.files.snapshot();
    let cache = parts.cache.stats();
    let delivered = cache.delivered_bytes;
    let waits = parts.waits.snapshot();
    Statistics {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        url: parts.config.store.location.to_string(),
        read_only: parts.config.mount.read_only,
        dir: parts.mount.target.display().to_string(),
        pid: std::process::id(),
        uptime_seconds: parts.since.elapsed().as_secs_f64(),
        kernel: KernelNumbers {
            errors: parts.counters.errors(),
            outstanding: parts.counters.outstanding(),
            handles: fs.handles,
            entries: fs.entries,
            unreachable_objects: fs.unreachable_objects,
            stale_handles: fs.stale_handles,
            lookups: fs.operations.lookup,
            opendirs: fs.operations.opendir,
            opens: fs.operations.open,
        },
        reads: ReadNumbers {
            total: fs.operations.read,
            from_memory: fs.operations.read_ready,
            delivered_bytes: delivered,
            waited: latency("read", &waits),
            waits: by_octave(&waits),
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
            ahead_bytes: cache.ahead_bytes,
            ahead_limit_bytes: cache.ahead_limit_bytes,
            refused_ahead: cache.refused_ahead,
            disk: parts.config.cache.disk.as_ref().map(|_| disk(parts)),
        },
        ahead: AheadNumbers { hinted: fs.hinted_bytes, ..ahead(parts, &fs.ahead) },
        writing: WriteNumbers { files: fs.edits, dirty_bytes: fs.spool_bytes },
        cost_a_day: cost_a_day(parts),
        amplification: (delivered > 0).then(|| cache.fetched_bytes as f64 / delivered as f64),
        credential: credential(parts),
    }
}

/// One file as it is told.
pub(crate) fn file(cost: FileCost) -> FileNumbers {
    let FileCost { path, handles, waited, waited_bytes, resident_bytes } = cost;
    let path = String::from_utf8_lossy(path.as_bytes()).into_owned();
    FileNumbers { path, handles, waited, waited_bytes, resident_bytes }
}

/// GETs and HEADs at what a million of them cost.
fn cost_a_day(parts: &Parts) -> Option<f64> {
    let price = parts.config.mount.request_price?;
    let meter = parts.opened.meter.snapshot();
    let reading = meter.operations.iter().filter(|one| ["get", "head"].contains(&one.operation.as_str()));
    let sent: u64 = reading.map(|one| one.succeeded + one.cancelled + one.failed.values().sum::<u64>()).sum();
    let days = parts.since.elapsed().as_secs_f64().max(1.0) / 86_400.0;
    Some(sent as f64 / 1e6 * price / days)
}

fn ahead(parts: &Parts, fs: &AheadSnapshot) -> AheadNumbers {
    let pages = parts.prefill.snapshot();
    let AheadSnapshot { streams, planned, used, wasted } = *fs;
    let plan = parts.files.plan_snapshot().map(plan);
    AheadNumbers { streams, planned, used, wasted, hinted: 0, pushed: pages.stored, push_dropped: pages.dropped, plan }
}

fn disk(parts: &Parts) -> DiskNumbers {
    let disk = parts.cache.stats().disk;
    DiskNumbers {
        hits: disk.hits,
        misses: disk.misses,
        read_bytes: disk.read_bytes,
        written_bytes: disk.written_bytes,
        pinned_bytes: disk.pinned_bytes,
        resident_bytes: disk.resident_bytes,
        limit_bytes: disk.capacity_bytes,
        overhead_bytes: disk.overhead_bytes,
        evictions: disk.evictions,
        refused: disk.refused,
        dropped: disk.dropped,
        errors: disk.errors,
        corrupt: disk.corrupt,
    }
}

fn plan(plan: PlanSnapshot) -> PlanNumbers {
    let CursorStats { steps, position, planned, strayed } = plan.cursor;
    let PlanSnapshot { asked_bytes, given_up, .. } = plan;
    PlanNumbers { steps, position, planned, strayed, asked_bytes, given_up }
}

fn store(parts: &Parts) -> StoreNumbers {
    let (meter, gate) = (parts.opened.meter.snapshot(), parts.opened.gate.snapshot());
    let used = || meter.operations.iter().filter(|one| one.succeeded + one.cancelled > 0 || !one.failed.is_empty());
    StoreNumbers {
        requests: used().flat_map(outcomes).collect(),
        received_bytes: meter.operations.iter().map(|one| one.bytes_received).sum(),
        failed: meter.operations.iter().flat_map(|one| one.failed.values()).sum(),
        retries: meter.retries,
        in_flight_ahead: gate.ahead_in_flight as u64,
        in_flight: (gate.demand_in_flight + gate.ahead_in_flight) as u64,
        in_flight_max: gate.places as u64,
        latency: used().map(|one| latency(&one.operation, &one.latency)).collect(),
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

fn latency(op: &str, times: &HistogramSnapshot) -> Latency {
    let quantile = |share| times.quantile(share).map_or(0.0, |time| time.as_secs_f64());
    Latency {
        op: op.to_owned(),
        count: times.count(),
        p50: quantile(0.5),
        p99: quantile(0.99),
        sum: times.micros as f64 / 1e6,
    }
}

/// The buckets of the histogram, an octave together.
fn by_octave(times: &HistogramSnapshot) -> Vec<WaitCount> {
    let mut octaves: Vec<WaitCount> = Vec::new();
    for &(bound, count) in &times.buckets {
        let below_seconds = bound.next_power_of_two() as f64 / 1e6;
        match octaves.last_mut() {
            Some(last) if last.below_seconds == below_seconds => last.count += count,
            _ => octaves.push(WaitCount { below_seconds, count }),
        }
    }
    octaves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_of_an_octave_are_put_together() {
        let times = HistogramSnapshot { buckets: vec![(160, 1), (192, 2), (256, 4), (320, 8)], micros: 0 };
        let octaves: Vec<_> = by_octave(&times).iter().map(|one| (one.below_seconds, one.count)).collect();
        assert_eq!(octaves, [(256e-6, 7), (512e-6, 8)]);
    }
}
