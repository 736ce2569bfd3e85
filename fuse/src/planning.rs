//! Plans and traces of a mount, as the command line and the control socket ask for them.

use std::path::Path;

use rfuse_block::{ByteRange, ObjectKey};
use rfuse_config::{ByteSize, MountConfig};
use rfuse_fs::FileSystem;
use rfuse_prefetch::access::{AccessPlan, PlanError};
use rfuse_store::{Get, Landing, StoreError, Urgency};

use crate::assemble::Parts;

/// Bytes of a plan that is read from a store at most; it is in memory once as text and once as steps.
const PLAN_MAX: u64 = 64 << 20;

/// Why a plan is not followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the plan {0}: {1}")]
    Read(String, #[source] std::io::Error),
    /// The store does not give it.
    #[error("cannot read the plan {0}: {1}")]
    Fetch(String, #[source] Box<StoreError>),
    /// It is larger than a plan may be.
    #[error("the plan {0} has {1}, and at most {PLAN_MAX} are read from a store", PLAN_MAX = ByteSize(PLAN_MAX))]
    Large(String, ByteSize),
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
    load(files, config, &file.display().to_string(), read(file)?);
    Ok(())
}

fn load(files: &FileSystem, config: &MountConfig, file: &str, plan: AccessPlan) {
    tracing::info!(file, files = plan.files.len(), reads = plan.steps.len(), "following a plan");
    files.load_plan(plan, config.fs.prefetch.plan_window);
}

/// Follows the plan that is stored beside what it is for, under the name `file`.
///
/// # Errors
/// See [`LoadError`].
pub(crate) async fn follow_stored(parts: &Parts, file: &str) -> Result<(), LoadError> {
    let (name, key) = (|| file.to_owned(), ObjectKey::from(file));
    let store = &parts.opened.store;
    let meta = store.head(&key).await.map_err(|error| LoadError::Fetch(name(), Box::new(error)))?;
    let size = usize::try_from(meta.size).ok().filter(|_| meta.size <= PLAN_MAX);
    let mut bytes = vec![0; size.ok_or_else(|| LoadError::Large(name(), ByteSize(meta.size)))?];
    if !bytes.is_empty() {
        let range = ByteRange::new(0, meta.size);
        let get = Get { key: &key, version: Some(&meta.version), range, urgency: Urgency::Ahead };
        store
            .get(get, &mut Landing::one(&mut bytes))
            .await
            .map_err(|error| LoadError::Fetch(name(), Box::new(error)))?;
    }
    let plan = AccessPlan::parse(&bytes).map_err(|error| LoadError::Parse(name(), error))?;
    load(&parts.files, &parts.config, file, plan);
    Ok(())
}
