//! What must pass before a commit.

use std::time::Duration;

use anyhow::Result;

use crate::shell::{cargo, command, run as finish, step};
use crate::{tidy, tools};

const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Format, house rules, lints, documentation, licences and sources.
pub(crate) fn run_all() -> Result<()> {
    step("format", "cargo fmt --check");
    finish(&mut cargo(&["fmt", "--all", "--check"]), LIMIT)?;
    tidy::run()?;
    step("lints", "cargo clippy, warnings are errors");
    let clippy = ["clippy", "--quiet", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    finish(&mut cargo(&clippy), LIMIT)?;
    step("documentation", "cargo doc, warnings are errors");
    let mut doc = cargo(&["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
    finish(doc.env("RUSTDOCFLAGS", "-D warnings"), LIMIT)?;
    let deny = tools::cargo_deny()?;
    step("dependencies", "cargo deny: bans, licences, sources");
    finish(&mut command(deny, &["--log-level", "error", "check", "bans", "licenses", "sources"]), LIMIT)
}

pub(crate) fn run() -> Result<()> {
    println!("rfuse check: what must pass before a commit");
    run_all()
}
