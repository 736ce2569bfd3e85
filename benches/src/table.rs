//! The result: rows, each with its yardstick and verdict, as text, Markdown and JSON.

use std::fmt::Write;

use serde::Serialize;

/// Whether a row is what it must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is.
    Pass,
    /// It is not.
    Miss,
    /// This machine lacks what it takes; `measured` says what.
    Skipped,
    /// It could not be measured; `measured` says why.
    Failed,
}

impl Verdict {
    /// Whether something is not as it must be, or nobody knows.
    fn is_short(self) -> bool {
        matches!(self, Self::Miss | Self::Failed)
    }
}

/// One line of the table.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// The name of the group it belongs to, as `--only` takes it.
    pub group: String,
    /// What was measured.
    pub what: String,
    /// What it must be.
    pub must: String,
    /// What it is.
    pub measured: String,
    /// What was measured beside it.
    pub yardstick: String,
    /// The figure that is judged, where it is one.
    pub ratio: Option<f64>,
    /// The judgement.
    pub verdict: Verdict,
}

impl Row {
    /// A row whose `ratio` must not be less than `least`.
    pub fn at_least(what: impl Into<String>, least: f64, ratio: f64) -> Self {
        Self::new(what, format!("≥ {least:.2}"), ratio, ratio >= least)
    }

    /// A row whose `ratio` must not be more than `most`.
    pub fn at_most(what: impl Into<String>, most: f64, ratio: f64) -> Self {
        Self::new(what, format!("≤ {most:.2}"), ratio, ratio <= most)
    }

    /// A row whose `ratio` must be `want`, give or take half a hundredth.
    pub fn exactly(what: impl Into<String>, want: f64, ratio: f64) -> Self {
        Self::new(what, format!("{want:.2}"), ratio, (ratio - want).abs() <= 0.005)
    }

    /// A row that says why it was not measured.
    pub fn failed(what: impl Into<String>, why: impl Into<String>) -> Self {
        let mut row = Self::new(what, String::new(), 0.0, false).measured(why);
        row.verdict = Verdict::Failed;
        row.ratio = None;
        row
    }

    /// A row that this machine cannot measure, and why.
    pub fn skipped(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped, ..Self::failed(what, why) }
    }

    /// With the figures behind the ratio.
    #[must_use]
    pub fn measured(mut self, words: impl Into<String>) -> Self {
        self.measured = words.into();
        self
    }

    /// With what was measured beside it.
    #[must_use]
    pub fn beside(mut self, words: impl Into<String>) -> Self {
        self.yardstick = words.into();
        self
    }

    /// Passes only if this holds too; `must` says what.
    #[must_use]
    pub fn and(mut self, must: &str, holds: bool) -> Self {
        self.must = format!("{}, {must}", self.must);
        if !holds {
            self.verdict = Verdict::Miss;
        }
        self
    }

    /// Passes also if this holds; `must` says what.
    #[must_use]
    pub fn or(mut self, must: &str, holds: bool) -> Self {
        self.must = format!("{} or {must}", self.must);
        if holds {
            self.verdict = Verdict::Pass;
        }
        self
    }

    fn new(what: impl Into<String>, must: String, ratio: f64, holds: bool) -> Self {
        Self {
            group: String::new(),
            what: what.into(),
            must,
            measured: String::new(),
            yardstick: String::new(),
            ratio: Some(ratio),
            verdict: if holds { Verdict::Pass } else { Verdict::Miss },
        }
    }

    fn cells(&self) -> [String; 6] {
        let verdict = match self.verdict {
            Verdict::Pass => "pass",
            Verdict::Miss => "MISS",
            Verdict::Skipped => "SKIPPED",
            Verdict::Failed => "FAILED",
        };
        let ratio = self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let words = [&self.what, &self.must, &self.measured, &self.yardstick].map(Clone::clone);
        let [what, must, measured, yardstick] = words;
        [what, must, measured, yardstick, ratio, verdict.to_owned()]
    }
}

