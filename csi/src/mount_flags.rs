//! `mountOptions` in both dialects: ours and mount(8)'s words, and the flags of blobfuse2.

use std::collections::BTreeMap;

use rfuse_config::blobfuse2::Conversion;
use rfuse_config::{Kind, Setting};

use crate::fault::Fault;

/// What the options of a volume say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct MountFlags {
    /// Settings of ours.
    pub(crate) settings: BTreeMap<String, String>,
    /// `ro` is among them.
    pub(crate) read_only: bool,
    /// `noexec` is among them.
    pub(crate) no_exec: bool,
    /// A container named as a flag.
    pub(crate) container: Option<String>,
    /// What a person should know: options that mean nothing here, and why.
    pub(crate) notes: Vec<String>,
    /// Options nobody knows.
    pub(crate) unknown: Vec<String>,
}

/// Words that hold anyway or are for somebody else.
const EMPTY: [&str; 16] = [
    "rw",
    "nosuid",
    "nodev",
    "suid",
    "dev",
    "exec",
    "async",
    "atime",
    "noatime",
    "relatime",
    "nodiratime",
    "_netdev",
    "nofail",
    "defaults",
    "default_permissions",
    "allow_other",
];

impl MountFlags {
    /// Reads options, each of which may hold several, with or without `-o` before them.
    ///
    /// # Errors
    /// For a value that its setting cannot have.
    pub(crate) fn read<'a>(flags: impl IntoIterator<Item = &'a str>) -> Result<Self, Fault> {
        let mut read = Self::default();
        let mut foreign = Conversion::default();
        for word in flags.into_iter().flat_map(|flag| flag.split([' ', ',', '\t', '\n'])) {
            let word = word.trim();
            if !word.is_empty() && word != "-o" {
                read.word(word, &mut foreign)?;
            }
        }
        let [_, container, _] = foreign.place();
        read.container = (!container.is_empty()).then(|| container.to_owned());
        for (name, value) in foreign.settings().filter(|(name, _)| !is_ours_to_choose(name)) {
            read.settings.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        read.unknown = foreign.unknown().to_vec();
        read.notes = foreign.notes().to_vec();
        Ok(read)
    }

    fn word(&mut self, word: &str, foreign: &mut Conversion) -> Result<(), Fault> {
        let bare = word.trim_start_matches("--");
        let (name, value) = bare.split_once('=').map_or((bare, None), |(name, value)| (name, Some(value)));
        match name {
            "ro" | "read-only" if value.is_none_or(|value| value == "true") => self.read_only = true,
            "noexec" => self.no_exec = true,
            name if EMPTY.contains(&name) || is_ours_to_choose(&name.replace('_', "-")) => {}
            _ => match (ours(name), value) {
                // Names that both have mean the same in both, but for the units: there blobfuse2's are kept.
                (Some(setting), value) if !is_shared(name) => {
                    let value = value.unwrap_or(if setting.kind == Kind::Switch { "true" } else { "" });
                    setting
                        .check(value)
                        .map_err(|why| Fault::invalid(format!("mountOptions: {name}={value}: {why}")))?;
                    self.settings.insert(setting.name.to_owned(), value.to_owned());
                }
                _ => foreign.options(word),
            },
        }
        Ok(())
    }
}

/// Our setting of that name that a volume may choose.
pub(crate) fn ours(name: &str) -> Option<&'static Setting> {
    Setting::named(&name.replace('_', "-")).filter(|setting| may_choose(setting))
}

/// Secrets come in secrets, and files of the node are not for volumes to name.
pub(crate) fn may_choose(setting: &Setting) -> bool {
    !setting.is_secret() && setting.kind != Kind::Path && !is_ours_to_choose(setting.name)
}

/// Settings whose value the driver knows.
fn is_ours_to_choose(name: &str) -> bool {
    matches!(name, "allow-other" | "nonempty" | "log-file" | "log-format")
}

/// Spelled alike in blobfuse2, whose reading of the value counts.
fn is_shared(name: &str) -> bool {
    matches!(name, "log-level" | "uid" | "gid" | "endpoint")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(flags: &[&str]) -> Vec<(String, String)> {
        MountFlags::read(flags.iter().copied()).unwrap().settings.into_iter().collect()
    }

    #[test]
    fn the_published_flags_become_ours() {
        let flags = [
            "-o allow_other",
            "--block-cache",
            "--block-cache-block-size=0.00390625",
            "--block-cache-path=/mnt/blobfuse",
            "--block-cache-parallelism=128",
            "--block-cache-prefetch=0",
            "-o attr_timeout=120",
            "--use-adls=true",
        ];
        let read = MountFlags::read(flags).unwrap();
        let expected = [("block-size", "4KiB"), ("metadata-ttl", "120s"), ("requests-in-flight", "128")];
        assert_eq!(settings(&flags), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(read.unknown.is_empty(), "{:?}", read.unknown);
        assert!(read.notes.iter().any(|note| note.contains("block-cache-path")));
    }

    #[test]
    fn our_own_words_are_read_in_every_dress() {
        let flags = ["ro,noexec,memory=1GiB", "--block-size=8KiB", "read_ahead=0", "uid=1000"];
        let read = MountFlags::read(flags).unwrap();
        assert!(read.read_only && read.no_exec);
        let expected = [("block-size", "8KiB"), ("memory", "1GiB"), ("read-ahead", "0"), ("uid", "1000")];
        assert_eq!(settings(&flags), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_volume_names_no_file_of_the_node_and_no_secret() {
        for flag in ["sas-file=/etc/shadow", "log-file=/etc/x", "sas=sig", "ca-file=/x", "--config-file=/x"] {
            let read = MountFlags::read([flag]).unwrap();
            assert!(read.settings.is_empty(), "{flag}: {:?}", read.settings);
            assert!(flag.starts_with("log-file") || !read.unknown.is_empty(), "{flag}");
        }
    }

    #[test]
    fn a_value_that_fits_no_setting_is_refused() {
        assert!(MountFlags::read(["memory=much"]).unwrap_err().to_string().contains("memory=much"));
        assert_eq!(MountFlags::read(["--no-such"]).unwrap().unknown, ["--no-such"]);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_every_setting_taken_is_valid(flags in proptest::collection::vec("\\PC{0,30}", 0..5)) {
            if let Ok(read) = MountFlags::read(flags.iter().map(String::as_str)) {
                for (name, value) in read.settings {
                    prop_assert!(Setting::named(&name).unwrap().check(&value).is_ok());
                }
            }
        }
    }
}
