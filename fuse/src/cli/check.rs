//! `rfuse check URL`: would it work?

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rfuse_config::Secret;
use rfuse_store::Opened;
use serde::Serialize;

use super::setting_flags::SettingFlags;
use crate::assemble;
use crate::outcome::{Failure, one_line};
use crate::process::say;
use crate::screen::age;
use crate::settings::{Said, gather};

/// Would it work? Try URL, credential, a listing and a read without mounting.
#[derive(Debug, Args)]
pub(crate) struct CheckCommand {
    /// A URL, or a named mount
    #[arg(value_name = "URL|NAME")]
    url: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Read settings from this file too
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingFlags,
}

/// One thing that was tried and worked.
#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    result: String,
}

/// What was found; printed as one object with `--json`.
#[derive(Debug, Default, Serialize)]
struct Findings {
    steps: Vec<Step>,
    failure: Option<Failure>,
}

impl CheckCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        super::quiet_log();
        let mut findings = Findings::default();
        let what = format!("use {}", self.url.split('?').next().unwrap_or_default());
        let outcome = self.look(&mut findings).map_err(|failure| failure.of(what));
        if self.json {
            findings.failure = outcome.as_ref().err().cloned();
            say(serde_json::to_string_pretty(&findings).unwrap_or_default());
        }
        outcome
    }

    fn look(&self, findings: &mut Findings) -> Result<(), Failure> {
        let target = Some(Secret::new(self.url.as_str()));
        let said = Said { target, file: self.config.clone(), values: self.settings.0.clone() };
        let config = gather(&said)?.resolve()?;
        self.found(findings, "settings", format!("{}", config.store.location));
        let runtime = assemble::runtime()?;
        let opened = runtime.block_on(rfuse_store::open(&config.store))?;
        self.found(findings, "credential", credential(&opened));
        let probe = runtime.block_on(rfuse_store::probe(&*opened.store))?;
        self.found(findings, "list", format!("the store answers in {:.1} ms", millis(probe.list_took)));
        let read = match probe.read.transpose()? {
            Some(read) => format!("{} bytes of {} in {:.1} ms", read.bytes, read.key, millis(read.took)),
            None if probe.is_empty => "nothing here yet".to_owned(),
            None => "no object with bytes among the first names".to_owned(),
        };
        self.found(findings, "read", read);
        Ok(())
    }

    fn found(&self, findings: &mut Findings, step: &'static str, result: String) {
        if !self.json {
            say(format!("✓ {step:<11} {}", one_line(&result)));
        }
        findings.steps.push(Step { step, result });
    }
}

fn credential(opened: &Opened) -> String {
    let Some(control) = assemble::credential_control(opened) else { return "none needed".to_owned() };
    let left = control.expiry().and_then(|at| at.duration_since(std::time::SystemTime::now()).ok());
    match left {
        Some(left) => format!("{}, {} left", control.describe(), age(left.as_secs_f64())),
        None => control.describe(),
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
