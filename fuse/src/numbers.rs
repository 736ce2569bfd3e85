//! Gathers what every room has counted.

use rfuse_config::control::{CacheNumbers, KernelNumbers, ReadNumbers, Statistics, StoreNumbers};

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
        reads: ReadNumbers { total: fs.operations.read, from_memory: fs.operations.read_ready, delivered_bytes: delivered },
        store: StoreNumbers {
            in_flight_max: parts.config.store.limits.requests_in_flight as u64,
            ..StoreNumbers::default()
        },
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
