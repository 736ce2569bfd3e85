//! What a run must reach: `gbps>=1, wait<=5%, checksum, recall>=1`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// What can be required.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Subject {
    Gbps,
    Wait,
    Busy,
    Recall,
    FalseObjects,
    PerSecond,
    Steps,
    Late,
    P50,
    P90,
    P99,
    Checksum,
}

/// The words for them, each with what it measures.
const SUBJECTS: [(&str, Subject); 14] = [
    ("gbps", Subject::Gbps),
    ("wait", Subject::Wait),
    ("busy", Subject::Busy),
    ("recall", Subject::Recall),
    ("false", Subject::FalseObjects),
    ("frames", Subject::PerSecond),
    ("records", Subject::PerSecond),
    ("blocks", Subject::PerSecond),
    ("steps", Subject::Steps),
    ("late", Subject::Late),
    ("p50", Subject::P50),
    ("p90", Subject::P90),
    ("p99", Subject::P99),
    ("checksum", Subject::Checksum),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparison {
    AtLeast,
    AtMost,
    MoreThan,
    LessThan,
}

const COMPARISONS: [(&str, Comparison); 4] =
    [(">=", Comparison::AtLeast), ("<=", Comparison::AtMost), (">", Comparison::MoreThan), ("<", Comparison::LessThan)];

/// One requirement.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Requirement {
    text: String,
    subject: Subject,
    bound: Option<(Comparison, f64)>,
}

/// All that is required of a run.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Requirements(Vec<Requirement>);

/// A requirement and whether it was met.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) requirement: String,
    pub(crate) met: bool,
    /// What was measured, in words.
    pub(crate) actual: String,
}

impl FromStr for Requirements {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(parse).collect::<Result<_, _>>().map(Self)
    }
}

impl Requirements {
    /// Holds a run against them.
    pub(crate) fn check(&self, verdict: &Verdict) -> Vec<Checked> {
        self.0.iter().map(|requirement| requirement.check(verdict)).collect()
    }
}

fn parse(text: &str) -> Result<Requirement, String> {
    let split = text.find(['<', '>', '=']).unwrap_or(text.len());
    let (name, rest) = text.split_at(split);
    let Some((_, subject)) = SUBJECTS.iter().find(|(word, _)| *word == name.trim()) else {
        let words: Vec<&str> = SUBJECTS.iter().map(|(word, _)| *word).collect();
        return Err(format!("nothing called \"{}\" is measured; write {}", name.trim(), words.join(", ")));
    };
    let text = text.to_owned();
    if *subject == Subject::Checksum {
        return if rest.is_empty() {
            Ok(Requirement { text, subject: *subject, bound: None })
        } else {
            Err("\"checksum\" stands alone".to_owned())
        };
    }
    let comparison = COMPARISONS.iter().find_map(|(sign, comparison)| Some((rest.strip_prefix(sign)?, *comparison)));
    let Some((value, comparison)) = comparison else {
        return Err(format!("\"{text}\" has no bound; write {}>=… or {}<=…", name.trim(), name.trim()));
    };
    let value = number(*subject, value.trim()).ok_or_else(|| {
        format!("\"{}\" is no bound for {}; write a number, a share such as 5% or a time such as 10ms", value, name)
    })?;
    Ok(Requirement { text, subject: *subject, bound: Some((comparison, value)) })
}

/// A bound in the unit in which its subject is measured: shares of one, microseconds, plain numbers.
fn number(subject: Subject, text: &str) -> Option<f64> {
    let value = match subject {
        Subject::P50 | Subject::P90 | Subject::P99 => {
            rfuse_config::parse_duration(text).ok().map(|time| time.as_secs_f64() * 1e6)
        }
        _ => match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().ok().map(|value| value / 100.0),
            None => text.parse().ok(),
        },
    };
    value.filter(|value| value.is_finite() && *value >= 0.0)
}

impl Requirement {
    fn check(&self, verdict: &Verdict) -> Checked {
        let checked = |met, actual| Checked { requirement: self.text.clone(), met, actual };
        let Some((comparison, bound)) = self.bound else {
            return match verdict.checksums_right() {
                Some(true) => checked(true, "right".to_owned()),
                Some(false) => checked(false, "wrong".to_owned()),
                None => checked(false, "none was checked".to_owned()),
            };
        };
        let Some(actual) = self.subject.of(verdict) else { return checked(false, "it was not measured".to_owned()) };
        let met = match comparison {
            Comparison::AtLeast => actual >= bound,
            Comparison::AtMost => actual <= bound,
            Comparison::MoreThan => actual > bound,
            Comparison::LessThan => actual < bound,
        };
        checked(met, Shown(self.subject, actual).to_string())
    }
}

impl Subject {
    fn of(self, verdict: &Verdict) -> Option<f64> {
        Some(match self {
            Self::Gbps => verdict.gigabytes_per_second,
            Self::Wait => verdict.data_wait_share,
            Self::Busy => verdict.device_busy_share,
            Self::Recall => verdict.recall?.share()?,
            Self::FalseObjects => verdict.recall?.false_objects() as f64,
            Self::PerSecond => verdict.per_second,
            Self::Steps => verdict.steps_per_second?,
            Self::Late => verdict.late_frames? as f64,
            Self::P50 => verdict.reads.p50_us as f64,
            Self::P90 => verdict.reads.p90_us as f64,
            Self::P99 => verdict.reads.p99_us as f64,
            Self::Checksum => return None,
        })
    }
}

/// A measured value in the words of its subject.
struct Shown(Subject, f64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(subject, value) = self;
        match subject {
            Subject::Wait | Subject::Busy => write!(f, "{:.1} %", value * 100.0),
            Subject::P50 | Subject::P90 | Subject::P99 => write!(f, "{:.3} ms", value / 1e3),
            Subject::FalseObjects | Subject::Late => write!(f, "{value}"),
            _ => write!(f, "{value:.3}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::verdict;

    fn met(text: &str) -> Vec<bool> {
        let requirements: Requirements = text.parse().unwrap();
        requirements.check(&verdict()).into_iter().map(|checked| checked.met).collect()
    }

    #[test]
    fn bounds_hold_in_their_units() {
        // The sample run: 2 GB/s, 4 % wait, recall 1, p99 of 9 ms, 10 steps none.
        assert_eq!(met("gbps>=1, wait<=5%, checksum, recall>=1, false<=0, p99<10ms"), [true; 6]);
        assert_eq!(met("gbps>2,wait<0.04,p99<=8ms,recall>1"), [false; 4]);
        assert!(met("").is_empty());
    }

    #[test]
    fn what_was_not_measured_is_missed() {
        let requirements: Requirements = "steps>=1".parse().unwrap();
        let checked = requirements.check(&verdict());
        assert!(!checked[0].met && checked[0].actual.contains("not measured"));
    }

    #[test]
    fn wrong_words_are_refused_with_the_right_ones() {
        for (text, hint) in [
            ("speed>=1", "gbps"),
            ("gbps", "gbps>="),
            ("gbps>=fast", "number"),
            ("checksum>=1", "alone"),
            ("p99<=fast", "time"),
            ("wait<=-1", "share"),
        ] {
            let error = text.parse::<Requirements>().unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
