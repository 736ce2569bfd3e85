//! A mount namespace in which a machine lacks what it usually has.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A namespace that lives as long as this.
pub(crate) struct Namespace(Child);

impl Namespace {
    /// A namespace after `setup`, a shell script.
    pub(crate) fn new(setup: &str) -> Self {
        let script = format!("set -e\n{setup}\necho ready\nexec sleep 600");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let this = Self(child);
        assert_eq!(line, "ready\n", "the namespace could not be set up: {setup}");
        this
    }

    /// One in which everyone may open /dev/fuse, as on most machines.
    pub(crate) fn of_everyone() -> Self {
        Self::with_device("666", "")
    }

    /// The same after `setup`.
    pub(crate) fn of_everyone_and(setup: &str) -> Self {
        Self::with_device("666", setup)
    }

    /// One in which only root may.
    pub(crate) fn of_nobody() -> Self {
        Self::with_device("600", "")
    }

    fn with_device(mode: &str, more: &str) -> Self {
        let setup = "node=$(mktemp -u)\nmknod -m MODE $node c 10 229\nmount --bind $node /dev/fuse\nrm $node";
        Self::new(&format!("{}\n{more}", setup.replace("MODE", mode)))
    }

    /// What runs a program in it.
    pub(crate) fn wrapper(&self) -> Vec<String> {
        ["nsenter", "--mount", "--target", &self.0.id().to_string(), "--"].map(str::to_owned).to_vec()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
