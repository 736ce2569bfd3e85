//! Defaults, files, environment, flags: the higher layer wins, and each value knows where it came from.

use std::collections::BTreeMap;

use crate::setting::{ALIASES, Cloud, Kind, SETTINGS};
use crate::{ConfigError, ConfigFile, ParsedUrl, Profile, Secret, Setting, Source};

/// A value and where it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Value {
    /// The text; a [`Secret`] whatever the setting is, so that no `Debug` can tell.
    pub(crate) text: Secret,
    pub(crate) source: Source,
}

/// One line of `rfuse config show`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effective {
    /// The setting.
    pub setting: &'static Setting,
    /// Its value as it may be shown: `***` for a secret that is set, empty for nothing.
    pub value: String,
    /// Where it was written.
    pub source: Source,
}

/// What all layers said so far. Every value in it has passed the check of its setting.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Layers {
    values: BTreeMap<&'static str, Value>,
}

impl Layers {
    /// Sets one value, unless a higher layer has set it.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] when `text` is no value of `setting`.
    pub fn set(&mut self, setting: &'static Setting, text: &str, source: Source) -> Result<(), ConfigError> {
        setting.check(text).map_err(|why| ConfigError::BadValue {
            key: setting.name.to_owned(),
            value: if setting.is_secret() { "***".to_owned() } else { format!("{text:?}") },
            origin: source.clone(),
            why,
        })?;
        let text = absolute(setting, text);
        let lower = self.values.get(setting.name).is_none_or(|value| value.source.rank() <= source.rank());
        if lower {
            self.values.insert(setting.name, Value { text: Secret::new(text), source });
        }
        Ok(())
    }

