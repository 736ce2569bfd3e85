//! The numbers as Prometheus reads them. Labels come from small closed sets; no object name is ever one.

use std::fmt::Write as _;

use rfuse_config::control::{DiskNumbers, Statistics};

/// The text exposition of `s`.
pub(crate) fn text(s: &Statistics) -> String {
    let mut out = Text(String::new());
    let waited = s.reads.total.saturating_sub(s.reads.from_memory);
    out.head("rfuse_reads_total", "counter", "Reads of programs by where they were answered.");
    out.value("rfuse_reads_total{tier=\"memory\"}", s.reads.from_memory as f64);
    out.value("rfuse_reads_total{tier=\"store\"}", waited as f64);
    out.one("rfuse_read_bytes_total", "counter", "Bytes handed to readers.", s.reads.delivered_bytes as f64);
    read_seconds(&mut out, s);
    out.head("rfuse_store_requests_total", "counter", "Requests to the store by kind and outcome.");
    for one in &s.store.requests {
        let name = format!("rfuse_store_requests_total{{op=\"{}\",status=\"{}\"}}", one.op, one.status);
        out.value(&name, one.count as f64);
    }
    let help = "Requests sent because an earlier try had failed.";
    out.one("rfuse_store_retries_total", "counter", help, s.store.retries as f64);
    out.head("rfuse_store_bytes_total", "counter", "Bytes of bodies.");
    out.value("rfuse_store_bytes_total{direction=\"received\"}", s.store.received_bytes as f64);
    out.head("rfuse_store_request_seconds", "summary", "Time from request to last byte.");
    for one in &s.store.latency {
        out.value(&format!("rfuse_store_request_seconds{{op=\"{}\",quantile=\"0.5\"}}", one.op), one.p50);
        out.value(&format!("rfuse_store_request_seconds{{op=\"{}\",quantile=\"0.99\"}}", one.op), one.p99);
        out.value(&format!("rfuse_store_request_seconds_sum{{op=\"{}\"}}", one.op), one.sum);
        out.value(&format!("rfuse_store_request_seconds_count{{op=\"{}\"}}", one.op), one.count as f64);
    }
    let help = "Objects met that no path leads to.";
    out.one("rfuse_unreachable_objects_total", "counter", help, s.kernel.unreachable_objects as f64);
    let help = "Handles that met an object which changed under them.";
    out.one("rfuse_stale_handles_total", "counter", help, s.kernel.stale_handles as f64);
    if let Some(ratio) = s.amplification {
        out.one("rfuse_amplification_ratio", "gauge", "Bytes fetched for each byte delivered.", ratio);
    }
    out.head("rfuse_inflight_requests", "gauge", "Requests under way at the store by who waits.");
    let demand = s.store.in_flight.saturating_sub(s.store.in_flight_ahead);
    out.value("rfuse_inflight_requests{class=\"demand\"}", demand as f64);
    out.value("rfuse_inflight_requests{class=\"ahead\"}", s.store.in_flight_ahead as f64);
    out.head("rfuse_prefetch_bytes_total", "counter", "Bytes planned ahead of readers by what came of them.");
    out.value("rfuse_prefetch_bytes_total{fate=\"used\"}", s.ahead.used as f64);
    out.value("rfuse_prefetch_bytes_total{fate=\"wasted\"}", s.ahead.wasted as f64);
    let help = "Bytes asked for ahead of readers because a file's own index named them.";
    out.one("rfuse_hinted_bytes_total", "counter", help, s.ahead.hinted as f64);
    if let Some(plan) = &s.ahead.plan {
        out.head("rfuse_plan_reads", "gauge", "Reads of the plan that is followed.");
        out.value("rfuse_plan_reads{up_to=\"end\"}", plan.steps as f64);
        out.value("rfuse_plan_reads{up_to=\"reader\"}", plan.position as f64);
        out.value("rfuse_plan_reads{up_to=\"fetched\"}", plan.planned as f64);
        out.one("rfuse_plan_strayed_total", "counter", "Reads not where the plan had them.", plan.strayed as f64);
    }
    out.one("rfuse_prefetch_streams_total", "counter", "Streams of reads recognised.", s.ahead.streams as f64);
    out.head("rfuse_page_push_bytes_total", "counter", "Bytes meant for the kernel's page cache by what came of them.");
    out.value("rfuse_page_push_bytes_total{fate=\"stored\"}", s.ahead.pushed as f64);
    out.value("rfuse_page_push_bytes_total{fate=\"dropped\"}", s.ahead.push_dropped as f64);
    out.head("rfuse_cache_bytes", "gauge", "Bytes remembered.");
    out.value("rfuse_cache_bytes{tier=\"memory\"}", s.cache.resident_bytes as f64);
    let disk = s.cache.disk.as_ref();
    if let Some(disk) = disk {
        out.value("rfuse_cache_bytes{tier=\"disk\"}", disk.resident_bytes as f64);
    }
    out.head("rfuse_cache_evictions_total", "counter", "Blocks that left to make room.");
    out.value("rfuse_cache_evictions_total{tier=\"memory\"}", s.cache.evictions as f64);
    if let Some(disk) = disk {
        out.value("rfuse_cache_evictions_total{tier=\"disk\"}", disk.evictions as f64);
        out.disk(disk);
    }
    let help = "Bytes on their way to the cache that nobody waits for yet.";
    out.one("rfuse_ahead_inflight_bytes", "gauge", help, s.cache.ahead_bytes as f64);
    let help = "Bytes that may be on their way ahead of readers.";
    out.one("rfuse_ahead_budget_bytes", "gauge", help, s.cache.ahead_limit_bytes as f64);
    let help = "Fetches ahead of readers refused for want of budget or memory.";
    out.one("rfuse_ahead_refused_total", "counter", help, s.cache.refused_ahead as f64);
    out.one("rfuse_dirty_bytes", "gauge", "Bytes written and not stored yet.", s.writing.dirty_bytes as f64);
    if let Some(cost) = s.cost_a_day {
        let help =
            "What reading requests cost a day at the rate since the mount began, in the currency of request-price.";
        out.one("rfuse_request_cost_a_day", "gauge", help, cost);
    }
    if let Some(expires) = s.credential.as_ref().and_then(|credential| credential.expires) {
        let help = "When the credential ends.";
        out.one("rfuse_credential_expiry_timestamp_seconds", "gauge", help, expires as f64);
    }
    out.head("rfuse_mount_info", "gauge", "This mount.");
    let (url, dir) = (escape(&s.url), escape(&s.dir));
    out.value(&format!("rfuse_mount_info{{version=\"{}\",url=\"{url}\",dir=\"{dir}\"}}", s.version), 1.0);
    out.0
}

