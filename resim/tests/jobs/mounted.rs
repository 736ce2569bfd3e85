//! The same job, from a folder and from a real mount of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::fixture::{beside, data, replay, resim, text};

/// A folder, mounted by the real program; unmounted whatever happens.
struct Mounted {
    rfuse: PathBuf,
    folder: TempDir,
    run_dir: TempDir,
}

impl Mounted {
    fn of(source: &Path) -> Option<Self> {
        Self::with(source, &[])
    }

    fn with(source: &Path, more: &[&str]) -> Option<Self> {
        let rfuse = beside("rfuse");
        let (Some(rfuse), true, true) = (rfuse, Path::new("/dev/fuse").exists(), rustix::process::geteuid().is_root())
        else {
            eprintln!("SKIPPED: needs root, /dev/fuse and a built rfuse beside the job (cargo build -p rfuse-fuse)");
            return None;
        };
        let mounted = Self { rfuse, folder: tempfile::tempdir().unwrap(), run_dir: tempfile::tempdir().unwrap() };
        let url = format!("file://{}", text(source));
        mounted.rfuse(&[&["mount", &url, text(mounted.folder.path())], more].concat());
        Some(mounted)
    }

    fn rfuse(&self, arguments: &[&str]) -> String {
        let output = Command::new(&self.rfuse)
            .args(arguments)
            .env("RFUSE_RUN_DIR", self.run_dir.path())
            .env("XDG_CACHE_HOME", self.run_dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmount = ["unmount", "--force", text(self.folder.path())].map(str::to_owned);
        let done = Command::new(&self.rfuse).args(unmount).env("RFUSE_RUN_DIR", self.run_dir.path()).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("left mounted: {}", self.folder.path().display());
        }
    }
}

#[test]
fn a_replay_from_a_mount_has_the_answers_and_checksums_of_the_folder() {
    let Some(mounted) = Mounted::of(data()) else { return };
    let (folder, _output) = replay(data(), &["--require=checksum, recall>=1, false<=0"]);
    let (mount, _output) = replay(mounted.path(), &["--require=checksum, recall>=1, false<=0"]);
    let (folder, mount) = (folder.passed(), mount.passed());
    for name in ["answer", "bytes", "count", "checksums", "recall", "files"] {
        assert_eq!(folder[name], mount[name], "{name}");
    }
}

#[test]
fn training_through_a_mapping_of_a_mount_has_the_answers_of_the_folder() {
    let Some(mounted) = Mounted::of(data()) else { return };
    let train = |input: &Path, access: &str| {
        resim(&["train", text(input), access, "--device=cpu", "--json", "--require=checksum"]).passed()
    };
    let folder = train(data(), "--access=mmap");
    for access in ["--access=mmap", "--access=pread"] {
        let mount = train(mounted.path(), access);
        assert_eq!((&folder["answer"], &folder["checksums"]), (&mount["answer"], &mount["checksums"]), "{access}");
    }
}

/// The object called `plan`, wherever it is.
fn plan_of(stats: &serde_json::Value) -> Option<&serde_json::Value> {
    let members = stats.as_object()?;
    members.get("plan").filter(|plan| plan.is_object()).or_else(|| members.values().find_map(plan_of))
}

#[test]
fn a_mount_follows_the_plan_of_a_training_run_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan");
    let planned = resim(&["train", text(data()), "--seed=9", "--write-plan", text(&plan)]);
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    let Some(mounted) = Mounted::with(data(), &["--plan", text(&plan)]) else { return };
    // One worker reads in the very order of the plan; more of them are as far apart as they are workers.
    let train = |input: &Path| {
        resim(&["train", text(input), "--seed=9", "--workers=1", "--access=pread", "--device=cpu", "--json"]).passed()
    };
    assert_eq!(train(data())["answer"], train(mounted.path())["answer"]);
    let stats: serde_json::Value =
        serde_json::from_str(&mounted.rfuse(&["stats", text(mounted.path()), "--json"])).unwrap();
    let plan = plan_of(&stats).unwrap_or_else(|| panic!("no plan in {stats}"));
    assert_eq!((&plan["steps"], &plan["position"], &plan["strayed"]), (&512.into(), &512.into(), &0.into()), "{plan}");
}
