//! A mount made by the real binary, unmounted with its handle.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rfuse_config::control::Statistics;

use crate::shell::{cargo, command, output_of, root, run, run_quietly, step};

/// Building the binary from nothing on two cores.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
/// The binary bounds its own waits well below this.
const COMMAND_LIMIT: Duration = Duration::from_secs(90);

/// Builds the optimised binary and says where it is.
pub(crate) fn build_rfuse() -> Result<PathBuf> {
    step("build", "rfuse, optimised");
    run(&mut cargo(&["build", "--quiet", "--release", "--package", "rfuse-fuse"]), BUILD_LIMIT)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join("release/rfuse"))
}

/// A mounted folder.
pub(crate) struct Mount {
    rfuse: PathBuf,
    folder: PathBuf,
    mounted: bool,
}

impl Mount {
    /// Mounts `url` on `folder`, which is made when it is missing.
    pub(crate) fn new(rfuse: &Path, url: &str, folder: &Path, flags: &[String]) -> Result<Self> {
        Self::with_variables(rfuse, url, folder, flags, &[])
    }

    /// The same, with variables in its environment.
    pub(crate) fn with_variables(
        rfuse: &Path,
        url: &str,
        folder: &Path,
        flags: &[String],
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| {
            format!("{} cannot be made: an earlier mount may still be there, try: rfuse unmount {0}", folder.display())
        })?;
        let mut mount = command(rfuse, &["mount", url]);
        run(mount.arg(folder).args(flags).envs(variables.iter().copied()), COMMAND_LIMIT)?;
        Ok(Self { rfuse: rfuse.to_path_buf(), folder: folder.to_path_buf(), mounted: true })
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `rfuse stats --json` says of it.
    pub(crate) fn stats(&self) -> Result<Statistics> {
        let text = output_of(command(&self.rfuse, &["stats", "--json"]).arg(&self.folder))?;
        serde_json::from_str(&text).context("rfuse stats --json printed no JSON")
    }

    /// Unmounts, and says why when that fails.
    pub(crate) fn unmount(mut self) -> Result<()> {
        self.mounted = false;
        run_quietly(command(&self.rfuse, &["unmount"]).arg(&self.folder), COMMAND_LIMIT)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            // Something failed before: that error is the one to show.
            let _ = run_quietly(command(&self.rfuse, &["unmount", "--lazy"]).arg(&self.folder), COMMAND_LIMIT);
        }
    }
}
