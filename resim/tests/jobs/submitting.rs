//! Submitting: what is rendered, and how verdicts are gathered.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fixture::{data, replay, resim, text};

/// The real helm, if there is one.
fn helm() -> Option<String> {
    let found = std::env::var("RFUSE_TEST_HELM").ok().or_else(|| {
        let path = std::env::var_os("PATH")?;
        let found = std::env::split_paths(&path).map(|folder| folder.join("helm")).find(|file| file.is_file())?;
        found.to_str().map(str::to_owned)
    });
    if found.is_none() {
        eprintln!("SKIPPED: needs helm; RFUSE_TEST_HELM or the path says where it is");
    }
    found
}

fn rendered(helm: &str, more: &[&str]) -> String {
    let mut arguments = vec!["submit", "replay", "--dry-run", "--helm", helm, "--input=in", "--output=out"];
    arguments.extend(more);
    let ran = resim(&arguments);
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
    ran.stdout
}

#[test]
fn twenty_jobs_are_one_indexed_job_that_shares_the_input() {
    let Some(helm) = helm() else { return };
    let text = rendered(&helm, &["--njobs=20", "--name=night", "--require=wait<=5%, checksum"]);
    for wanted in [
        "completions: 20",
        "completionMode: Indexed",
        "- \"$(INDEX)/20\"",
        "wait<=5%, checksum",
        "claimName: in",
        "readOnly: true",
        "subPathExpr: night/$(INDEX)",
        "helm.sh/hook: pre-install",
        "key: kubernetes.azure.com/scalesetpriority",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    assert!(!text.contains("nvidia.com/gpu:"), "no GPU was asked for\n{text}");
}

#[test]
fn words_that_look_like_numbers_stay_words() {
    let Some(helm) = helm() else { return };
    let made = "generate.enabled=true,generate.claim=fill,generate.args={--seconds,5000000}";
    let text = rendered(&helm, &["--set=job.args={--readers,16,--to,1.5}", "--set", made]);
    for word in ["\"16\"", "\"1.5\"", "\"5000000\""] {
        assert!(text.contains(&format!("- {word}\n")), "{word} is not a word in\n{text}");
    }
}

#[test]
fn separate_jobs_each_have_their_number() {
    let Some(helm) = helm() else { return };
    let text = rendered(&helm, &["--njobs=20", "--shape=separate"]);
    assert_eq!(text.matches("app.kubernetes.io/component: job").count(), 40, "a Job and a pod each");
    assert!(text.contains("name: resim-19\n") && !text.contains("completionMode"));
}

#[test]
fn the_training_shape_has_a_headless_service_and_names() {
    let Some(helm) = helm() else { return };
    let text = rendered(&helm, &["--njobs=2", "--shape=training", "--gpu=whole", "--set=gpu.count=8"]);
    for wanted in ["clusterIP: None", "subdomain: resim", "value: resim-0.resim", "nvidia.com/gpu: 8", "medium: Memory"]
    {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
}

#[test]
fn each_way_to_a_gpu_asks_for_what_it_should() {
    let Some(helm) = helm() else { return };
    for (mode, wanted) in [
        ("whole", "nvidia.com/gpu: 1"),
        ("timeSlicing", "nvidia.com/gpu: 1"),
        ("mps", "key: nvidia.com/mps.capable"),
        ("visibleDevices", "name: NVIDIA_VISIBLE_DEVICES"),
        ("nvshare", "nvshare.com/gpu: 1"),
    ] {
        let text = rendered(&helm, &["--gpu", mode]);
        assert!(text.contains(wanted), "{mode}: {wanted} is not in\n{text}");
        assert!(
            text.contains("- cuda:0") && text.contains("key: feature.node.kubernetes.io/pci-10de.present"),
            "{mode}"
        );
    }
    let text = rendered(&helm, &["--gpu=timeSlicing", "--set=gpu.resource=nvidia.com/gpu.shared"]);
    assert!(text.contains("nvidia.com/gpu.shared: 1"), "{text}");
}

#[test]
fn every_shape_with_every_way_to_a_gpu_passes_the_schemas_of_kubernetes() {
    let (Some(helm), Ok(validate)) = (helm(), std::env::var("RFUSE_TEST_KUBERNETES_VALIDATE")) else {
        eprintln!("SKIPPED: needs RFUSE_TEST_KUBERNETES_VALIDATE and helm; cargo xtask test installs both");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for shape in ["indexed", "separate", "training"] {
        for mode in ["none", "whole", "timeSlicing", "mps", "visibleDevices", "nvshare"] {
            let all = ["--set=generate.enabled=true,generate.claim=w,volcano.enabled=true,scratch.hostPath=/nvme"];
            let text = rendered(&helm, &[&["--shape", shape, "--gpu", mode], &all[..]].concat());
            let path = folder.path().join(format!("{shape}-{mode}.yaml"));
            std::fs::write(&path, text).unwrap();
            files.push(path);
        }
    }
    for version in ["1.30", "1.34"] {
        let output =
            std::process::Command::new(&validate).args(["--strict", "-k", version]).args(&files).output().unwrap();
        assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn an_input_that_is_missing_is_said() {
    let Some(helm) = helm() else { return };
    let ran = resim(&["submit", "--dry-run", "--helm", &helm]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("name a claim"), "{}", ran.stderr);
}

/// A program that writes down its arguments and prints what a file of this folder says.
fn program(folder: &Path, name: &str, script: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\necho \"$@\" >> {0}/{name}.calls\ncd {0}\n{script}\n", text(folder)))
        .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Submits to programs that play a cluster: `jobs` is what the API says, `log` a pod's log.
fn submitted(jobs: &Value, log: &str) -> (crate::fixture::Ran, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jobs.json"), jobs.to_string()).unwrap();
    std::fs::write(folder.path().join("log"), log).unwrap();
    let helm = program(folder.path(), "helm", "exit 0");
    let kubectl = program(folder.path(), "kubectl", "case \"$1\" in get) cat jobs.json;; logs) cat log;; esac");
    let report = folder.path().join("report");
    let ran = resim(&[
        "submit",
        "--njobs=2",
        "--name=night",
        "--helm",
        text(&helm),
        "--kubectl",
        text(&kubectl),
        "--report",
        text(&report),
    ]);
    (ran, folder)
}

fn jobs() -> Value {
    let pod = |index: &str| {
        json!({"kind": "Pod", "metadata": {"name": format!("night-{index}-x"),
               "annotations": {"batch.kubernetes.io/job-completion-index": index}}, "status": {"phase": "Succeeded"}})
    };
    json!({"items": [
        {"kind": "Job", "spec": {"completions": 2}, "status": {"succeeded": 2,
         "conditions": [{"type": "Complete", "status": "True"}]}},
        pod("0"), pod("1"),
    ]})
}

#[test]
fn the_verdicts_of_all_pods_become_one_report() {
    let (job, _output) = replay(data(), &["--part=0/2"]);
    let (ran, folder) = submitted(&jobs(), &format!("a line of something else\n{}", job.stdout));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("PASS  2 of 2 runs passed"), "{}", ran.stdout);
    let calls = std::fs::read_to_string(folder.path().join("helm.calls")).unwrap();
    assert!(calls.contains("install night") && calls.contains("--set njobs=2"), "{calls}");
    let page = std::fs::read_to_string(folder.path().join("report/report.html")).unwrap();
    assert!(page.contains("2 of 2 passed"));
    let verdicts = std::fs::read_to_string(folder.path().join("report/verdicts.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&verdicts).unwrap()["runs"][1]["verdict"]["job"], "replay");
}

#[test]
fn a_pod_that_left_no_verdict_fails_the_run() {
    let (ran, _folder) = submitted(&jobs(), "killed\n");
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("no verdict in its log"), "{}", ran.stdout);
}

#[test]
fn a_missing_helm_is_said() {
    let ran = resim(&["submit", "--dry-run", "--helm=/nowhere/helm"]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    assert!(ran.stderr.contains("--helm"), "{}", ran.stderr);
}
