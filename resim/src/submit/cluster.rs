//! helm and kubectl as programs: arguments in, text out.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use super::gathered::verdict_in;
use super::standing::Standing;
use super::{Failure, Submit};
use crate::outcome::Exit;
use crate::verdict::Verdict;

/// Lines of a pod's log that are looked at; the verdict is one of the last.
const TAIL: &str = "--tail=50";

/// A release in a namespace of whatever cluster the context names.
pub(super) struct Cluster<'a> {
    pub(super) helm: &'a Path,
    pub(super) kubectl: &'a Path,
    pub(super) namespace: &'a str,
    pub(super) release: &'a str,
}

impl Cluster<'_> {
    /// The manifests of a chart.
    pub(super) fn render(&self, chart: &Path, submit: &Submit) -> Result<String, Failure> {
        let mut command = Command::new(self.helm);
        command.arg("template").arg(self.release).arg(chart).args(["--namespace", self.namespace]);
        add_values(&mut command, submit);
        output_of(&mut command, "render the chart")
    }

    /// Installs a chart. Its hooks (making the input, the health check) run first, and this waits for them.
    pub(super) fn install(&self, chart: &Path, submit: &Submit) -> Result<(), Failure> {
        let mut command = Command::new(self.helm);
        command.arg("install").arg(self.release).arg(chart).args(["--namespace", self.namespace, "--create-namespace"]);
        command.arg("--timeout").arg(format!("{}s", submit.timeout.as_secs()));
        add_values(&mut command, submit);
        output_of(&mut command, "install the chart").map(drop)
    }

    /// How far the jobs are.
    pub(super) fn look(&self) -> Result<Standing, Failure> {
        let selector = format!("app.kubernetes.io/instance={},app.kubernetes.io/component=job", self.release);
        let mut command = Command::new(self.kubectl);
        command.args(["get", "jobs,pods", "--output", "json", "--namespace", self.namespace]);
        command.arg("--selector").arg(selector);
        let text = output_of(&mut command, "look at the jobs")?;
        let list = serde_json::from_str(&text).map_err(|error| {
            let help = "check that --kubectl names kubectl";
            Failure::new(Exit::Failed, "look at the jobs", format!("it printed no JSON: {error}"), help)
        })?;
        Ok(Standing::of(&list))
    }

    /// The verdict that a pod printed, if it did.
    pub(super) fn verdict(&self, pod: &str) -> Result<Option<Verdict>, Failure> {
        let mut command = Command::new(self.kubectl);
        command.args(["logs", pod, "--container", "job", TAIL, "--namespace", self.namespace]);
        output_of(&mut command, "read a pod's log").map(|log| verdict_in(&log))
    }
}

fn add_values(command: &mut Command, submit: &Submit) {
    for file in &submit.values {
        command.arg("--values").arg(file);
    }
    for value in &submit.set {
        command.arg("--set").arg(value);
    }
    for (name, text) in &submit.texts {
        // helm takes commas for the end of a value.
        command.arg("--set-string").arg(format!("{name}={}", text.replace('\\', "\\\\").replace(',', "\\,")));
    }
}

fn output_of(command: &mut Command, doing: &str) -> Result<String, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| {
        let (exit, help) = if error.kind() == ErrorKind::NotFound {
            (Exit::NotFound, format!("install {program}, or say where it is with --helm and --kubectl"))
        } else {
            (Exit::Failed, format!("check {program}"))
        };
        Failure::new(exit, doing, format!("{program}: {error}"), help)
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let why = lines.join(" ").chars().take(600).collect::<String>();
    let help = if why.contains("cannot re-use a name") {
        "there is such a run already: give another --name, or remove it with helm uninstall"
    } else {
        "check the context (kubectl config current-context), your rights, and the values"
    };
    Err(Failure::new(Exit::Failed, doing, format!("{program}: {why}"), help))
}
