//! All mounts of this user on one screen: what `rfuse top` shows. Pure: numbers and a width in, lines out.

use std::collections::{BTreeMap, VecDeque};

use rfuse_config::control::{FileNumbers, Registration, Statistics};

use crate::outcome::one_line;
use crate::screen::{age, bytes, credential_left, share};

/// Looks a sparkline goes back.
const PAST: usize = 24;
/// Its steps, from nothing to the most of what it shows.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One look at one mount.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) registration: Registration,
    /// None: it does not answer.
    pub(crate) now: Option<Statistics>,
    /// The files that cost most, where they were asked for.
    pub(crate) files: Vec<FileNumbers>,
}

/// What is remembered of a mount between looks.
#[derive(Debug, Default)]
struct Past {
    before: Option<Statistics>,
    /// Reads a second, the newest last.
    rates: VecDeque<f64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Top {
    mounts: BTreeMap<String, Past>,
}

/// What a mount did between two looks, a second.
struct Rates {
    reads: f64,
    delivered: f64,
    gets: f64,
    received: f64,
    from_memory: String,
}

impl Top {
    /// The lines of one look: a head, then two lines a mount, and the files below it. None is wider than `width`.
    pub(crate) fn lines(&mut self, looks: &[Look], width: usize) -> Vec<String> {
        let here: Vec<&str> = looks.iter().map(|look| look.registration.dir.as_str()).collect();
        self.mounts.retain(|dir, _| here.contains(&dir.as_str()));
        let mut lines = vec![format!(
            "{:>10} {:>12} {:>8} {:>12} {:>7} {:>9} {:>7} {:>10}  {}",
            "reads/s", "bytes/s", "GETs/s", "fetched/s", "memory", "GET p99", "flight", "credential", "reads/s before"
        )];
        if looks.is_empty() {
            lines.push("no mounts of rfuse by this user".to_owned());
        }
        for look in looks {
            let past = self.mounts.entry(look.registration.dir.clone()).or_default();
            lines.push(format!("{}  {}", one_line(&look.registration.dir), one_line(&look.registration.url)));
            lines.push(match &look.now {
                Some(now) => past.line(now),
                None => "  does not answer".to_owned(),
            });
            lines.extend(look.files.iter().map(file));
        }
        lines.into_iter().map(|line| line.chars().take(width).collect()).collect()
    }
}

impl Past {
    fn line(&mut self, now: &Statistics) -> String {
        // A mount that was made anew counts from nothing.
        let before = self.before.take().filter(|before| before.pid == now.pid).unwrap_or_default();
        let rates = Rates::between(&before, now);
        self.rates.push_back(rates.reads);
        while self.rates.len() > PAST {
            self.rates.pop_front();
        }
        self.before = Some(now.clone());
        let get = now.store.latency.iter().find(|one| one.op == "get" && one.count > 0);
        format!(
            "{:>10.1} {:>12} {:>8.1} {:>12} {:>7} {:>9} {:>7} {:>10}  {}",
            rates.reads,
            bytes(rates.delivered as u64),
            rates.gets,
            bytes(rates.received as u64),
            rates.from_memory,
            get.map_or_else(|| "-".to_owned(), |get| format!("{:.1} ms", get.p99 * 1e3)),
            now.store.in_flight,
            credential_left(now).map_or_else(|| "-".to_owned(), |left| age(left.max(0) as f64)),
            sparkline(self.rates.iter().copied())
        )
    }
}

impl Rates {
    fn between(before: &Statistics, now: &Statistics) -> Self {
        let span = (now.uptime_seconds - before.uptime_seconds).max(0.001);
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / span;
        let reads = now.reads.total.saturating_sub(before.reads.total);
        let from_memory = now.reads.from_memory.saturating_sub(before.reads.from_memory);
        Self {
            reads: reads as f64 / span,
            delivered: rate(now.reads.delivered_bytes, before.reads.delivered_bytes),
            gets: rate(now.store.count("get"), before.store.count("get")),
            received: rate(now.store.received_bytes, before.store.received_bytes),
            from_memory: share(from_memory, reads),
        }
    }
}

/// One file and what it cost.
pub(crate) fn file(one: &FileNumbers) -> String {
    format!(
        "    {:>10} reads waited for {:>10}, {:>10} in memory, {} open  {}",
        one.waited,
        bytes(one.waited_bytes),
        bytes(one.resident_bytes),
        one.handles,
        one_line(&one.path)
    )
}

/// The values as blocks, the largest a whole one.
fn sparkline(values: impl Iterator<Item = f64> + Clone) -> String {
    let most = values.clone().fold(0.0, f64::max);
    let step = |value: f64| if most > 0.0 { STEPS[((value / most * 7.0).round() as usize).min(7)] } else { STEPS[0] };
    values.map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(pid: u32, uptime: f64, reads: u64) -> Look {
        let registration = Registration { dir: "/mnt/a\nb".into(), url: "mem:".into(), pid, since: 0, log: None };
        let mut now = Statistics { pid, uptime_seconds: uptime, ..Statistics::default() };
        now.reads.total = reads;
        now.reads.from_memory = reads / 2;
        Look { registration, now: Some(now), files: Vec::new() }
    }

    #[test]
    fn rates_are_those_between_two_looks() {
        let mut top = Top::default();
        top.lines(&[look(1, 10.0, 100)], 200);
        let lines = top.lines(&[look(1, 12.0, 500)], 200);
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("/mnt/a\\nb  mem:"), "{lines:?}");
        assert!(lines[2].trim_start().starts_with("200.0 ") && lines[2].contains("50.0 %"), "{lines:?}");
        assert!(lines[2].ends_with("▁█"), "{lines:?}");
        // The process is another one: what it counts began anew.
        assert!(top.lines(&[look(2, 2.0, 20)], 200)[2].trim_start().starts_with("10.0 "));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_silence_is_said() {
        let mut silent = look(1, 1.0, 1);
        silent.now = None;
        let lines = Top::default().lines(&[silent], 20);
        assert!(lines.iter().all(|line| line.chars().count() <= 20), "{lines:?}");
        assert!(lines[2].contains("does not answer"));
        assert_eq!(Top::default().lines(&[], 80).len(), 2);
    }

    #[test]
    fn a_sparkline_of_nothing_is_flat() {
        assert_eq!(sparkline([0.0, 0.0].into_iter()), "▁▁");
        assert_eq!(sparkline([1.0, 4.0, 8.0].into_iter()), "▂▅█");
    }
}
