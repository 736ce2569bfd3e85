//! A shell of its own for each test: a run directory, a home, and nothing of the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rfuse_config::control::Statistics;

/// How the binary is called, and from where.
pub(crate) struct Shell {
    folder: tempfile::TempDir,
    binary: PathBuf,
    /// A program that runs it, such as `setpriv`, with its arguments.
    wrapper: Vec<String>,
    variables: Vec<(String, OsString)>,
}

impl Shell {
    pub(crate) fn new() -> Self {
        let (folder, binary) = (tempfile::tempdir().unwrap(), PathBuf::from(env!("CARGO_BIN_EXE_rfuse")));
        Self { folder, binary, wrapper: Vec::new(), variables: Vec::new() }
    }

    /// Runs everything by way of `wrapper`.
    pub(crate) fn by(wrapper: Vec<String>) -> Self {
        Self { wrapper, ..Self::new() }
    }

    /// The shell of user and group `id`, by way of `wrapper`: with a copy of the binary, because the one that
    /// was built may lie where others cannot go, and a folder of their own.
    pub(crate) fn of(id: u32, mut wrapper: Vec<String>) -> Self {
        let id_text = id.to_string();
        wrapper.extend(["setpriv", "--reuid", &id_text, "--regid", &id_text, "--clear-groups"].map(str::to_owned));
        let shell = Self::by(wrapper);
        let binary = shell.path("rfuse");
        std::fs::copy(&shell.binary, &binary).unwrap();
        std::os::unix::fs::chown(shell.folder.path(), Some(id), Some(id)).unwrap();
        Self { binary, ..shell }
    }

    /// Sets a variable for every command.
    pub(crate) fn set(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        let (uid, gid) = owner(self.folder.path());
        std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
        path
    }

    /// A folder with the file `a.txt`, which says hello, as a URL.
    pub(crate) fn source(&self) -> String {
        let source = self.folder("source");
        std::fs::write(source.join("a.txt"), "hello").unwrap();
        format!("file://{}", text(&source))
    }

    /// A command in this shell.
    pub(crate) fn other(&self, program: impl Into<OsString>) -> Command {
        let mut words: Vec<OsString> = self.wrapper.iter().map(OsString::from).collect();
        words.push(program.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command.env_clear().env("HOME", self.folder.path()).env("RFUSE_RUN_DIR", self.path("run"));
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn command(&self) -> Command {
        self.other(&self.binary)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Runs a command that must fail with `code`; its three lines.
    pub(crate) fn fail(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        let lines: Vec<&str> = text.lines().collect();
        let [.., what, why, help] = lines[..] else { panic!("{text}") };
        assert!(
            what.starts_with("rfuse: cannot ") && why.starts_with("  why:  ") && help.starts_with("  help: "),
            "{text}"
        );
        text
    }

    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn owner(path: &Path) -> (u32, u32) {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path).unwrap();
    (found.uid(), found.gid())
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn can_mount() -> bool {
    let can = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !can {
        eprintln!("SKIPPED: needs root and /dev/fuse");
    }
    can
}

/// Something mounted, unmounted at the end whatever happens.
pub(crate) struct Mounted<'a> {
    shell: &'a Shell,
    pub(crate) dir: PathBuf,
}

impl<'a> Mounted<'a> {
    /// A local folder with the file `a.txt`.
    pub(crate) fn new(shell: &'a Shell) -> Self {
        Self::of(shell, &shell.source(), &[])
    }

    /// What `url` names, mounted with these arguments besides.
    pub(crate) fn of(shell: &'a Shell, url: &str, arguments: &[&str]) -> Self {
        let mounted = Self::not_yet(shell, "mnt");
        shell.succeed(&[&["mount", url, text(&mounted.dir)], arguments].concat());
        mounted
    }

    /// A mount point that the test mounts on itself.
    pub(crate) fn not_yet(shell: &'a Shell, name: &str) -> Self {
        Self { shell, dir: shell.folder(name) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn pid(&self) -> i32 {
        let list: serde_json::Value = serde_json::from_str(&self.shell.succeed(&["list", "--json"])).unwrap();
        let all = list.as_array().unwrap();
        let ours = all.iter().find(|one| one["dir"] == text(&self.dir)).unwrap();
        i32::try_from(ours["pid"].as_i64().unwrap()).unwrap()
    }

    pub(crate) fn stats(&self) -> Statistics {
        serde_json::from_str(&self.shell.succeed(&["stats", "--json", text(&self.dir)])).unwrap()
    }

    pub(crate) fn is_mounted(&self) -> bool {
        let table = self.shell.other("cat").arg("/proc/self/mountinfo").output().unwrap().stdout;
        String::from_utf8(table).unwrap().contains(text(&self.dir))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = self.shell.run(&["unmount", "--force", text(&self.dir)]);
    }
}

pub(crate) fn eventually(claim: impl Fn() -> bool) -> bool {
    (0..600).any(|_| {
        let holds = claim();
        if !holds {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        holds
    })
}
