//! Which region requests are signed for.

use reqsign_core::Context;
use rfuse_config::{AwsCredential, StoreConfig};

use super::credential::{ProfileFiles, chosen};
use crate::StoreError;

/// What AWS calls its first region, and what most other servers expect.
const FALLBACK: &str = "us-east-1";

/// The region of `config`, else that of the environment, else that of the profile, else us-east-1.
pub(super) async fn choose(config: &StoreConfig, world: &Context) -> Result<String, StoreError> {
    if let Some(region) = &config.region {
        return Ok(region.clone());
    }
    let variable = |name: &str| world.env_var(name).filter(|value| !value.is_empty());
    if let Some(region) = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")) {
        return Ok(region);
    }
    let profile = match &config.aws {
        AwsCredential::Default { profile: Some(name) } => name.clone(),
        _ => chosen(world).0,
    };
    let files = ProfileFiles::read(world).await;
    Ok(files.region(&profile).unwrap_or_else(|| FALLBACK.to_owned()))
}
