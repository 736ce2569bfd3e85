//! Collects what files, environment and flags say about one mount.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rfuse_config::{
    Cloud, ConfigError, ConfigFile, Layers, Location, MountConfig, ParsedUrl, Secret, Setting, Source, Surroundings,
    nearest,
};

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// The URL, or the name of a mount in the configuration files.
    pub(crate) target: Option<Secret>,
    /// An extra configuration file.
    pub(crate) file: Option<PathBuf>,
    /// Settings by flag or `-o`.
    pub(crate) values: Vec<(&'static Setting, String, Source)>,
}

/// One mount, with the layers it came from.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) url: ParsedUrl,
    /// The folder a named mount gives.
    pub(crate) dir: Option<PathBuf>,
    pub(crate) layers: Layers,
    pub(crate) around: Surroundings,
}

impl Gathered {
    /// The structs of the rooms.
    pub(crate) fn resolve(&self) -> Result<MountConfig, ConfigError> {
        MountConfig::resolve(&self.layers, &self.url, &self.around)
    }
}

/// Reads files and environment, and puts what was `said` on top. Without a target the layers still come, for
/// `config show`, with a memory store to stand for the place.
///
/// # Errors
/// [`ConfigError`], with the source of what is wrong.
pub(crate) fn gather(said: &Said) -> Result<Gathered, ConfigError> {
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
        .collect();
    let files = files(said.file.as_deref(), &variables)?;
    let account = variables.get("AZURE_STORAGE_ACCOUNT").map(String::as_str);
    let (url, name, dir) = target(said.target.as_ref(), &files, account)?;
    let cloud = match url.location {
        Location::Azure { .. } => Some(Cloud::Azure),
        Location::S3 { .. } => Some(Cloud::S3),
        Location::Local(_) | Location::Memory => None,
    };
    let mut layers = Layers::default();
    layers.files(&files, name.as_deref())?;
    layers.environment(&variables, cloud)?;
    layers.url(&url)?;
    for (setting, text, source) in &said.values {
        layers.set(setting, text, source.clone())?;
    }
    Ok(Gathered { url, dir, layers, around: surroundings(&variables) })
}

/// `/etc/rfuse/config.toml` and the user's where they exist, then the one asked for.
fn files(extra: Option<&Path>, variables: &BTreeMap<String, String>) -> Result<Vec<ConfigFile>, ConfigError> {
    let own = variables.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let own = own.or_else(|| Some(PathBuf::from(variables.get("HOME")?).join(".config")));
    let usual = [Some(PathBuf::from("/etc/rfuse/config.toml")), own.map(|dir| dir.join("rfuse/config.toml"))];
    let there = usual.into_iter().flatten().filter(|path| path.exists());
    there.chain(extra.map(Path::to_owned)).map(|path| ConfigFile::read(&path)).collect()
}

type Target = (ParsedUrl, Option<String>, Option<PathBuf>);

fn target(said: Option<&Secret>, files: &[ConfigFile], account: Option<&str>) -> Result<Target, ConfigError> {
    let Some(text) = said else {
        return Ok((ParsedUrl::parse("mem:", None)?, None, None));
    };
    let text = text.reveal();
    let named = files.iter().rev().find_map(|file| file.mounts.get(text));
    match named {
        Some(mount) => {
            let why = || format!("of the mount \"{text}\" is missing; write url = \"az://…\" into its table");
            let url = mount.url.as_ref().ok_or_else(|| ConfigError::BadUrl { why: why() })?;
            Ok((ParsedUrl::parse(url.reveal(), account)?, Some(text.to_owned()), mount.dir.clone()))
        }
        None if text.contains(':') => Ok((ParsedUrl::parse(text, account)?, None, None)),
        None => {
            let names = files.iter().flat_map(|file| file.mounts.keys().cloned());
            let name = text.split('?').next().unwrap_or_default().to_owned();
            Err(ConfigError::UnknownMount { nearest: nearest(&name, names), name })
        }
    }
}

/// Where programs keep what they can do without for a while.
fn cache_home(variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    let said = variables.get("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    if said.is_none() && rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/cache"));
    }
    said.or_else(|| Some(PathBuf::from(variables.get("HOME")?).join(".cache")))
}

fn surroundings(variables: &BTreeMap<String, String>) -> Surroundings {
    let set = |name: &str| variables.get(name).is_some_and(|text| !text.is_empty());
    let azure_home = variables.get("AZURE_CONFIG_DIR").map(PathBuf::from);
    let azure_home = azure_home.or_else(|| Some(PathBuf::from(variables.get("HOME")?).join(".azure")));
    Surroundings {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        workload_identity: set("AZURE_FEDERATED_TOKEN_FILE"),
        managed_identity: set("IDENTITY_ENDPOINT") || set("MSI_ENDPOINT"),
        azure_cli: azure_home.is_some_and(|dir| dir.join("azureProfile.json").exists()),
        spool: cache_home(variables).map(|home| home.join("rfuse/spool")),
    }
}
