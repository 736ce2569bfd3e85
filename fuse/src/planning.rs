//! Plans and traces of a mount, as the command line and the control socket ask for them.

use std::path::Path;

use rfuse_config::MountConfig;
use rfuse_fs::FileSystem;
use rfuse_prefetch::access::{AccessPlan, PlanError};

/// Why a plan is not followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the plan {0}: {1}")]
    Read(String, #[source] std::io::Error),
    /// It is no plan.
    #[error("{0} is no plan that can be followed: {1}")]
    Parse(String, #[source] PlanError),
}

/// Reads a plan or a trace.
///
/// # Errors
/// See [`LoadError`].
pub(crate) fn read(file: &Path) -> Result<AccessPlan, LoadError> {
    let name = || file.display().to_string();
    let bytes = std::fs::read(file).map_err(|error| LoadError::Read(name(), error))?;
    AccessPlan::parse(&bytes).map_err(|error| LoadError::Parse(name(), error))
}

/// Follows the plan in `file` from its beginning.
///
/// # Errors
/// See [`LoadError`]; a plan that was followed before still is.
pub(crate) fn follow(files: &FileSystem, config: &MountConfig, file: &Path) -> Result<(), LoadError> {
    let plan = read(file)?;
    tracing::info!(file = %file.display(), files = plan.files.len(), reads = plan.steps.len(), "following a plan");
    files.load_plan(plan, config.fs.prefetch.plan_window);
    Ok(())
}
