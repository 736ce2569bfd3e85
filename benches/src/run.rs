//! One run: every group of rows in turn, told as it goes.

use std::time::{Duration, Instant};

use crate::lab::Lab;
use crate::rows::GROUPS;
use crate::table::{Machine, Row, Table, line};

/// What of it to do.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The names of the groups; none: all.
    pub only: Vec<String>,
    /// No group begins later than this after the start.
    pub limit: Duration,
}

/// Measures the chosen groups; `tell` gets each row as soon as it is there.
pub fn run(lab: &Lab, choice: &Choice, mut tell: impl FnMut(&str)) -> Table {
    let (machine, started) = (Machine::this(), Instant::now());
    let mut rows = Vec::new();
    let chosen = GROUPS.iter().filter(|group| choice.only.is_empty() || choice.only.iter().any(|n| n == group.name));
    for group in chosen {
        let new = if started.elapsed() < choice.limit {
            group.rows(lab)
        } else {
            vec![Row::failed(group.name, "no time was left")]
        };
        new.iter().for_each(|row| tell(&line(row)));
        rows.extend(new);
    }
    let cloud = format!("{:?}", lab.cloud());
    let table = Table { machine, cloud, seconds: started.elapsed().as_secs_f64(), rows };
    tell(&format!("{} rows, {} not as they must be, {:.0} s\n", table.rows.len(), table.misses(), table.seconds));
    table
}
