//! `rfuse stats` in one screen: first the verdict, then where the bytes go.

use std::time::{SystemTime, UNIX_EPOCH};

use rfuse_config::ByteSize;
use rfuse_config::control::{DiskNumbers, Latency, PlanNumbers, Statistics};

use crate::outcome::one_line;

/// The screen of `now`; rates are since `before`, or since the mount began.
pub(crate) fn stats(now: &Statistics, before: Option<&Statistics>) -> String {
    let zero = Statistics::default();
    let before = before.filter(|before| before.pid == now.pid).unwrap_or(&zero);
    let span = (now.uptime_seconds - before.uptime_seconds).max(0.001);
    let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / span;
    let gets = now.store.count("get");
    let get_time = now.store.latency.iter().find(|one| one.op == "get");
    let mut lines = vec![
        verdict(now),
        format!(
            "{}  {}{}  up {}{}",
            one_line(&now.dir),
            one_line(&now.url),
            if now.read_only { " (read-only)" } else { "" },
            age(now.uptime_seconds),
            credential(now)
        ),
        format!(
            "reads      {:.1} /s   {} in all   from memory {}   from the store {}   delivered {}",
            rate(now.reads.total, before.reads.total),
            now.reads.total,
            share(now.reads.from_memory, now.reads.total),
            share(now.reads.total.saturating_sub(now.reads.from_memory), now.reads.total),
            bytes(now.reads.delivered_bytes),
        ),
        format!(
            "store      {:.1} GETs/s   {}/s   GETs a read {}   bytes a byte {}   failed {}   retries {}   in flight {}/{}{}",
            rate(gets, before.store.count("get")),
            bytes(rate(now.store.received_bytes, before.store.received_bytes) as u64),
            ratio(gets, now.reads.total),
            now.amplification.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            now.store.failed,
            now.store.retries,
            now.store.in_flight,
            now.store.in_flight_max,
            now.cost_a_day.map_or_else(String::new, |cost| format!("   requests cost {cost:.2} a day")),
        ),
        format!("latency    GET {}   reads that waited {}", times(get_time), times(Some(&now.reads.waited))),
        format!(
            "cache      memory {} of {}   bookkeeping {}   evicted {:.1} blocks/s",
            bytes(now.cache.resident_bytes),
            ByteSize(now.cache.limit_bytes),
            bytes(now.cache.overhead_bytes),
            rate(now.cache.evictions, before.cache.evictions),
        ),
        format!(
            "ahead      {}{} streams   fetched early {}   wasted {}   given to the page cache {}   on the way {} of {}   refused {}",
            now.ahead.plan.as_ref().map_or_else(String::new, plan),
            now.ahead.streams,
            bytes(now.ahead.planned),
            share(now.ahead.wasted, now.ahead.planned),
            bytes(now.ahead.pushed),
            bytes(now.cache.ahead_bytes),
            bytes(now.cache.ahead_limit_bytes),
            now.cache.refused_ahead,
        ),
        format!(
            "names      {} remembered   {} open   {} look-ups   unreachable {}   errors {}   waiting {}",
            now.kernel.entries,
            now.kernel.handles,
            now.kernel.lookups,
            now.kernel.unreachable_objects,
            now.kernel.errors,
            now.kernel.outstanding,
        ),
    ];
    if let Some(disk) = &now.cache.disk {
        let none = DiskNumbers::default();
        lines.insert(lines.len() - 1, disk_line(disk, before.cache.disk.as_ref().unwrap_or(&none), span));
    }
    lines.join("\n")
}

fn disk_line(now: &DiskNumbers, before: &DiskNumbers, span: f64) -> String {
    let asked = now.hits + now.misses;
    let mut line = format!(
        "disk       {} of {}   hits {} of what is not in memory   read {}/s   written {}   pinned {}   index {}",
        bytes(now.resident_bytes),
        ByteSize(now.limit_bytes),
        share(now.hits, asked),
        bytes((now.read_bytes.saturating_sub(before.read_bytes) as f64 / span) as u64),
        bytes(now.written_bytes),
        bytes(now.pinned_bytes),
        bytes(now.overhead_bytes),
    );
    if now.errors + now.corrupt > 0 {
        line += &format!("   faults {}   damaged {}", now.errors, now.corrupt);
    }
    line
}

