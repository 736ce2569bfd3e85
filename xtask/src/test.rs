//! Every test there is, on a machine that has nothing yet.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::servers::{S3Server, Server};
use crate::shell::{cargo, spawn, step};
use crate::tally::Tally;
use crate::{charts, check, conformance, demo, e2e, kernels, tools};

/// What `cargo xtask test` can leave out.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave out format, lints, documentation and licences.
    #[arg(long)]
    no_check: bool,
    /// Leave out the demo.
    #[arg(long)]
    no_demo: bool,
    /// Which S3 server the tests talk to.
    #[arg(long, value_enum, default_value = "versitygw")]
    s3: S3Server,
    /// Only the test binaries of this package.
    #[arg(long, short, value_name = "PACKAGE")]
    package: Option<String>,
    #[command(flatten)]
    suites: conformance::Options,
}

/// The key the S3 server of the tests knows; it guards a folder that is deleted after the run.
const S3_KEY: &str = "rfuse-test";
const S3_SECRET: &str = "rfuse-test-secret";

/// Time at most for building and running the test binaries.
const LIMIT: Duration = Duration::from_secs(60 * 60);

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut tally = Tally::new();
    if options.suites.conformance {
        println!("rfuse test: suites of foreign hands");
        let judged = conformance::run(&options.suites, &mut tally);
        if judged.is_err() {
            tally.step(false);
        }
        report(judged);
        return close(&tally);
    }
    println!("rfuse test: every test there is");
    if !options.no_check {
        let checked = check::run_all();
        tally.step(checked.is_ok());
        report(checked);
    }
    if options.package.is_none() {
        let charts = charts::run(&charts::Options { write: false });
        tally.step(charts.is_ok());
        report(charts);
    }
    if !options.no_check && options.package.is_none() {
        let compiled = kernels::run(&kernels::Options::check());
        tally.step(compiled.is_ok());
        report(compiled);
    }
    let tested = test_binaries(options, &mut tally);
    if tested.is_err() && !tally.failed() {
        tally.step(false);
    }
    report(tested);
    if options.package.is_none() {
        // Says SKIPPED where no cluster is given.
        let clustered = e2e::run(&e2e::Options::default());
        tally.step(clustered.is_ok());
        report(clustered);
    }
    if !options.no_demo && options.package.is_none() {
        let shown = demo::run(&demo::Options::small());
        tally.step(shown.is_ok());
        report(shown);
    }
    if options.package.is_none() {
        let judged = conformance::run(&conformance::Options::short(), &mut tally);
        if judged.is_err() {
            tally.step(false);
        }
        report(judged);
    }
    close(&tally)
}

fn close(tally: &Tally) -> Result<()> {
    for skipped in tally.skipped() {
        println!("{skipped}");
    }
    println!("{tally}");
    if tally.failed() {
        std::process::exit(1)
    }
    Ok(())
}

fn report(outcome: Result<()>) {
    if let Err(error) = outcome {
        println!("error: {error:#}");
    }
}

fn test_binaries(options: &Options, tally: &mut Tally) -> Result<()> {
    tools::fuse()?;
    tools::debian(&[("fio", "fio"), ("openssl", "openssl")])?;
    let python = tools::python()?;
    let helm = tools::helm()?;
    let validate = tools::kubernetes_validate()?;
    let azurite = Server::azurite()?;
    let (azurite_tls, certificate) = Server::azurite_with_tls()?;
    let s3 = Server::s3(options.s3, S3_KEY, S3_SECRET)?;
    step("servers", format_args!("Azurite {} and {}, S3 {}", azurite.url, azurite_tls.url, s3.url));
    let sanity = tools::csi_sanity()?;
    let mut tests = cargo(&["test", "--no-fail-fast"]);
    match &options.package {
        Some(package) => tests.args(["--package", package]),
        None => tests.args(["--workspace"]),
    };
    tests
        .arg("--all-features")
        .env("RFUSE_TEST_AZURITE", &azurite.url)
        .env("RFUSE_TEST_AZURITE_TLS", &azurite_tls.url)
        .env("RFUSE_TEST_AZURITE_CA", &certificate)
        .env("RFUSE_TEST_S3", &s3.url)
        .env("RFUSE_TEST_S3_SERVER", options.s3.name())
        .env("RFUSE_TEST_S3_KEY", S3_KEY)
        .env("RFUSE_TEST_S3_SECRET", S3_SECRET)
        .env("RFUSE_TEST_S3_BUCKET", &s3.bucket)
        .env("RFUSE_TEST_CSI_SANITY", &sanity)
        .env("RFUSE_TEST_HELM", &helm)
        .env("RFUSE_TEST_KUBERNETES_VALIDATE", &validate)
        .env("RFUSE_TEST_PYTHON", &python);
    watch(&mut tests, tally)
}

/// Runs the tests, passing their output on and counting it.
fn watch(tests: &mut Command, tally: &mut Tally) -> Result<()> {
    // SKIPPED lines are printed by passing tests, whose output is only shown when asked for.
    tests.args(["--", "--show-output"]).stdout(Stdio::piped());
    let mut child = spawn(tests)?;
    let output = child.stdout.take().context("the output was not piped")?;
    let ender = Ender::after(LIMIT, child.id());
    for line in BufReader::new(output).lines() {
        let line = line?;
        tally.read(&line);
        println!("{line}");
    }
    let status = child.wait()?;
    if ender.rang() {
        bail!("the tests took longer than {} minutes and were ended", LIMIT.as_secs() / 60);
    }
    if !status.success() {
        bail!("cargo test failed: {status}");
    }
    Ok(())
}

/// Ends a process group when its time is up, unless dropped before.
struct Ender {
    cancel: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<bool>>,
}

impl Ender {
    fn after(limit: Duration, group: u32) -> Self {
        let (cancel, cancelled) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let rang = cancelled.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
            if let (true, Some(group)) = (rang, rustix::process::Pid::from_raw(group.cast_signed())) {
                // The group may have ended in this moment: then there is nobody to signal.
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            rang
        });
        Self { cancel: Some(cancel), thread: Some(thread) }
    }

    /// Stops the clock; whether it had rung.
    fn rang(mut self) -> bool {
        drop(self.cancel.take());
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or(false)
    }
}
