//! What a volume is: a place and how it is to be mounted. Everything but its secrets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A volume as attributes, mount options, capability and secret names together describe it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Volume {
    /// The place, without secrets.
    pub(crate) url: String,
    /// Settings of `rfuse` by name.
    pub(crate) settings: BTreeMap<String, String>,
    /// The access mode allows no writing.
    pub(crate) read_only: bool,
    /// Programs on it may run.
    pub(crate) allow_exec: bool,
    /// Its file with the access plan to follow.
    #[serde(default)]
    pub(crate) plan: Option<String>,
    /// It has a share in the node's cache folder.
    #[serde(default)]
    pub(crate) disk_cache: bool,
}

impl Volume {
    /// The first thing in which `other` differs, for a person: which, what it is here, what it is there.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let said = |name: &str, here: &str, there: &str| Some(format!("{name} is {here} there and {there} here"));
        if self.url != other.url {
            return said("url", &self.url, &other.url);
        }
        let names = self.settings.keys().chain(other.settings.keys());
        for name in names {
            let value = |volume: &Self| volume.settings.get(name).cloned().unwrap_or_else(|| "not given".to_owned());
            if value(self) != value(other) {
                return said(name, &value(self), &value(other));
            }
        }
        let word = |truth: bool| if truth { "true" } else { "false" };
        if self.read_only != other.read_only {
            return said("read-only", word(self.read_only), word(other.read_only));
        }
        if self.allow_exec != other.allow_exec {
            return said("exec", word(self.allow_exec), word(other.allow_exec));
        }
        // What is fetched early and where it is remembered changes nothing for its readers.
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_the_option_and_both_values() {
        let volume = |size: &str| Volume {
            url: "az://a/c".into(),
            settings: BTreeMap::from([("block-size".into(), size.into())]),
            read_only: true,
            allow_exec: true,
            plan: None,
            disk_cache: false,
        };
        assert_eq!(volume("4KiB").difference(&volume("4KiB")), None);
        let text = volume("4KiB").difference(&volume("8KiB")).unwrap();
        assert_eq!(text, "block-size is 4KiB there and 8KiB here");
        let text = volume("4KiB").difference(&Volume { settings: BTreeMap::new(), ..volume("4KiB") }).unwrap();
        assert_eq!(text, "block-size is 4KiB there and not given here");
        assert!(volume("4KiB").difference(&Volume { read_only: false, ..volume("4KiB") }).is_some());
    }
}
