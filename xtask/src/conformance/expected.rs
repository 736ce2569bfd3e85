//! What is known to fail, and why: one line a case or pattern, `STORES PATTERN # REASON`.
//!
//! `STORES` is `all` or names with commas between them, with a `?` behind where the case fails now and then: a fault that
//! is known and not mended, which may pass. In a pattern `*` stands for any text.

use anyhow::{Context, Result};

use super::case::{Case, Outcome};
use crate::shell::root;

/// The expected failures of a suite.
#[derive(Debug, Default)]
pub(crate) struct Expected(Vec<Line>);

#[derive(Debug)]
struct Line {
    stores: Vec<String>,
    /// Now and then.
    is_rare: bool,
    pattern: String,
}

/// Outcomes, counted, after what was expected is taken into account.
#[derive(PartialEq, Eq, Default, Debug)]
pub(crate) struct Verdict {
    pub(crate) passed: u64,
    /// Failed, as the list says.
    pub(crate) expected: u64,
    pub(crate) skipped: u64,
    /// One line each: failed unexpectedly, passed unexpectedly, or a line of the list that matches nothing.
    pub(crate) wrong: Vec<String>,
}

impl Expected {
    /// The list of `suite`; a suite without a file has no expected failures.
    pub(crate) fn of(suite: &str) -> Result<Self> {
        let path = root().join("xtask/expected").join(suite).with_extension("txt");
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).with_context(|| path.display().to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let parsed = lines.map(|(number, line)| {
            parse_line(line).with_context(|| format!("line {}: STORES PATTERN # REASON is needed", number + 1))
        });
        parsed.collect::<Result<_>>().map(Self)
    }

    /// Judges the cases of a run on `store`; a `whole` run must meet every line of the list.
    pub(crate) fn judge(&self, cases: &[Case], store: &str, whole: bool) -> Verdict {
        let mut verdict = Verdict::default();
        let mut met = vec![false; self.0.len()];
        let here = |line: &Line| line.stores.iter().any(|name| name == "all" || name == store);
        for Case { name, outcome } in cases {
            let known = self.0.iter().position(|line| here(line) && matches(&line.pattern, name));
            if let Some(at) = known {
                met[at] = true;
            }
            match (outcome, known) {
                (Outcome::Skipped, _) => verdict.skipped += 1,
                (Outcome::Passed, None) => verdict.passed += 1,
                (Outcome::Passed, Some(at)) if self.0[at].is_rare => verdict.passed += 1,
                (Outcome::Failed(_), Some(_)) => verdict.expected += 1,
                (Outcome::Failed(said), None) => verdict.wrong.push(format!("FAILED {name}: {said}")),
                (Outcome::Passed, Some(_)) => {
                    verdict.wrong.push(format!("PASSED {name}, which the list of expected failures says it cannot"));
                }
            }
        }
        let unmet = self.0.iter().zip(met).filter(|(line, met)| whole && here(line) && !met);
        verdict.wrong.extend(unmet.map(|(line, _)| format!("no case is called {}", line.pattern)));
        verdict
    }
}

fn parse_line(line: &str) -> Option<Line> {
    let (head, reason) = line.split_once(" # ")?;
    let (stores, pattern) = head.split_once(' ')?;
    let pattern = pattern.trim();
    if pattern.is_empty() || pattern.contains(' ') || reason.trim().is_empty() {
        return None;
    }
    let (stores, is_rare) = stores.strip_suffix('?').map_or((stores, false), |stores| (stores, true));
    let stores = stores.split(',').map(str::to_owned).collect();
    Some(Line { stores, is_rare, pattern: pattern.to_owned() })
}

/// Whether `name` is what `pattern` says.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    loop {
        if matches(rest, name) {
            return true;
        }
        let mut letters = name.chars();
        if letters.next().is_none() {
            return false;
        }
        name = letters.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(list: &str, cases: &[(&str, Outcome)], whole: bool) -> Verdict {
        let cases: Vec<Case> = cases.iter().map(|(name, outcome)| Case::new(*name, outcome.clone())).collect();
        Expected::parse(list).unwrap().judge(&cases, "s3", whole)
    }

    fn failed() -> Outcome {
        Outcome::Failed("EPERM".into())
    }

    #[test]
    fn what_is_expected_to_fail_and_does_is_no_failure() {
        let list = "# links\nall link::* # objects have one name\ns3,azurite a::b # no modes there\n";
        let cases = [("link::one", failed()), ("a::b", failed()), ("c", Outcome::Passed), ("d", Outcome::Skipped)];
        let verdict = judge(list, &cases, true);
        assert_eq!(verdict, Verdict { passed: 1, expected: 2, skipped: 1, wrong: Vec::new() });
    }

    #[test]
    fn an_expected_failure_that_passes_is_wrong() {
        let verdict = judge("all link::* # objects have one name", &[("link::one", Outcome::Passed)], false);
        assert_eq!((verdict.passed, verdict.wrong.len()), (0, 1));
    }

    #[test]
    fn what_fails_now_and_then_may_pass() {
        let list = "all? open::busy # a race that is known";
        assert_eq!(judge(list, &[("open::busy", Outcome::Passed)], true).passed, 1);
        assert_eq!(judge(list, &[("open::busy", failed())], true).expected, 1);
        assert_eq!(judge(list, &[], true).wrong.len(), 1);
    }

    #[test]
    fn a_failure_nobody_expected_is_wrong_and_so_is_a_line_that_matches_nothing() {
        let list = "local a # a local folder only\nall b # gone since";
        assert_eq!(judge(list, &[("a", failed())], true).wrong.len(), 2);
        assert_eq!(judge(list, &[("a", failed())], false).wrong, ["FAILED a: EPERM"]);
    }

    #[test]
    fn a_line_without_a_reason_is_no_line() {
        assert!(Expected::parse("all a").is_err());
        assert!(Expected::parse("all a # ").is_err());
        assert!(Expected::parse("a # no store").is_err());
    }

    #[test]
    fn a_star_is_any_text() {
        assert!(matches("a*c::*", "abc::") && matches("*", "") && matches("*::dir", "x::y::dir"));
        assert!(!matches("a*c", "ab") && !matches("a", "ab") && !matches("*::dir", "x::dirs"));
    }
}
