//! The sum of what the test runners said.

use std::fmt;
use std::time::Instant;

/// Counts over every test binary of a run, printed as the test runner's own closing line.
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    skipped: Vec<String>,
    begun: Instant,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { passed: 0, failed: 0, ignored: 0, skipped: Vec::new(), begun: Instant::now() }
    }

    /// Counts the closing lines in a test runner's output, and collects the loud skips.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, " passed");
            self.failed += count(counts, " failed");
            self.ignored += count(counts, " ignored");
        } else if let Some(at) = line.find("SKIPPED") {
            self.skipped.push(line[at..].to_owned());
        }
    }

    /// Counts a step that is no test binary.
    pub(crate) fn step(&mut self, passed: bool) {
        if passed { self.passed += 1 } else { self.failed += 1 }
    }

    /// Counts the cases of a suite.
    pub(crate) fn add(&mut self, passed: u64, failed: u64, ignored: u64) {
        self.passed += passed;
        self.failed += failed;
        self.ignored += ignored;
    }

    /// What was not run, and why.
    pub(crate) fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Whether anything failed.
    pub(crate) fn failed(&self) -> bool {
        self.failed > 0
    }
}

fn count(counts: &str, of: &str) -> u64 {
    let before = counts.split(of).next().unwrap_or("");
    before.rsplit([' ', ';']).next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.failed() { "FAILED" } else { "ok" };
        let Self { passed, failed, ignored, .. } = self;
        let seconds = self.begun.elapsed().as_secs_f64();
        write!(
            f,
            "test result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out; \
             finished in {seconds:.2}s"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_add_up() {
        let mut tally = Tally::new();
        tally.read("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s");
        tally.read("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s");
        tally.read("SKIPPED: no /dev/fuse");
        tally.step(true);
        let closing = tally.to_string();
        assert!(closing.starts_with("test result: FAILED. 16 passed; 2 failed; 1 ignored;"), "{closing}");
        assert_eq!(tally.skipped(), ["SKIPPED: no /dev/fuse"]);
    }
}
