//! A TOML file of settings, with the line of each.
//!
//! Top-level keys are settings of every mount; `[mount.NAME]` holds the URL, the folder and the settings of
//! one, so that `rfuse mount NAME` is enough.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::setting::SETTINGS;
use crate::{ConfigError, Secret, Setting, Source, nearest};

/// Settings in the order they were written, each with its line from 1.
pub type FileValues = Vec<(&'static Setting, Secret, usize)>;

/// What `[mount.NAME]` says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NamedMount {
    /// The URL; a [`Secret`] because it may hold a SAS.
    pub url: Option<Secret>,
    /// The folder.
    pub dir: Option<PathBuf>,
    /// Its settings.
    pub values: FileValues,
}

/// One configuration file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigFile {
    /// Which file.
    pub path: PathBuf,
    /// The settings of every mount.
    pub values: FileValues,
    /// The named mounts.
    pub mounts: BTreeMap<String, NamedMount>,
}

impl ConfigFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError::File`] when it cannot be read, else those of [`ConfigFile::parse`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::File { path: path.to_owned(), why: error.to_string() })?;
        Self::parse(path, &text)
    }

    /// Reads `text`, which came from `path`.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`] and [`ConfigError::UnknownKey`], with the line; values are checked later, by the
    /// layers.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let lines = Lines { path, text };
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            origin: lines.source(error.span().map_or(0, |span| span.start)),
            why: error.message().lines().next().unwrap_or_default().to_owned(),
        })?;
        let mut file = Self { path: path.to_owned(), values: Vec::new(), mounts: BTreeMap::new() };
        for (key, value) in table.get_ref() {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            match (name, value.get_ref()) {
                ("mount", DeValue::Table(mounts)) => file.mounts = lines.mounts(mounts)?,
                (name, value) => file.values.push(lines.setting(name, value, at, &["mount"])?),
            }
        }
        Ok(file)
    }
}

/// A text whose offsets become lines.
struct Lines<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Lines<'_> {
    fn line(&self, offset: usize) -> usize {
        self.text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
    }

    fn source(&self, offset: usize) -> Source {
        Source::File { path: self.path.to_owned(), line: self.line(offset) }
    }

    fn mounts(&self, table: &DeTable<'_>) -> Result<BTreeMap<String, NamedMount>, ConfigError> {
        let mut mounts = BTreeMap::new();
        for (name, value) in table {
            let DeValue::Table(entries) = value.get_ref() else {
                let why = "mount holds tables: [mount.NAME]".to_owned();
                return Err(ConfigError::Syntax { origin: self.source(name.span().start), why });
            };
            mounts.insert(name.get_ref().to_string(), self.mount(entries)?);
        }
        Ok(mounts)
    }

    fn mount(&self, entries: &DeTable<'_>) -> Result<NamedMount, ConfigError> {
        let mut mount = NamedMount::default();
        for (key, value) in entries {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            match name {
                "url" => mount.url = Some(Secret::new(self.scalar(name, value.get_ref(), at)?)),
                "dir" => mount.dir = Some(self.scalar(name, value.get_ref(), at)?.into()),
                name => mount.values.push(self.setting(name, value.get_ref(), at, &["url", "dir"])?),
            }
        }
        Ok(mount)
    }

    fn setting(
        &self,
        name: &str,
        value: &DeValue<'_>,
        at: usize,
        also: &[&str],
    ) -> Result<(&'static Setting, Secret, usize), ConfigError> {
        let setting = Setting::named(name).ok_or_else(|| ConfigError::UnknownKey {
            key: name.to_owned(),
            origin: self.source(at),
            nearest: nearest(name, SETTINGS.iter().map(|s| s.name).chain(also.iter().copied()).map(str::to_owned)),
        })?;
        Ok((setting, Secret::new(self.scalar(name, value, at)?), self.line(at)))
    }

    fn scalar(&self, name: &str, value: &DeValue<'_>, at: usize) -> Result<String, ConfigError> {
        match value {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) if number.radix() == 8 => Ok(format!("0o{}", number.as_str())),
            DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
            DeValue::Float(number) => Ok(number.as_str().to_owned()),
            DeValue::Boolean(truth) => Ok(truth.to_string()),
            other => {
                let why = format!("{name} takes one text, number or truth value, not {}", other.type_str());
                Err(ConfigError::Syntax { origin: self.source(at), why })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, ConfigError> {
        ConfigFile::parse(Path::new("/c.toml"), text)
    }

    #[test]
    fn settings_and_named_mounts_are_read_with_their_lines() {
        let file = parse(
            "tries = 3\nfile-mode = 0o640\n\n[mount.logs]\nurl = \"az://a/logs\"\ndir = \"/mnt\"\nmemory = \"1GiB\"\n",
        )
        .unwrap();
        let values: Vec<_> = file.values.iter().map(|(s, text, line)| (s.name, text.reveal(), *line)).collect();
        assert_eq!(values, [("file-mode", "0o640", 2), ("tries", "3", 1)]);
        let logs = &file.mounts["logs"];
        assert_eq!(logs.url.as_ref().map(Secret::reveal), Some("az://a/logs"));
        assert_eq!(logs.dir.as_deref(), Some(Path::new("/mnt")));
        assert_eq!(logs.values[0].2, 7);
    }

    #[test]
    fn an_unknown_key_names_file_line_and_the_nearest() {
        let error = parse("tries = 3\nblock_size = \"4KiB\"").unwrap_err();
        assert_eq!(error.to_string(), "/c.toml:2: unknown setting \"block_size\"");
        assert_eq!(error.help(), "did you mean block-size?");
        assert!(parse("[mounts.x]\nurl = \"mem:\"").unwrap_err().help().contains("mount"));
    }

    #[test]
    fn a_syntax_error_names_its_line_and_never_quotes_it() {
        let error = parse("tries = 3\nsas = \"sig=canary").unwrap_err();
        assert!(error.to_string().starts_with("/c.toml:2: "), "{error}");
        assert!(!format!("{error}{error:?}").contains("canary"));
    }

    #[test]
    fn an_array_is_no_value() {
        assert!(parse("tries = [1]").unwrap_err().to_string().contains("not array"));
    }
}