/// Bounds of the histogram: 128 µs and each power of two of it up to half a minute, where every read has ended.
const READ_BOUNDS: std::ops::RangeInclusive<u32> = 7..=25;

/// Reads answered from memory are counted and not timed: they are in every bucket, and nothing in the sum.
fn read_seconds(out: &mut Text, s: &Statistics) {
    out.head("rfuse_read_seconds", "histogram", "Time of a read; from memory at once is below every bound.");
    for exponent in READ_BOUNDS {
        let bound = f64::from(1_u32 << exponent) / 1e6;
        let waited: u64 = s.reads.waits.iter().filter(|one| one.below_seconds <= bound).map(|one| one.count).sum();
        let name = format!("rfuse_read_seconds_bucket{{le=\"{bound}\"}}");
        out.value(&name, (s.reads.from_memory + waited) as f64);
    }
    let all = s.reads.from_memory + s.reads.waited.count;
    out.value("rfuse_read_seconds_bucket{le=\"+Inf\"}", all as f64);
    out.value("rfuse_read_seconds_sum", s.reads.waited.sum);
    out.value("rfuse_read_seconds_count", all as f64);
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, value: f64) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.value(name, value);
    }
}

impl Text {
    fn disk(&mut self, disk: &DiskNumbers) {
        self.head("rfuse_disk_blocks_total", "counter", "Blocks asked of the disk tier, by outcome.");
        self.value("rfuse_disk_blocks_total{outcome=\"hit\"}", disk.hits as f64);
        self.value("rfuse_disk_blocks_total{outcome=\"miss\"}", disk.misses as f64);
        self.head("rfuse_disk_bytes_total", "counter", "Bytes of blocks read from the cache folder and written to it.");
        self.value("rfuse_disk_bytes_total{direction=\"read\"}", disk.read_bytes as f64);
        self.value("rfuse_disk_bytes_total{direction=\"written\"}", disk.written_bytes as f64);
        let help = "Bytes pinned in the cache folder, by all who share it.";
        self.one("rfuse_disk_pinned_bytes", "gauge", help, disk.pinned_bytes as f64);
        self.head("rfuse_disk_unwritten_blocks_total", "counter", "Blocks worth writing that were not written.");
        self.value("rfuse_disk_unwritten_blocks_total{reason=\"in_use\"}", disk.refused as f64);
        self.value("rfuse_disk_unwritten_blocks_total{reason=\"too_slow\"}", disk.dropped as f64);
        self.head("rfuse_disk_faults_total", "counter", "Faults of the cache folder; none reached a reader.");
        self.value("rfuse_disk_faults_total{kind=\"io\"}", disk.errors as f64);
        self.value("rfuse_disk_faults_total{kind=\"corrupt\"}", disk.corrupt as f64);
        let help = "Memory the index of the cache folder takes when it is full.";
        self.one("rfuse_disk_index_bytes", "gauge", help, disk.overhead_bytes as f64);
    }
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rfuse_config::control::{RequestCount, WaitCount};

    #[test]
    fn buckets_of_the_read_histogram_add_up_and_memory_is_in_all_of_them() {
        let mut s = Statistics::default();
        s.reads.from_memory = 10;
        s.reads.waits = vec![
            WaitCount { below_seconds: 256e-6, count: 2 },
            WaitCount { below_seconds: 1024e-6, count: 3 },
            WaitCount { below_seconds: 67.108864, count: 1 },
        ];
        s.reads.waited.count = 6;
        let text = text(&s);
        for (le, count) in [("0.000128", 10), ("0.000256", 12), ("0.000512", 12), ("0.001024", 15), ("+Inf", 16)] {
            let line = format!("rfuse_read_seconds_bucket{{le=\"{le}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(text.contains("rfuse_read_seconds_bucket{le=\"33.554432\"} 15\n"));
        assert!(text.contains("rfuse_read_seconds_count 16\n"));
    }

    #[test]
    fn every_line_is_a_comment_or_a_name_with_a_number() {
        let mut s = Statistics { dir: "/a\n\"b\\".into(), amplification: Some(1.0), ..Statistics::default() };
        s.cache.disk = Some(DiskNumbers { hits: 3, ..DiskNumbers::default() });
        s.store.requests.push(RequestCount { op: "get".into(), status: "ok".into(), count: 7 });
        let text = text(&s);
        for line in text.lines().filter(|line| !line.starts_with("# ")) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("rfuse_") && value.parse::<f64>().is_ok(), "{line}");
        }
        assert!(text.contains("rfuse_store_requests_total{op=\"get\",status=\"ok\"} 7"));
        assert!(text.contains("rfuse_disk_blocks_total{outcome=\"hit\"} 3"));
        assert!(text.contains("dir=\"/a\\n\\\"b\\\\\""));
    }
}