    /// Takes the settings of `files`, the later file winning, then those of the mount called `name` in them.
    ///
    /// # Errors
    /// Those of [`Layers::set`].
    pub fn files(&mut self, files: &[ConfigFile], name: Option<&str>) -> Result<(), ConfigError> {
        for file in files {
            self.file(file, &file.values)?;
        }
        for file in files {
            if let Some(mount) = name.and_then(|name| file.mounts.get(name)) {
                self.file(file, &mount.values)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, file: &ConfigFile, values: &[(&'static Setting, Secret, usize)]) -> Result<(), ConfigError> {
        for (setting, text, line) in values {
            self.set(setting, text.reveal(), Source::File { path: file.path.clone(), line: *line })?;
        }
        Ok(())
    }

    /// Takes what the environment says: the clouds' own variables where they fit `cloud`, then `RFUSE_…`.
    ///
    /// # Errors
    /// Those of [`Layers::set`], and [`ConfigError::UnknownKey`] for an `RFUSE_` variable nobody knows.
    pub fn environment(
        &mut self,
        variables: &BTreeMap<String, String>,
        cloud: Option<Cloud>,
    ) -> Result<(), ConfigError> {
        let given = |name: &str| variables.get(name).filter(|text| !text.is_empty());
        for (variable, name, _) in ALIASES.iter().rev().filter(|(_, _, of)| Some(*of) == cloud) {
            if let (Some(text), Some(setting)) = (given(variable), Setting::named(name)) {
                self.set(setting, text.trim_start_matches('?'), Source::Environment((*variable).to_owned()))?;
            }
        }
        for (variable, text) in variables.iter().filter(|(name, text)| is_ours(name) && !text.is_empty()) {
            let setting = SETTINGS.iter().find(|setting| setting.variable() == *variable);
            let setting = setting.ok_or_else(|| unknown_variable(variable))?;
            self.set(setting, text, Source::Environment(variable.clone()))?;
        }
        Ok(())
    }

    /// Takes what the URL says besides the place: its SAS and its endpoint.
    ///
    /// # Errors
    /// Those of [`Layers::set`].
    pub fn url(&mut self, url: &ParsedUrl) -> Result<(), ConfigError> {
        if let (Some(endpoint), Some(setting)) = (&url.endpoint, Setting::named("endpoint")) {
            self.set(setting, endpoint, Source::Url)?;
        }
        if let (Some(sas), Some(setting)) = (&url.sas, Setting::named("sas")) {
            self.set(setting, sas.reveal(), Source::Url)?;
        }
        Ok(())
    }

    /// Every setting with its value and source, in the order of the table; safe to show.
    pub fn effective(&self) -> Vec<Effective> {
        SETTINGS.iter().map(|setting| self.effective_of(setting)).collect()
    }

    fn effective_of(&self, setting: &'static Setting) -> Effective {
        match self.values.get(setting.name) {
            None => match self.profile().and_then(|profile| Some((profile.name, profile.default_of(setting.name)?))) {
                Some((name, value)) => {
                    Effective { setting, value: value.to_owned(), source: Source::Profile(name.to_owned()) }
                }
                None => Effective { setting, value: setting.default.to_owned(), source: Source::Default },
            },
            Some(value) => {
                let shown = if setting.is_secret() { "***" } else { value.text.reveal() };
                Effective { setting, value: shown.to_owned(), source: value.source.clone() }
            }
        }
    }

    /// What was set under `name`, without the default.
    pub(crate) fn given(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The text under `name`, or the default; empty where there is neither.
    pub(crate) fn text(&self, name: &'static str) -> &str {
        if let Some(value) = self.values.get(name) {
            return value.text.reveal();
        }
        let profiled = self.profile().and_then(|profile| profile.default_of(name));
        profiled.unwrap_or_else(|| Setting::named(name).map_or("", |setting| setting.default))
    }

    /// The profile that is chosen; none: the defaults as they are.
    fn profile(&self) -> Option<&'static Profile> {
        self.values.get("profile").and_then(|value| Profile::named(value.text.reveal()))
    }
}

/// A relative path is meant from where it was written, and a daemon lives elsewhere.
fn absolute(setting: &Setting, text: &str) -> String {
    let path = (setting.kind == Kind::Path).then(|| std::path::absolute(text).ok()).flatten();
    path.and_then(|path| path.into_os_string().into_string().ok()).unwrap_or_else(|| text.to_owned())
}

/// Whether a variable can only be meant for a setting. The run directory is none; tests and benches have their own, and Kubernetes makes
/// variables for each service, so that one called `rfuse` gives `RFUSE_PORT_443_TCP` and the like.
fn is_ours(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("RFUSE_") else { return false };
    let others =
        rest == "RUN_DIR" || ["TEST_", "BENCH_", "DEMO_", "CSI_"].iter().any(|prefix| rest.starts_with(prefix));
    let kubernetes = rest == "PORT" || rest.starts_with("PORT_") || rest.contains("SERVICE_");
    !others && !kubernetes
}

fn unknown_variable(variable: &str) -> ConfigError {
    let nearest = nearest(variable, SETTINGS.iter().map(Setting::variable));
    ConfigError::UnknownKey { key: variable.to_owned(), origin: Source::Environment(variable.to_owned()), nearest }
}

/// The candidate most like `word`, if one is near enough to be meant.
pub fn nearest(word: &str, candidates: impl IntoIterator<Item = String>) -> Option<String> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let word = plain(word);
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &plain(&candidate)), candidate))
        .filter(|(likeness, _)| *likeness > 0.82)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn file(text: &str) -> ConfigFile {
        ConfigFile::parse(Path::new("/etc/rfuse/config.toml"), text).unwrap()
    }

    fn value(layers: &Layers, name: &str) -> (String, String) {
        let line = layers.effective().into_iter().find(|line| line.setting.name == name).unwrap();
        (line.value, line.source.to_string())
    }

