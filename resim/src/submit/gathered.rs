//! The verdicts of all runs, together.

use serde_json::{Value, json};

use crate::outcome::{Exit, Failure};
use crate::report;
use crate::verdict::Verdict;

/// What the pods said.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Name and verdict of each run; none when its pod left none.
    pub(crate) runs: Vec<(String, Option<Verdict>)>,
    /// Runs of which there is no pod at all.
    pub(crate) missing: u64,
}

impl Gathered {
    /// A line for each run, and one for all.
    pub(crate) fn lines(&self) -> Vec<String> {
        let passed = self.passed();
        let bytes: u64 = self.verdicts().map(|verdict| verdict.bytes).sum();
        let all = self.runs.len() as u64 + self.missing;
        let word = if passed == all { "PASS" } else { "FAIL" };
        let mut lines =
            vec![format!("{word}  {passed} of {all} runs passed, {:.2} GB read in all", bytes as f64 / 1e9)];
        for (name, verdict) in &self.runs {
            let text = verdict.as_ref().map_or_else(|| "no verdict in its log".to_owned(), report::headline);
            lines.push(format!("  {name:<8} {text}"));
        }
        if self.missing > 0 {
            lines.push(format!("  {} runs have no pod", self.missing));
        }
        lines
    }

    /// All of it as JSON.
    pub(crate) fn json(&self) -> Value {
        let runs: Vec<Value> =
            self.runs.iter().map(|(name, verdict)| json!({"name": name, "verdict": verdict})).collect();
        json!({"passed": self.passed(), "runs": runs, "missing": self.missing})
    }

    /// The failure of the whole, if there is one.
    pub(crate) fn failure(&self, release: &str) -> Option<Failure> {
        let all = self.runs.len() as u64 + self.missing;
        let failed = all - self.passed();
        if failed == 0 && all > 0 {
            return None;
        }
        let only_missed = self.missing == 0
            && self.runs.iter().all(|(_, verdict)| verdict.as_ref().is_some_and(|verdict| verdict.complete));
        let exit = if only_missed && all > 0 { Exit::Missed } else { Exit::Failed };
        let why = format!("{failed} of {all} did not pass");
        let help = "the lines above say which; `kubectl logs` of their pods says why";
        Some(Failure::new(exit, format!("call the run {release} good"), why, help))
    }

    fn passed(&self) -> u64 {
        self.verdicts().filter(|verdict| verdict.passed).count() as u64
    }

    fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.runs.iter().filter_map(|(_, verdict)| verdict.as_ref())
    }
}

/// The verdict in a pod's log: the last line that is one. Errors come after it, from another stream.
pub(super) fn verdict_in(log: &str) -> Option<Verdict> {
    log.lines().rev().find_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::verdict;

    #[test]
    fn a_verdict_is_found_among_other_lines() {
        let log =
            format!("starting\n{}\nrfuse-resim: cannot x\n  why:  y\n", serde_json::to_string(&verdict()).unwrap());
        assert_eq!(verdict_in(&log), Some(verdict()));
        assert_eq!(verdict_in("nothing\n{}\n"), None);
    }

    #[test]
    fn a_missed_requirement_and_a_failed_run_end_differently() {
        let mut missed = verdict();
        missed.passed = false;
        let gathered = |runs| Gathered { runs, missing: 0 };
        let ok = ("job 0".to_owned(), Some(verdict()));
        assert_eq!(gathered(vec![ok.clone()]).failure("r"), None);
        let failure = gathered(vec![ok.clone(), ("job 1".to_owned(), Some(missed))]).failure("r").unwrap();
        assert_eq!(failure.exit, Exit::Missed);
        let failure = gathered(vec![ok.clone(), ("job 1".to_owned(), None)]).failure("r").unwrap();
        assert_eq!(failure.exit, Exit::Failed);
        assert_eq!(Gathered { runs: vec![ok], missing: 1 }.failure("r").unwrap().exit, Exit::Failed);
        assert!(Gathered::default().failure("r").is_some());
    }
}
