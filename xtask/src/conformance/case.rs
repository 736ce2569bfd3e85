//! What one case of a suite came to.

/// A case and its outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    /// As the suite calls it.
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}

/// What it came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Passed,
    /// With what the suite said.
    Failed(String),
    /// The suite found that it does not apply.
    Skipped,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, outcome: Outcome) -> Self {
        Self { name: name.into(), outcome }
    }

    /// A case that passes unless `result` is an error, whose text is what is said.
    pub(crate) fn of(name: impl Into<String>, result: anyhow::Result<()>) -> Self {
        let outcome = match result {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        Self::new(name, outcome)
    }
}
