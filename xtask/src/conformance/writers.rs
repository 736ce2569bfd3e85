//! The libraries people store arrays, tables and logs with, writing onto the mount and into a plain folder.

use std::time::Duration;

use anyhow::{Result, bail};

use super::case::{Case, Outcome};
use super::stage::{Stage, succeed, tail};
use crate::shell::{command, root, run_captured};
use crate::tools;

const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Makes files of every format; without changing them again, and with.
const SCRIPTS: [&str; 2] = ["fuse/tests/readers/read.py", "xtask/src/conformance/writers.py"];

pub(super) fn run(stage: &mut Stage<'_>) -> Result<Vec<Case>> {
    let python = tools::python()?;
    let (local, mounted) = (stage.local(), stage.mounted());
    let mut cases = Vec::new();
    let call = |script: &str, words: &[&str]| {
        let mut run = command(&python, &[&root().join(script).to_string_lossy()]);
        run.args(words).env("PYTHONDONTWRITEBYTECODE", "1");
        run
    };
    let folder = |number: usize, home: &std::path::Path| home.join(number.to_string()).to_string_lossy().into_owned();
    for (number, script) in SCRIPTS.iter().enumerate() {
        let (plain, mount) = (folder(number, &local), folder(number, &mounted));
        for place in [&plain, &mount] {
            std::fs::create_dir(place)?;
        }
        succeed(&mut call(script, &["write", &plain]), LIMIT)?;
        cases
            .push(Case::of(format!("write-{number}"), succeed(&mut call(script, &["write", &mount]), LIMIT).map(drop)));
    }
    stage.remount()?;
    for (number, script) in SCRIPTS.iter().enumerate() {
        let words = ["compare", &folder(number, &local), &folder(number, &mounted)];
        // It fails where something differs, and says what.
        let (_, said) = run_captured(&mut call(script, &words), LIMIT)?;
        let compared = read(&said, number);
        if compared.is_empty() {
            bail!("{script} compared nothing: {}", tail(&said, 5));
        }
        // A tar has the times of what is in it, so its bytes are never the same twice; its members are compared.
        cases.extend(compared.into_iter().filter(|case| case.name != "plain-0"));
    }
    Ok(cases)
}

/// Lines of `NAME: same` and `NAME: DIFFERENT`.
fn read(said: &str, number: usize) -> Vec<Case> {
    let lines = said.lines().filter_map(|line| line.split_once(": "));
    let cases = lines.filter_map(|(name, word)| match word {
        "same" => Some(Case::new(format!("{name}-{number}"), Outcome::Passed)),
        "DIFFERENT" => Some(Case::new(format!("{name}-{number}"), Outcome::Failed("differs".to_owned()))),
        _ => None,
    });
    cases.collect()
}
