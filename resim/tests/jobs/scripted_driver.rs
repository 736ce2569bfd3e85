//! The GPU's side of the jobs against a CUDA driver that does as it is told (`libcuda.cpp`): the same calls as
//! on a GPU, carried out late, by this processor. What only a GPU shows is its speed, and how real threads interleave.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::fixture::{RESIM, Ran, data, resim, text};

/// The folder of the driver, built once.
fn driver() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver");
        std::fs::create_dir_all(&folder).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jobs/libcuda.cpp");
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let mut build = Command::new(compiler);
        // Rounding as in the build of the program: the answers are compared bit for bit.
        build.args(["-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-o"]);
        let built = build.arg(folder.join("libcuda.so")).arg(source).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        folder
    })
}

/// Runs the program where this driver is found, which does as `script` says.
fn on_gpu(script: &str, arguments: &[&str]) -> Ran {
    let mut command = Command::new(RESIM);
    let command = command.args(arguments).env("LD_LIBRARY_PATH", driver()).env("RFUSE_TEST_DRIVER", script);
    Ran::of(&command.output().unwrap())
}

/// What, why, and what to do: one line each.
#[track_caller]
fn complains_well(ran: &Ran) {
    let starts = ["rfuse-resim: cannot ", "  why:  ", "  help: "];
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(
        lines.len() == 3 && lines.iter().zip(starts).all(|(line, start)| line.starts_with(start)),
        "{}",
        ran.stderr
    );
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn all_jobs_answer_alike_on_the_driver_and_on_the_processor() {
    let output = tempfile::tempdir().unwrap();
    let folder = text(data());
    for words in [
        &["replay", folder, text(output.path()), "--json"][..],
        &["train", folder, "--json", "--batch=16", "--epochs=2"],
        &["load", folder, "--json", "--block=100000"],
    ] {
        let gpu = on_gpu("", &[words, &["--device=cuda:0"]].concat()).passed();
        let cpu = resim(&[words, &["--device=cpu"]].concat()).passed();
        assert_eq!((&gpu["gpu"], &gpu["device"]), (&true.into(), &"cuda:0 Scripted".into()));
        assert!(gpu["answer"].is_string());
        assert_eq!(gpu["answer"], cpu["answer"], "{words:?}");
        assert_eq!(gpu["recall"], cpu["recall"]);
        assert!(gpu["copy_overlap_share"].is_number() && cpu.get("copy_overlap_share").is_none(), "{gpu}");
        let busy = gpu["device_busy_share"].as_f64().unwrap();
        assert!(busy > 0.0 && busy <= 1.0, "busy {busy}");
    }
}

#[test]
fn a_gpu_without_room_says_how_much_it_has_and_what_to_do() {
    let output = tempfile::tempdir().unwrap();
    for words in [
        &["replay", text(data()), text(output.path()), "--device=cuda:0"][..],
        &["train", text(data()), "--batch=256", "--device=cuda:0"],
    ] {
        let ran = on_gpu("memory=300000", words);
        assert_eq!(ran.code, 1);
        complains_well(&ran);
        assert!(ran.stderr.contains("of 300000 are free") && ran.stderr.contains("smaller --batch"), "{}", ran.stderr);
    }
    assert!(names(output.path()).is_empty(), "a run that never began left something");
}

#[test]
fn a_gpu_that_fills_up_or_is_lost_in_mid_run_leaves_partial_results_that_say_so() {
    // Both perceptions fit; the memory of the first frames does not.
    for (script, why) in [("memory=10100000", "bytes left"), ("lost=40", "CUDA_ERROR_LAUNCH_FAILED")] {
        let output = tempfile::tempdir().unwrap();
        let ran = on_gpu(script, &["replay", text(data()), text(output.path()), "--json", "--device=cuda:0"]);
        assert_eq!(ran.code, 1, "{script}: {}", ran.stdout);
        complains_well(&ran);
        assert!(ran.stderr.contains(why), "{script}: {}", ran.stderr);
        let verdict = ran.verdict();
        assert_eq!((&verdict["complete"], &verdict["passed"]), (&false.into(), &false.into()));
        assert!(verdict["problems"][0].as_str().unwrap().contains(why), "{verdict}");
        let kept = ["detections.mcap.partial", "detections.parquet.partial", "report.html", "verdict.json"];
        assert_eq!(names(output.path()), kept, "{script}");
        let page = std::fs::read_to_string(output.path().join("report.html")).unwrap();
        assert!(page.contains("NOT complete") && page.contains(why));
    }
}

#[test]
fn a_driver_that_is_absent_or_too_old_is_named() {
    let output = tempfile::tempdir().unwrap();
    let replay = ["replay", text(data()), text(output.path()), "--json", "--to=200ms"];
    for (script, device, why) in [
        ("old", "--device=cuda:0", "driver 535 or newer"),
        ("absent", "--device=cuda:0", "there is no GPU"),
        ("", "--device=cuda:1", "this machine has 1 GPU(s)"),
    ] {
        let ran = on_gpu(script, &[&replay[..], &[device]].concat());
        assert_eq!(ran.code, 1);
        complains_well(&ran);
        assert!(ran.stderr.contains(why) && ran.stderr.contains("--device cpu"), "{}", ran.stderr);
    }
    let auto = [&replay[..], &["--device=auto"]].concat();
    assert_eq!(on_gpu("absent", &auto).passed()["device"], "cpu");
    assert_eq!(on_gpu("", &auto).passed()["device"], "cuda:0 Scripted");
}
