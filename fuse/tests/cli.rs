//! The real binary, as a shell would call it.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A run directory and a home of its own for each test.
struct Shell(tempfile::TempDir);

impl Shell {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rfuse"));
        command.env_clear().env("HOME", self.0.path()).env("RFUSE_RUN_DIR", self.path("run"));
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Runs a command that must fail with `code`; its three lines.
    fn fail(&self, code: i32, arguments: &[&str]) -> String {
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

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn can_mount() -> bool {
    let can = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !can {
        eprintln!("SKIPPED: needs root and /dev/fuse");
    }
    can
}

/// A mounted local folder, unmounted at the end whatever happens.
struct Mounted<'a> {
    shell: &'a Shell,
    dir: PathBuf,
}

impl<'a> Mounted<'a> {
    fn new(shell: &'a Shell) -> Self {
        let source = shell.folder("source");
        std::fs::write(source.join("a.txt"), "hello").unwrap();
        let dir = shell.folder("mnt");
        shell.succeed(&["mount", &format!("file://{}", text(&source)), text(&dir)]);
        Self { shell, dir }
    }

    fn pid(&self) -> i32 {
        let list: serde_json::Value = serde_json::from_str(&self.shell.succeed(&["list", "--json"])).unwrap();
        i32::try_from(list[0]["pid"].as_i64().unwrap()).unwrap()
    }

