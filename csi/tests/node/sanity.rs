//! The suite that every CSI driver is held to, against our real sockets, with real mounts on real servers.
//!
//! What the suite leaves out because a driver does not say that it can, and why ours does not:
//! - attach and detach: there is nothing to attach, a node mounts by itself;
//! - snapshots, group snapshots, clones: an object store has versions, which are not volumes;
//! - expansion and modification: a prefix has no size and no class;
//! - listing and capacity: the controller keeps no table, and a store has no end.

use std::path::Path;
use std::process::Command;

use crate::azurite::{ACCOUNT, Container, sas};
use crate::fixture::{Node, may_mount, text};

/// Nothing is skipped by name. Cases that must have run: fewer means that a capability got lost.
const PASSED_MIN: usize = 36;

fn hold_to_it(parameters: &str, secret: &str) {
    let Some(program) = std::env::var_os("RFUSE_TEST_CSI_SANITY") else {
        println!("SKIPPED: RFUSE_TEST_CSI_SANITY names no csi-sanity; cargo xtask test installs it");
        return;
    };
    let node = Node::start();
    let write = |name: &str, content: &str| {
        std::fs::write(node.path(name), content).unwrap();
        text(&node.path(name))
    };
    let kinds = [
        "CreateVolume",
        "DeleteVolume",
        "NodeStageVolume",
        "NodePublishVolume",
        "ControllerValidateVolumeCapabilities",
    ];
    let secrets: String = kinds.iter().map(|kind| format!("{kind}Secret:\n{secret}")).collect();
    let output = Command::new(Path::new(&program))
        .arg("--ginkgo.no-color")
        .args(["--csi.endpoint", &format!("unix://{}", node.path("csi.sock").display())])
        .args([
            "--csi.mountdir",
            &text(&node.path("sanity-mount")),
            "--csi.stagingdir",
            &text(&node.path("sanity-stage")),
        ])
        .args(["--csi.testvolumeparameters", &write("parameters.yaml", parameters)])
        .args(["--csi.secrets", &write("secrets.yaml", &secrets)])
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    let last = report.lines().rev().find(|line| line.contains("Passed")).unwrap_or_default();
    println!("csi-sanity: {last}");
    assert!(output.status.success(), "{report}");
    let passed: usize = last.split("--").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(passed >= PASSED_MIN, "{last}");
    assert!(node.mounts_below().is_empty());
}

#[test]
fn csi_sanity_passes_with_volumes_in_a_container_of_azure() {
    let (true, Some(container)) = (may_mount(), Container::make("sanity")) else { return };
    let secret = format!(
        "  azurestorageaccountname: {ACCOUNT}\n  azurestorageaccountsastoken: \"?{}\"\n",
        sas("rl", "2099-01-01T00:00:00Z")
    );
    hold_to_it(&format!("url: {}\n", container.url), &secret);
}

#[test]
fn csi_sanity_passes_with_volumes_in_a_bucket_of_s3() {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let found = ["RFUSE_TEST_S3", "RFUSE_TEST_S3_BUCKET", "RFUSE_TEST_S3_KEY", "RFUSE_TEST_S3_SECRET"].map(variable);
    let (true, [Some(endpoint), Some(bucket), Some(id), Some(key)]) = (may_mount(), found) else {
        println!("SKIPPED: RFUSE_TEST_S3 and its bucket and keys are not given; cargo xtask test starts a server");
        return;
    };
    let secret = format!("  key_id: {id}\n  access_key: {key}\n");
    hold_to_it(&format!("url: s3://{bucket}\nendpoint: {endpoint}\nregion: us-east-1\n"), &secret);
}