    #[test]
    fn the_higher_layer_wins_and_says_so() {
        let mut layers = Layers::default();
        assert_eq!(value(&layers, "memory"), ("512MiB".into(), "default".into()));
        layers.set(Setting::named("memory").unwrap(), "4GiB", Source::Flag("memory".into())).unwrap();
        layers.files(&[file("\nmemory = \"1GiB\"\ntries = 3")], None).unwrap();
        layers.environment(&variables(&[("RFUSE_MEMORY", "2GiB"), ("RFUSE_TRIES", "4")]), None).unwrap();
        assert_eq!(value(&layers, "memory"), ("4GiB".into(), "--memory".into()));
        assert_eq!(value(&layers, "tries"), ("4".into(), "environment RFUSE_TRIES".into()));
    }

    #[test]
    fn a_profile_changes_what_nobody_has_set_and_says_so() {
        let mut layers = Layers::default();
        layers.files(&[file("memory = \"1GiB\"\nprofile = \"training\"")], None).unwrap();
        assert_eq!(value(&layers, "memory"), ("1GiB".into(), "/etc/rfuse/config.toml:1".into()));
        assert_eq!(value(&layers, "metadata-ttl"), ("10m".into(), "profile training".into()));
        assert_eq!((layers.text("memory"), layers.text("metadata-ttl")), ("1GiB", "10m"));
        layers.environment(&variables(&[("RFUSE_PROFILE", "auto")]), None).unwrap();
        assert_eq!(value(&layers, "metadata-ttl"), ("60s".into(), "default".into()));
    }

    #[test]
    fn a_named_mount_wins_over_its_file_and_over_a_later_one() {
        let mut layers = Layers::default();
        let named = file("memory = \"1GiB\"\n[mount.training]\nurl = \"mem:\"\nmemory = \"3GiB\"");
        layers.files(&[named, file("memory = \"2GiB\"")], Some("training")).unwrap();
        assert_eq!(value(&layers, "memory"), ("3GiB".into(), "/etc/rfuse/config.toml:4".into()));
    }

    #[test]
    fn an_unknown_variable_names_itself_and_the_nearest() {
        let error = Layers::default().environment(&variables(&[("RFUSE_BLOCKSIZE", "4KiB")]), None).unwrap_err();
        assert_eq!(error.to_string(), "environment RFUSE_BLOCKSIZE: unknown setting \"RFUSE_BLOCKSIZE\"");
        assert_eq!(error.help(), "did you mean RFUSE_BLOCK_SIZE?");
    }

    #[test]
    fn what_kubernetes_and_the_tests_set_is_not_ours() {
        let set = variables(&[("RFUSE_PORT_443_TCP", "x"), ("RFUSE_SERVICE_HOST", "x"), ("RFUSE_TEST_S3", "x")]);
        assert_eq!(Layers::default().environment(&set, None), Ok(()));
    }

    #[test]
    fn the_variables_of_one_cloud_say_nothing_about_the_other() {
        let set =
            variables(&[("AZURE_STORAGE_SAS_TOKEN", "?sig=a"), ("AWS_REGION", "eu-1"), ("AWS_DEFAULT_REGION", "x")]);
        let mut azure = Layers::default();
        azure.environment(&set, Some(Cloud::Azure)).unwrap();
        assert_eq!(value(&azure, "sas"), ("***".into(), "environment AZURE_STORAGE_SAS_TOKEN".into()));
        assert_eq!(azure.text("sas"), "sig=a");
        assert_eq!(azure.text("region"), "");
        let mut s3 = Layers::default();
        s3.environment(&set, Some(Cloud::S3)).unwrap();
        assert_eq!(s3.text("region"), "eu-1");
        assert_eq!(s3.text("sas"), "");
    }

    #[test]
    fn no_debug_and_no_error_shows_a_secret() {
        let mut layers = Layers::default();
        layers.environment(&variables(&[("RFUSE_SAS", "sig=canary")]), None).unwrap();
        assert!(!format!("{layers:?}{:?}", layers.effective()).contains("canary"));
    }
}