    fn is_mounted(&self) -> bool {
        std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(text(&self.dir))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = self.shell.run(&["unmount", "--force", text(&self.dir)]);
    }
}

fn eventually(claim: impl Fn() -> bool) -> bool {
    (0..600).any(|_| {
        let holds = claim();
        if !holds {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        holds
    })
}

#[test]
fn an_unknown_flag_is_answered_with_the_nearest() {
    let output = Shell::new().run(&["mount", "--blok-size", "4KiB", "mem:", "/mnt"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--block-size"));
}

#[test]
fn a_wrong_setting_names_itself_its_place_and_the_right_spelling() {
    let shell = Shell::new();
    let flag = shell.fail(3, &["mount", "--block-size", "4kb", "mem:", "/mnt"]);
    assert!(flag.contains("--block-size: block-size = \"4kb\"") && flag.contains("write 4KiB"), "{flag}");
    let file = shell.path("x.toml");
    std::fs::write(&file, "\nmemroy = \"1GiB\"\n").unwrap();
    let file = shell.fail(3, &["check", "--config", text(&file), "mem:"]);
    assert!(file.contains("x.toml:2") && file.contains("did you mean memory?"), "{file}");
    let output = shell.command().env("RFUSE_MEMROY", "1").args(["check", "mem:"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean RFUSE_MEMORY?"));
}

#[test]
fn places_that_are_none_are_told_apart() {
    let shell = Shell::new();
    assert!(shell.fail(3, &["check", "gs://bucket"]).contains("unknown scheme \"gs\""));
    assert!(shell.fail(3, &["check", "training"]).contains("neither a URL nor a mount"));
    assert!(shell.fail(5, &["check", "file:///no/such/dir"]).contains("no such"));
    assert!(shell.fail(4, &["check", "az://acme/logs"]).contains("no credential found"));
    assert!(shell.fail(4, &["check", "--sas-file", "/no/such/file", "az://acme/logs"]).contains("/no/such/file"));
}

#[test]
fn mount_points_that_cannot_be_used_are_told_apart() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    assert!(shell.fail(7, &["mount", "mem:", "/no/such/dir"]).contains("mkdir"));
    let full = shell.folder("full");
    std::fs::write(full.join("x"), "x").unwrap();
    assert!(shell.fail(7, &["mount", "mem:", text(&full)]).contains("--nonempty"));
    assert!(shell.fail(7, &["mount", "mem:", text(&full.join("x"))]).contains("not a directory"));
    let mounted = Mounted::new(&shell);
    assert!(shell.fail(7, &["mount", "mem:", text(&mounted.dir)]).contains("unmount it first"));
}

#[test]
fn a_refused_port_is_a_network_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let endpoint = format!("http://127.0.0.1:{port}/devstoreaccount1");
    let quick = ["--tries", "1", "--call-timeout", "5s"];
    let arguments = ["check", "az://devstoreaccount1/c", "--endpoint", &endpoint];
    let said = Shell::new().fail(6, &[&arguments[..], &quick[..]].concat());
    assert!(said.contains("no connection"), "{said}");
}

#[test]
fn https_to_a_port_that_speaks_http_is_a_tls_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let endpoint = format!("https://127.0.0.1:{port}/devstoreaccount1");
    let arguments =
        ["check", "az://devstoreaccount1/c", "--endpoint", &endpoint, "--tries", "1", "--call-timeout", "5s"];
    let said = Shell::new().fail(6, &arguments);
    assert!(said.contains("TLS"), "{said}");
}

#[test]
fn a_host_that_does_not_exist_is_said_so() {
    let arguments = [
        "check",
        "az://acme/c",
        "--azure-auth",
        "anonymous",
        "--endpoint",
        "http://no-such-host.invalid",
        "--tries",
        "1",
    ];
    let said = Shell::new().fail(6, &[&arguments[..], &["--call-timeout", "8s"]].concat());
    assert!(said.contains("host name does not exist"), "{said}");
}

#[test]
fn a_container_that_does_not_exist_is_said_so() {
    let Ok(azurite) = std::env::var("RFUSE_TEST_AZURITE") else {
        eprintln!("SKIPPED: RFUSE_TEST_AZURITE is not set");
        return;
    };
    let shell = Shell::new();
    let said = shell.fail(5, &["check", "az://devstoreaccount1/no-such-container", "--endpoint", &azurite]);
    assert!(said.contains("no such container"), "{said}");
    let mut wrong = shell.command();
    wrong.env("AZURE_STORAGE_KEY", "d3Jvbmc=").args([
        "check",
        "az://devstoreaccount1/some-container",
        "--endpoint",
        &azurite,
    ]);
    assert_eq!(wrong.output().unwrap().status.code(), Some(4));
}

#[test]
fn a_daemon_serves_until_it_is_unmounted() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::new(&shell);
    assert_eq!(std::fs::read_to_string(mounted.dir.join("a.txt")).unwrap(), "hello");
    let words = std::fs::read(format!("/proc/{}/cmdline", mounted.pid())).unwrap();
    assert!(words.ends_with(b"rfuse\0daemon\0"), "a URL may hold a SAS, so no argument of a daemon is one");
    let list = shell.succeed(&["list"]);
    assert!(list.contains(text(&mounted.dir)) && list.contains(" up "), "{list}");
    assert!(shell.succeed(&["stats", text(&mounted.dir)]).starts_with("ready"));
    let stats: serde_json::Value =
        serde_json::from_str(&shell.succeed(&["stats", "--json", text(&mounted.dir)])).unwrap();
    assert!(stats["reads"]["total"].as_u64().unwrap() >= 1);
    assert!(shell.succeed(&["stats", "--prometheus", text(&mounted.dir)]).contains("rfuse_reads_total"));
    shell.succeed(&["unmount", text(&mounted.dir)]);
    assert!(!mounted.is_mounted());
    assert!(shell.succeed(&["list"]).starts_with("no mounts"));
    shell.fail(5, &["unmount", text(&mounted.dir)]);
}

#[test]
fn a_busy_mount_says_who_uses_it_and_lazy_lets_go() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::new(&shell);
    let open = std::fs::File::open(mounted.dir.join("a.txt")).unwrap();
    let said = shell.fail(9, &["unmount", "--timeout", "300ms", text(&mounted.dir)]);
    assert!(said.contains(&format!("({})", std::process::id())), "{said}");
    shell.succeed(&["unmount", "--lazy", text(&mounted.dir)]);
    assert!(!mounted.is_mounted());
    drop(open);
}

#[test]
fn sigterm_unmounts() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::new(&shell);
    let pid = rustix::process::Pid::from_raw(mounted.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(eventually(|| !mounted.is_mounted()));
}

#[test]
fn a_mount_whose_daemon_was_killed_can_be_unmounted_and_mounted_again() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::new(&shell);
    let pid = rustix::process::Pid::from_raw(mounted.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert!(eventually(|| shell.succeed(&["list"]).contains("dead")));
    shell.succeed(&["unmount", text(&mounted.dir)]);
    assert!(!mounted.is_mounted());
    let source = format!("file://{}", text(&shell.path("source")));
    shell.succeed(&["mount", &source, text(&mounted.dir)]);
    assert_eq!(std::fs::read_to_string(mounted.dir.join("a.txt")).unwrap(), "hello");
}

#[test]
fn mount_8_finds_us_by_name_or_by_url() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let (source, dir) = (shell.folder("source"), shell.folder("mnt"));
    let helper = shell.path("mount.fuse.rfuse");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rfuse"), &helper).unwrap();
    let url = format!("file://{}", text(&source));
    let mut command = Command::new(&helper);
    command.env_clear().env("RFUSE_RUN_DIR", shell.path("run"));
    let words = "rw,_netdev,nofail,x-systemd.automount,allow_other,metadata_ttl=1s";
    let status = command.args([&url, text(&dir), "-s", "-o", words, "-t", "fuse.rfuse"]).status().unwrap();
    assert!(status.success());
    shell.succeed(&["unmount", text(&dir)]);
}

