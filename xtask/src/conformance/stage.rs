//! Where a suite plays: an empty mount, a local folder beside it, and a way to forget everything in between.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::place::{Corner, Kind, Place};
use crate::mount::Mount;
use crate::shell::run_captured;

/// A mount and what a suite needs beside it.
pub(crate) struct Stage<'a> {
    kind: Kind,
    corner: Corner,
    rfuse: &'a Path,
    /// Before the folder, so that it goes first when both are dropped.
    mount: Option<Mount>,
    folder: TempDir,
    /// Whether the short selection is asked for.
    pub(crate) quick: bool,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(suite: &str, place: &Place, rfuse: &'a Path, quick: bool) -> Result<Self> {
        let folder = TempDir::with_prefix(format!("rfuse-{suite}-"))?;
        std::fs::create_dir(folder.path().join("local"))?;
        let mut stage = Self { kind: place.kind(), corner: place.corner(suite)?, rfuse, folder, mount: None, quick };
        stage.mount()?;
        Ok(stage)
    }

    /// Which store it is on.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The mounted folder.
    pub(crate) fn mounted(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// A folder of the machine's own file system.
    pub(crate) fn local(&self) -> PathBuf {
        self.folder.path().join("local")
    }

    fn mount(&mut self) -> Result<()> {
        let mut flags = self.corner.flags.clone();
        // Suites become other users.
        flags.extend(["--allow-other".to_owned(), "--spool".to_owned()]);
        flags.push(self.folder.path().join("spool").to_string_lossy().into_owned());
        let mount =
            Mount::with_variables(self.rfuse, &self.corner.url, &self.mounted(), &flags, &self.corner.variables)?;
        self.mount = Some(mount);
        Ok(())
    }

    /// Unmounts and mounts again: nothing of what was written is in any memory, the kernel's included.
    pub(crate) fn remount(&mut self) -> Result<()> {
        self.unmount()?;
        self.mount()
    }

    fn unmount(&mut self) -> Result<()> {
        self.mount.take().map_or(Ok(()), Mount::unmount)
    }

    /// Unmounts for good; what was closed is stored, so nothing may be left in the spool.
    pub(crate) fn end(mut self) -> Result<()> {
        self.unmount()?;
        let left = left_in(&self.folder.path().join("spool"))?;
        if !left.is_empty() {
            bail!("the spool is not empty after the end of the mount: {}", left.join(", "));
        }
        Ok(())
    }
}

/// The files below `folder`, which need not be there.
fn left_in(folder: &Path) -> Result<Vec<String>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut left = Vec::new();
    for entry in entries {
        let path = entry?.path();
        match path.is_dir() {
            true => left.extend(left_in(&path)?),
            false if path.extension().is_some_and(|end| end == "data") => left.push(path.display().to_string()),
            false => {}
        }
    }
    Ok(left)
}

/// Runs a command that must succeed; what it printed last is in the error when it does not.
pub(crate) fn succeed(command: &mut Command, limit: Duration) -> Result<String> {
    let (ended, said) = run_captured(command, limit)?;
    ended.with_context(|| tail(&said, 12))?;
    Ok(said)
}

/// The last lines of a text, on one line.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join(" | ")
}