/// The machine a table was measured on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Machine {
    /// Processors.
    pub cpus: usize,
    /// Their name.
    pub cpu: String,
    /// The kernel's release.
    pub kernel: String,
    /// MiB of memory.
    pub memory_mib: u64,
    /// The load average when the run began.
    pub load: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        Self {
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            cpu: field(&read("/proc/cpuinfo"), "model name"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_mib: memory.split(' ').next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 10,
            load: read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
        }
    }
}

/// All of a run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Table {
    /// Where.
    pub machine: Machine,
    /// How the mounts reached the store.
    pub cloud: String,
    /// Seconds it took.
    pub seconds: f64,
    /// What came of it.
    pub rows: Vec<Row>,
}

const HEADS: [&str; 6] = ["what", "must", "measured", "yardstick", "ratio", "verdict"];

impl Table {
    /// How many rows are not what they must be.
    pub fn misses(&self) -> usize {
        self.rows.iter().filter(|row| row.verdict.is_short()).count()
    }

    /// As a Markdown page: how to get it again, the machine, the rows, and where we lose.
    pub fn markdown(&self) -> String {
        let Machine { cpus, cpu, kernel, memory_mib, load } = &self.machine;
        let mut out = format!(
            "# Performance\n\n`target/release/rfuse-bench run` measured this; `benches/README.md` says how to read it. \
             Ratios carry over to other machines, absolute figures do not.\n\nMachine: {cpus} × {cpu}, {memory_mib} MiB, \
             Linux {kernel}; load before the run {load}; store: {}; the run took {:.0} s.\n\n",
            self.cloud, self.seconds
        );
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(out, "| {} |\n|{}", HEADS.join(" | "), "---|".repeat(HEADS.len()));
        for row in &self.rows {
            let cells = row.cells().map(|cell| cell.replace('|', "\\|").replace('\n', " "));
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        let _ = writeln!(out, "\n## Where it is not as it must be\n");
        for row in self.rows.iter().filter(|row| row.verdict.is_short()) {
            let _ = writeln!(out, "- {}: {}", row.what, row.measured.replace('\n', " "));
        }
        if self.misses() == 0 {
            out.push_str("Nowhere in this run.\n");
        }
        out
    }
}

/// One row for a terminal, in two lines.
pub fn line(row: &Row) -> String {
    let [what, must, measured, yardstick, ratio, verdict] = row.cells();
    let mut out = format!("{verdict:<6} {what}: {ratio} (must be {must})\n       {measured}");
    if !yardstick.is_empty() {
        let _ = write!(out, "; beside it {yardstick}");
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_follows_from_ratio_and_conditions() {
        assert_eq!(Row::at_least("", 0.9, 0.89).verdict, Verdict::Miss);
        assert_eq!(Row::at_least("", 0.9, 0.89).or("0.8 of raw", true).verdict, Verdict::Pass);
        assert_eq!(Row::at_most("", 2.5, 2.5).verdict, Verdict::Pass);
        assert_eq!(Row::at_most("", 2.5, 2.0).and("right", false).verdict, Verdict::Miss);
        assert_eq!(Row::exactly("", 1.0, 1.004).verdict, Verdict::Pass);
        assert_eq!(Row::exactly("", 1.0, 0.99).verdict, Verdict::Miss);
        assert_eq!(Row::failed("", "why").verdict, Verdict::Failed);
        assert_eq!(Row::skipped("", "why").verdict, Verdict::Skipped);
        assert_eq!(Row::at_least("", 0.9, f64::NAN).verdict, Verdict::Miss);
    }

    #[test]
    fn markdown_keeps_one_line_a_row_whatever_a_cell_holds() {
        let table = Table {
            machine: Machine::this(),
            cloud: "S3".into(),
            seconds: 1.0,
            rows: vec![Row::failed("a|b", "two\nlines")],
        };
        assert_eq!(table.markdown().lines().filter(|line| line.starts_with('|')).count(), 3);
        assert!(table.markdown().contains("a\\|b"));
        assert_eq!(table.misses(), 1);
    }
}