#[test]
fn a_secret_shows_nowhere() {
    let shell = Shell::new();
    let canary = "sv=2024&sig=c4n4ry";
    let url = format!("https://acme.blob.core.windows.net/logs?{canary}");
    let shown = |output: &Output| {
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        String::from_utf8_lossy(&text).contains("c4n4ry")
    };
    for arguments in [
        vec!["config", "show", &url],
        vec!["config", "show", "--json", &url],
        vec!["mount", &url],
        vec!["mount", &url, "/no/such/dir", "--endpoint", "http://127.0.0.1:1", "--tries", "1", "--log-level", "trace"],
        vec!["check", &url, "--endpoint", "http://127.0.0.1:1", "--tries", "1", "--log-level", "trace"],
        vec!["mount", &url, "/no/such/dir", "--block-size", "4kb"],
    ] {
        assert!(!shown(&shell.run(&arguments)), "{arguments:?}");
    }
    for (name, value) in [("RFUSE_SAS", canary), ("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=c4n4ry")] {
        let output = shell.command().env(name, value).args(["config", "show", "az://acme/logs"]).output().unwrap();
        assert!(!shown(&output), "{name}");
    }
    let logs = std::fs::read_dir(shell.path("run")).into_iter().flatten().flatten();
    for log in logs {
        assert!(!std::fs::read_to_string(log.path()).unwrap_or_default().contains("c4n4ry"));
    }
}

#[test]
fn pages_and_completions_are_made() {
    let shell = Shell::new();
    assert!(shell.succeed(&["man"]).contains("rfuse"));
    for kind in ["bash", "zsh", "fish"] {
        assert!(shell.succeed(&["completion", kind]).contains("block-size"));
    }
    let show = shell.succeed(&["config", "show", "--memory", "1GiB", "mem:"]);
    assert!(
        show.lines().any(|line| line.starts_with("memory") && line.contains("1GiB") && line.ends_with("--memory")),
        "{show}"
    );
}

#[test]
fn blobfuse2_words_are_converted() {
    let toml =
        Shell::new().succeed(&["config", "convert", "-o", "attr_timeout=120,--block-cache-block-size=0.00390625"]);
    assert_eq!(toml, "metadata-ttl = \"120s\"\nblock-size = \"4KiB\"\n");
}
