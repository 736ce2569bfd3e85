//! A generated input that all tests share, and the binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// How a run of the binary ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let code = output.status.code().unwrap();
        Self { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// The verdict it printed with `--json`.
    #[track_caller]
    pub(crate) fn verdict(&self) -> Value {
        serde_json::from_str(self.stdout.trim()).unwrap_or_else(|_| panic!("{}\n{}", self.stdout, self.stderr))
    }

    /// The verdict of a run that must have gone well.
    #[track_caller]
    pub(crate) fn passed(&self) -> Value {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self.verdict()
    }
}

/// The binary under test.
pub(crate) const RESIM: &str = env!("CARGO_BIN_EXE_rfuse-resim");

/// Runs it.
pub(crate) fn resim(arguments: &[&str]) -> Ran {
    Ran::of(&Command::new(RESIM).args(arguments).output().unwrap())
}

/// Two logs of two seconds and a token file; made once, read by all.
pub(crate) fn data() -> &'static Path {
    static DATA: OnceLock<TempDir> = OnceLock::new();
    DATA.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let made = resim(&[
            "generate",
            text(folder.path()),
            "--logs=2",
            "--seconds=2",
            "--token-files=1",
            "--token-size=2MiB",
            "--cameras=2",
            "--camera-size=320x180",
            "--lidar=32x720",
            "--chunk-size=512KiB",
        ]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        folder
    })
    .path()
}

/// A copy of it that a test may damage.
pub(crate) fn damaged_copy(change: impl Fn(&Path)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(data()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    change(folder.path());
    folder
}

/// Replays `input` on the processor into a folder of its own.
pub(crate) fn replay(input: &Path, more: &[&str]) -> (Ran, TempDir) {
    let output = tempfile::tempdir().unwrap();
    let mut arguments = vec!["replay", text(input), text(output.path()), "--device=cpu", "--json"];
    arguments.extend(more);
    (resim(&arguments), output)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A program beside the one under test, when it was built too.
pub(crate) fn beside(name: &str) -> Option<PathBuf> {
    let path = Path::new(RESIM).with_file_name(name);
    path.exists().then_some(path)
}
