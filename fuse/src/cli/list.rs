//! `rfuse list`.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use rfuse_config::control::{Registration, Statistics};
use rfuse_fuse::kernel::mount_table;
use serde::Serialize;

use crate::ask::statistics;
use crate::outcome::{Failure, one_line};
use crate::process::say;
use crate::run_dir::{RunDir, is_alive};
use crate::screen::{age, credential_left, share};

/// Show the mounts of this user.
#[derive(Debug, Args)]
pub(crate) struct ListCommand {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One mount.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    registration: Registration,
    /// `up`, `silent` (does not answer) or `dead` (its daemon is gone).
    state: &'static str,
    statistics: Option<Statistics>,
}

impl ListCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let lines: Vec<Line> = RunDir::find().registrations().into_iter().filter_map(look).collect();
        if self.json {
            let text = serde_json::to_string_pretty(&lines).unwrap_or_else(|_| "[]".to_owned());
            say(text);
        } else {
            table(&lines);
        }
        Ok(())
    }
}

/// The line of a registration; none where both mount and daemon are gone.
fn look(registration: Registration) -> Option<Line> {
    let dir = Path::new(&registration.dir);
    let mounted = mount_table::on(dir).ok().flatten().is_some_and(|entry| entry.is_rfuse());
    if !mounted {
        return None;
    }
    let alive = is_alive(registration.pid);
    let statistics = if alive { statistics(dir, Duration::from_secs(2)).ok() } else { None };
    let state = match (alive, &statistics) {
        (true, Some(_)) => "up",
        (true, None) => "silent",
        (false, _) => "dead",
    };
    Some(Line { registration, state, statistics })
}

fn table(lines: &[Line]) {
    if lines.is_empty() {
        say("no mounts of rfuse by this user");
        return;
    }
    let width = |of: fn(&Registration) -> &String, least: usize| {
        lines.iter().map(|line| one_line(of(&line.registration)).chars().count()).max().unwrap_or(0).max(least)
    };
    let (dirs, urls) = (width(|r| &r.dir, 6), width(|r| &r.url, 3));
    say(format!(
        "{:dirs$}  {:urls$}  state   {:>8}  {:>9}  {:>11}  credential",
        "folder", "url", "age", "reads/s", "from memory"
    ));
    for line in lines {
        say(row(line, dirs, urls));
    }
}

fn row(line: &Line, dirs: usize, urls: usize) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let registration = &line.registration;
    let up = age(now.saturating_sub(registration.since) as f64);
    let (reads, memory, credential) = match &line.statistics {
        Some(s) => (
            format!("{:.1}", s.reads.total as f64 / s.uptime_seconds.max(1.0)),
            share(s.reads.from_memory, s.reads.total),
            credential_left(s).map_or_else(|| "-".to_owned(), |left| format!("{} left", age(left.max(0) as f64))),
        ),
        None if line.state == "dead" => ("-".into(), "-".into(), "its daemon is gone: rfuse unmount it".into()),
        None => ("-".into(), "-".into(), "-".into()),
    };
    let (dir, url) = (one_line(&registration.dir), one_line(&registration.url));
    format!("{dir:dirs$}  {url:urls$}  {:6}  {up:>8}  {reads:>9}  {memory:>11}  {credential}", line.state)
}
