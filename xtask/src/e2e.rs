//! The driver on a real cluster: whatever KUBECONFIG names.
//!
//! The image is built and loaded, the chart installed by helm, the shipped examples applied as they are with only
//! names and endpoints set; pods run real containers. Each scenario is a claim with its proof by kubectl. The
//! cluster is left as it was found.
//!
//! | variable | meaning |
//! |---|---|
//! | `KUBECONFIG` | the cluster; without it nothing is done, and said |
//! | `RFUSE_TEST_E2E_LOAD` | a shell command that loads an image: `$IMAGE`, `$ROOT` (a folder), `$ARCHIVE`, `$ENTRYPOINT` |
//! | `RFUSE_TEST_E2E_PREFIX` | what images are called there, before their name: `localhost/` |
//! | `RFUSE_TEST_E2E_KUBELET` | a shell command that restarts the kubelet; without it that scenario is skipped |
//!
//! The stores are servers on this machine's loopback, so the node must be this machine, as in kind or a lab.

mod cluster;
mod jobs;
mod readers;
mod sas;
mod scenarios;
mod world;

use std::time::Instant;

use anyhow::{Result, bail};

use crate::shell::step;
use world::World;

/// What `cargo xtask e2e` can be told.
#[derive(Default, clap::Args)]
pub(crate) struct Options {
    /// Only scenarios whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Optimised programs.
    #[arg(long)]
    release: bool,
    /// Leave the driver installed.
    #[arg(long)]
    keep: bool,
    /// The sample jobs instead of the driver's own scenarios: their image, their chart, `rfuse-resim submit`.
    #[arg(long)]
    jobs: bool,
    /// The scenarios that take minutes, too.
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    println!("rfuse e2e: the driver on a real cluster");
    let (Some(_), Some(load)) = (std::env::var_os("KUBECONFIG"), std::env::var_os("RFUSE_TEST_E2E_LOAD")) else {
        println!("SKIPPED: KUBECONFIG and RFUSE_TEST_E2E_LOAD name no cluster; xtask/src/e2e.rs says what they are");
        return Ok(());
    };
    let world = World::install(&load.to_string_lossy(), options.release)?;
    let scenarios = if options.jobs {
        world::load_image(&load.to_string_lossy(), &jobs::image(options.release)?)?;
        jobs::ALL
    } else {
        scenarios::ALL
    };
    let mut failed = Vec::new();
    let wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    for scenario in scenarios.iter().filter(|scenario| wanted(scenario.name)) {
        if scenario.takes_minutes && !options.all && options.only.is_none() {
            println!("SKIPPED: {} takes minutes; --all runs it", scenario.name);
            continue;
        }
        let begun = Instant::now();
        match (scenario.act)(&world) {
            Ok(proof) => println!("ok      {} ({:.1} s): {proof}", scenario.name, begun.elapsed().as_secs_f64()),
            Err(error) => {
                println!("FAILED  {} ({:.1} s): {error:#}", scenario.name, begun.elapsed().as_secs_f64());
                println!("{}", world.describe());
                failed.push(scenario.name);
            }
        }
        world.clean();
    }
    if options.keep {
        step("kept", "helm uninstall rfuse-csi -n kube-system takes the driver away");
    } else {
        world.uninstall();
    }
    if failed.is_empty() { Ok(()) } else { bail!("{} scenarios failed: {}", failed.len(), failed.join(", ")) }
}
