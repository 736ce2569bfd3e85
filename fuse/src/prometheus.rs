//! The numbers as Prometheus reads them. Labels come from small closed sets; no object name is ever one.

use std::fmt::Write as _;

use rfuse_config::control::Statistics;

/// The text exposition of `s`.
pub(crate) fn text(s: &Statistics) -> String {
    let mut out = Text(String::new());
    let waited = s.reads.total.saturating_sub(s.reads.from_memory);
    out.head("rfuse_reads_total", "counter", "Reads of programs by where they were answered.");
    out.value("rfuse_reads_total{tier=\"memory\"}", s.reads.from_memory as f64);
    out.value("rfuse_reads_total{tier=\"store\"}", waited as f64);
    out.one("rfuse_delivered_bytes_total", "counter", "Bytes handed to readers.", s.reads.delivered_bytes as f64);
    out.head("rfuse_store_requests_total", "counter", "Requests to the store by kind and outcome.");
    for one in &s.store.requests {
        let name = format!("rfuse_store_requests_total{{op=\"{}\",status=\"{}\"}}", one.op, one.status);
        out.value(&name, one.count as f64);
    }
    out.head("rfuse_store_bytes_total", "counter", "Bytes of bodies.");
    out.value("rfuse_store_bytes_total{direction=\"received\"}", s.store.received_bytes as f64);
    out.head("rfuse_store_request_seconds", "summary", "Time from request to last byte.");
    for one in &s.store.latency {
        out.value(&format!("rfuse_store_request_seconds{{op=\"{}\",quantile=\"0.5\"}}", one.op), one.p50);
        out.value(&format!("rfuse_store_request_seconds{{op=\"{}\",quantile=\"0.99\"}}", one.op), one.p99);
        out.value(&format!("rfuse_store_request_seconds_sum{{op=\"{}\"}}", one.op), one.sum);
        out.value(&format!("rfuse_store_request_seconds_count{{op=\"{}\"}}", one.op), one.count as f64);
    }
    if let Some(ratio) = s.amplification {
        out.one("rfuse_amplification_ratio", "gauge", "Bytes fetched for each byte delivered.", ratio);
    }
    out.one("rfuse_inflight_requests", "gauge", "Requests under way at the store.", s.store.in_flight as f64);
    out.head("rfuse_cache_bytes", "gauge", "Bytes remembered.");
    out.value("rfuse_cache_bytes{tier=\"memory\"}", s.cache.resident_bytes as f64);
    out.head("rfuse_cache_evictions_total", "counter", "Blocks that left to make room.");
    out.value("rfuse_cache_evictions_total{tier=\"memory\"}", s.cache.evictions as f64);
    if let Some(expires) = s.credential.as_ref().and_then(|credential| credential.expires) {
        let help = "When the credential ends.";
        out.one("rfuse_credential_expiry_timestamp_seconds", "gauge", help, expires as f64);
    }
    out.head("rfuse_mount_info", "gauge", "This mount.");
    let (url, dir) = (escape(&s.url), escape(&s.dir));
    out.value(&format!("rfuse_mount_info{{version=\"{}\",url=\"{url}\",dir=\"{dir}\"}}", s.version), 1.0);
    out.0
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

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rfuse_config::control::RequestCount;

    #[test]
    fn every_line_is_a_comment_or_a_name_with_a_number() {
        let mut s = Statistics { dir: "/a\n\"b\\".into(), amplification: Some(1.0), ..Statistics::default() };
        s.store.requests.push(RequestCount { op: "get".into(), status: "ok".into(), count: 7 });
        let text = text(&s);
        for line in text.lines().filter(|line| !line.starts_with("# ")) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("rfuse_") && value.parse::<f64>().is_ok(), "{line}");
        }
        assert!(text.contains("rfuse_store_requests_total{op=\"get\",status=\"ok\"} 7"));
        assert!(text.contains("dir=\"/a\\n\\\"b\\\\\""));
    }
}
