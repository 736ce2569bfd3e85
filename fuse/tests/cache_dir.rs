//! Real mounts by the real binary over one cache folder: what is read there, by whom, and after whose death.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const SIZE: usize = 24 << 20;

/// Everything of one test: a source folder, a cache folder, and mounts that are gone at the end.
struct Machine {
    dir: tempfile::TempDir,
    mounts: Vec<PathBuf>,
}

impl Machine {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            eprintln!("SKIPPED: needs root and /dev/fuse");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("source")).unwrap();
        std::fs::write(dir.path().join("source/data"), content()).unwrap();
        Some(Self { dir, mounts: Vec::new() })
    }

    fn rfuse(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rfuse"));
        command.env_clear().env("HOME", self.dir.path()).env("RFUSE_RUN_DIR", self.dir.path().join("run"));
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.args(arguments).output().unwrap()
    }

    /// Mounts the source on `name`, whose blocks all go to disk.
    fn mount(&mut self, name: &str) -> PathBuf {
        let dir = self.dir.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let (url, cache) =
            (format!("file://{}", self.dir.path().join("source").display()), self.dir.path().join("cache"));
        // Nothing ahead of its reader: what comes faster than a slow build of the writer writes it is dropped.
        let settings = [
            "--prefetch-window",
            "0B",
            "--memory",
            "64MiB",
            "--cache-admit",
            "always",
            "--cache-size",
            "64MiB",
            "--cache-reserve",
            "0B",
        ];
        let words = [&["mount", &url, dir.to_str().unwrap(), "--cache-dir", cache.to_str().unwrap()], &settings[..]];
        let output = self.rfuse(&words.concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.mounts.push(dir.clone());
        dir
    }

    fn stats(&self, dir: &Path) -> serde_json::Value {
        let output = self.rfuse(&["stats", "--json", dir.to_str().unwrap()]);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// GETs of the store so far.
    fn gets(&self, dir: &Path) -> u64 {
        let stats = self.stats(dir);
        let requests = stats["store"]["requests"].as_array().unwrap().iter();
        requests.filter(|one| one["op"] == "get").map(|one| one["count"].as_u64().unwrap()).sum()
    }

    fn disk(&self, dir: &Path, what: &str) -> u64 {
        self.stats(dir)["cache"]["disk"][what].as_u64().unwrap()
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !holds() {
            assert!(Instant::now() < end, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn unmount(&self, dir: &Path) {
        let output = self.rfuse(&["unmount", dir.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for dir in &self.mounts {
            self.rfuse(&["unmount", "--force", dir.to_str().unwrap()]);
        }
    }
}

fn content() -> Vec<u8> {
    (0..SIZE as u64 / 8).flat_map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).collect()
}

/// Reads the file whole, slowly enough for a disk that is shared with other tests.
fn check(dir: &Path) {
    let file = std::fs::File::open(dir.join("data")).unwrap();
    let right = content();
    let mut buffer = vec![0; 256 << 10];
    for (offset, right) in (0..).step_by(buffer.len()).zip(right.chunks(256 << 10)) {
        file.read_exact_at(&mut buffer, offset).unwrap();
        assert!(buffer == right, "wrong bytes at {offset}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

#[test]
fn what_was_read_before_an_unmount_costs_no_get_after_it() {
    let Some(mut machine) = Machine::new() else { return };
    let dir = machine.mount("one");
    check(&dir);
    machine.until("all of it is written", || {
        machine.disk(&dir, "written_bytes") + 4096 * machine.disk(&dir, "dropped") >= SIZE as u64
    });
    assert_eq!(machine.disk(&dir, "dropped"), 0);
    machine.unmount(&dir);
    let dir = machine.mount("one");
    machine.until("the folder is known", || machine.disk(&dir, "resident_bytes") >= SIZE as u64);
    check(&dir);
    assert_eq!(machine.gets(&dir), 0);
    assert!(machine.disk(&dir, "hits") >= SIZE as u64 / 4096);
}

#[test]
fn two_mounts_share_a_folder_and_the_death_of_one_costs_nothing() {
    let Some(mut machine) = Machine::new() else { return };
    let (one, two) = (machine.mount("one"), machine.mount("two"));
    check(&one);
    let pid = machine.stats(&one)["pid"].as_i64().unwrap();
    machine.until("the other knows what is finished", || machine.disk(&two, "resident_bytes") >= 20 << 20);
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    machine.rfuse(&["unmount", "--force", one.to_str().unwrap()]);
    check(&two);
    let fetched = machine.stats(&two)["cache"]["fetched_bytes"].as_u64().unwrap();
    assert!(fetched < SIZE as u64 / 4, "{fetched} bytes fetched though the first had written them");
    let three = machine.mount("one");
    machine.until("the folder is known", || machine.disk(&three, "resident_bytes") >= 20 << 20);
    check(&three);
    for dir in [&two, &three] {
        assert_eq!((machine.disk(dir, "corrupt"), machine.disk(dir, "errors")), (0, 0));
    }
}