/// How far a plan has come.
fn plan(plan: &PlanNumbers) -> String {
    let ahead = plan.planned.saturating_sub(plan.position);
    format!("plan {} through, {ahead} reads ahead, {} strayed   ", share(plan.position, plan.steps), plan.strayed)
}

/// What a person wants to know first.
fn verdict(now: &Statistics) -> String {
    const SOON: i64 = 24 * 3600;
    match credential_left(now) {
        Some(left) if left <= 0 => return "the credential has expired".to_owned(),
        Some(left) if left < SOON => return format!("credential expires in {}", age(left as f64)),
        _ => {}
    }
    if now.kernel.outstanding > 0 {
        let get = now.store.latency.iter().find(|one| one.op == "get");
        return format!("waiting for the store: {} requests in flight, GET {}", now.kernel.outstanding, times(get));
    }
    match now.reads.total {
        0 => "ready: nothing has been read yet".to_owned(),
        total => format!("ready: {} of the reads from memory", share(now.reads.from_memory, total)),
    }
}

/// Seconds the credential has left, where that is known.
pub(crate) fn credential_left(now: &Statistics) -> Option<i64> {
    let expires = now.credential.as_ref()?.expires?;
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(i64::try_from(expires).ok()?.saturating_sub(i64::try_from(clock).ok()?))
}

fn credential(now: &Statistics) -> String {
    credential_left(now).map_or_else(String::new, |left| format!(", credential {} left", age(left.max(0) as f64)))
}

fn times(latency: Option<&Latency>) -> String {
    match latency.filter(|one| one.count > 0) {
        Some(one) => format!("p50 {}   p99 {}", time(one.p50), time(one.p99)),
        None => "not measured yet".to_owned(),
    }
}

fn time(seconds: f64) -> String {
    if seconds < 0.001 { format!("{:.0} µs", seconds * 1e6) } else { format!("{:.1} ms", seconds * 1e3) }
}

/// `3 d`, `2 h`, `5 min`, `12 s`.
pub(crate) fn age(seconds: f64) -> String {
    match seconds as u64 {
        s if s >= 2 * 86_400 => format!("{} d", s / 86_400),
        s if s >= 2 * 3600 => format!("{} h", s / 3600),
        s if s >= 120 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// `12.3 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| count >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", count as f64 / *unit as f64),
        None => format!("{count} B"),
    }
}

/// `98.7 %`, or a dash of nothing.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}

fn ratio(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.2}", part as f64 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rfuse_config::control::CredentialStatus;

    #[test]
    fn a_screen_fits_and_begins_with_the_verdict() {
        let mut now = Statistics { dir: "/mnt/a\nb".into(), uptime_seconds: 100.0, ..Statistics::default() };
        now.reads.total = 200;
        now.reads.from_memory = 150;
        let screen = stats(&now, None);
        assert!(screen.starts_with("ready: 75.0 % of the reads from memory\n"), "{screen}");
        assert!(screen.contains("reads      2.0 /s"), "{screen}");
        assert_eq!(screen.lines().count(), 8);
        now.cache.disk = Some(DiskNumbers { hits: 3, misses: 1, corrupt: 1, ..DiskNumbers::default() });
        let screen = stats(&now, None);
        assert!(screen.contains("hits 75.0 % of what is not in memory") && screen.contains("damaged 1"), "{screen}");
    }

    #[test]
    fn an_ending_credential_comes_before_speed() {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let ends = |expires| Statistics {
            credential: Some(CredentialStatus { expires: Some(expires), ..CredentialStatus::default() }),
            ..Statistics::default()
        };
        assert!(verdict(&ends(clock + 3 * 3600)).starts_with("credential expires in"));
        assert_eq!(verdict(&ends(clock - 1)), "the credential has expired");
    }

    #[test]
    fn what_was_not_measured_is_a_dash_and_not_a_zero() {
        assert_eq!((share(0, 0), ratio(0, 0)), ("-".to_owned(), "-".to_owned()));
    }
}
