//! How a command ends: an exit code that scripts can rely on, and three lines for people.

use std::fmt;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// Stable, documented exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Exit {
    /// Something else failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A setting, file or URL is wrong.
    Config = 3,
    /// No credential, or one the store refuses.
    Credential = 4,
    /// The container, bucket, object or mount does not exist.
    NotFound = 5,
    /// The network or the store does not answer as it should.
    Network = 6,
    /// The mount point cannot be used.
    MountPoint = 7,
    /// This machine or container has no FUSE for us.
    NoFuse = 8,
    /// It is still in use.
    Busy = 9,
}

impl Exit {
    /// Every code with its meaning; the manual is held to it.
    #[cfg(test)]
    pub(crate) const MEANINGS: [(u8, &'static str); 10] = [
        (0, "done"),
        (Self::Failed as u8, "failed"),
        (Self::Usage as u8, "wrong usage"),
        (Self::Config as u8, "configuration"),
        (Self::Credential as u8, "credentials"),
        (Self::NotFound as u8, "not found"),
        (Self::Network as u8, "network or store"),
        (Self::MountPoint as u8, "mount point"),
        (Self::NoFuse as u8, "no FUSE here"),
        (Self::Busy as u8, "still busy"),
    ];
}

/// A command that did not do what it was asked: what, why, and what to do about it. Holds no secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What was not done, after "cannot".
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) help: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: &str, why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { exit, what: what.to_owned(), why: why.into(), help: help.into() }
    }

    /// The same failure, said of `what`.
    pub(crate) fn of(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }

    /// The code for the shell.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

/// Three lines, each kept on one line whatever a name contains.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, why, help) = (one_line(&self.what), one_line(&self.why), one_line(&self.help));
        write!(f, "rfuse: cannot {what}\n  why:  {why}\n  help: {help}")
    }
}

impl std::error::Error for Failure {}

/// `text` with control characters, and those that reorder a line, escaped.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if breaks_line(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// Whether a character ends a line, reorders it, or is a command to a terminal.
pub(crate) fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_three_lines_whatever_it_names() {
        let failure = Failure::new(Exit::Failed, "mount a\nb", "x\x1b[31my", "z\u{202e}");
        let text = failure.to_string();
        assert_eq!(text.lines().count(), 3);
        assert!(!text.contains('\x1b') && !text.contains('\u{202e}'));
        assert!(text.starts_with("rfuse: cannot mount a\\nb\n  why:  "));
    }

    #[test]
    fn codes_are_those_of_the_manual() {
        let codes: Vec<u8> = Exit::MEANINGS.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, (0..10).collect::<Vec<u8>>());
    }
}
