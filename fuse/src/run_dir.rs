//! Where mounts leave what others find them by: a registration, a control socket and a log each.
//!
//! `/run/rfuse` for root, `$XDG_RUNTIME_DIR/rfuse` for others, mode 0700; `RFUSE_RUN_DIR` overrides both.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rfuse_config::control::Registration;
use rustix::process::{Pid, geteuid, test_kill_process};

/// The run directory, made when it is first needed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RunDir(PathBuf);

/// The files of one mount in the run directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RunFiles {
    pub(crate) registration: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) log: PathBuf,
}

impl RunDir {
    /// The run directory of this user, which need not exist.
    pub(crate) fn find() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = || geteuid().is_root().then(|| PathBuf::from("/run/rfuse"));
        let own = || set("XDG_RUNTIME_DIR").map(|dir| dir.join("rfuse"));
        let last = || PathBuf::from(format!("/tmp/rfuse-{}", geteuid().as_raw()));
        Self(set("RFUSE_RUN_DIR").or_else(root).or_else(own).unwrap_or_else(last))
    }

    /// Makes it, and makes sure that nobody else can write there.
    pub(crate) fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let found = fs::symlink_metadata(&self.0)?;
        let own = found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0;
        let text = || format!("{} belongs to somebody else or others may write there", self.0.display());
        own.then_some(()).ok_or_else(|| io::Error::new(io::ErrorKind::PermissionDenied, text()))
    }

    /// The files of the mount on `dir`, an absolute path.
    pub(crate) fn files(&self, dir: &Path) -> RunFiles {
        let name = name_of(dir);
        let file = |extension: &str| self.0.join(format!("{name}.{extension}"));
        RunFiles { registration: file("json"), socket: file("sock"), log: file("log") }
    }

    /// Every mount registered here, the dead ones too, by folder.
    pub(crate) fn registrations(&self) -> Vec<Registration> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
        let mut all: Vec<Registration> =
            files.filter_map(|path| serde_json::from_slice(&fs::read(path).ok()?).ok()).collect();
        all.sort_by(|a, b| a.dir.cmp(&b.dir));
        all
    }

    /// The registration of the mount on `dir`.
    pub(crate) fn registration(&self, dir: &Path) -> Option<Registration> {
        serde_json::from_slice(&fs::read(self.files(dir).registration).ok()?).ok()
    }
}

impl RunFiles {
    /// Registers a mount; whole or not at all.
    pub(crate) fn register(&self, registration: &Registration) -> io::Result<()> {
        let fresh = self.registration.with_extension("new");
        fs::write(&fresh, serde_json::to_vec(registration)?)?;
        fs::rename(&fresh, &self.registration)
    }

    /// Takes the registration of process `pid` back; the log stays. A newer mount's is left alone.
    pub(crate) fn withdraw(&self, pid: u32) {
        let ours =
            fs::read(&self.registration).ok().and_then(|text| serde_json::from_slice::<Registration>(&text).ok());
        if ours.is_none_or(|found| found.pid == pid) {
            let _ = fs::remove_file(&self.registration);
            let _ = fs::remove_file(&self.socket);
        }
    }
}

/// Whether process `pid` is there.
pub(crate) fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH)))
}

/// A short file name that stands for `dir`: its last letters for people, a hash so that no two are alike.
fn name_of(dir: &Path) -> String {
    let bytes = dir.as_os_str().as_bytes();
    // FNV-1a, 64 bits: stable over versions, which the standard library's hasher is not.
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let plain: String =
        dir.to_string_lossy().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let tail = &plain[plain.len().saturating_sub(24)..];
    format!("{}-{hash:016x}", tail.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_folders_never_share_a_name_and_a_name_fits_a_socket() {
        let long = format!("/{}", "mnt/".repeat(500));
        let names = ["/mnt/a-b", "/mnt/a/b", "/", "/mnt/ä", &long].map(|dir| name_of(Path::new(dir)));
        for (i, name) in names.iter().enumerate() {
            assert!(name.len() <= 41 && !name.contains('/'), "{name}");
            assert!(!names[i + 1..].contains(name));
        }
    }

    #[test]
    fn a_registration_of_another_process_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir(folder.path().join("run"));
        dir.make().unwrap();
        let files = dir.files(Path::new("/mnt/x"));
        let mine = Registration { dir: "/mnt/x".into(), url: "mem:".into(), pid: 7, since: 1, log: None };
        files.register(&mine).unwrap();
        files.withdraw(8);
        assert_eq!(dir.registration(Path::new("/mnt/x")), Some(mine));
        files.withdraw(7);
        assert!(dir.registrations().is_empty());
    }

    #[test]
    fn a_run_directory_others_can_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(RunDir(folder.path().into()).make().is_err());
    }
}
