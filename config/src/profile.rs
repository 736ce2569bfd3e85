//! Sets of defaults for a kind of work, so that few knobs need turning: `--profile`.
//!
//! A profile only changes what nobody has set, in whatever layer; `rfuse config show` says which values are its.

/// What a mount is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Profile {
    /// The word of the setting.
    pub name: &'static str,
    /// What it is for, and why its values are as they are.
    pub why: &'static str,
    /// Settings by name, and their defaults under this profile.
    pub defaults: &'static [(&'static str, &'static str)],
}

/// The words, in the order of the help.
pub(crate) const NAMES: &[&str] = &["auto", "training", "resim", "checkpoint"];

/// Every profile, in the order of the help.
pub const PROFILES: [Profile; 4] = [
    Profile {
        name: "auto",
        why: "any mix: each reader's pattern is recognised while it reads, and the kernel reads nothing ahead of it",
        defaults: &[],
    },
    Profile {
        name: "training",
        why: "small records at random out of few huge files that do not change during a job, by pread or mmap, epoch \
              after epoch: the kernel must not read ahead, memory is for records, names are believed for long, and a \
              plan may reach far",
        defaults: &[("read-ahead", "4KiB"), ("memory", "2GiB"), ("plan-window", "1GiB"), ("metadata-ttl", "10m")],
    },
    Profile {
        name: "resim",
        why: "logs of gigabytes, index first, then chunks in order, each read once by a job and by many jobs of a node: \
              the kernel asks for large pieces and is given pages far ahead, and a second job finds the first one's \
              blocks",
        defaults: &[("read-ahead", "1MiB"), ("memory", "2GiB"), ("page-push", "32MiB"), ("prefetch-window", "256MiB")],
    },
    Profile {
        name: "checkpoint",
        why: "few large files written whole and in order, and read back whole: large parts, many of them on their way, \
              and reading as fast as the store gives",
        defaults: &[
            ("read-ahead", "1MiB"),
            ("part-size", "32MiB"),
            ("upload-memory", "512MiB"),
            ("prefetch-window", "256MiB"),
            ("page-push", "32MiB"),
        ],
    },
];

impl Profile {
    /// The profile called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// Its default of a setting, where it has one.
    pub fn default_of(&self, setting: &str) -> Option<&'static str> {
        self.defaults.iter().find(|(name, _)| *name == setting).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Setting;

    #[test]
    fn every_default_is_a_value_of_its_setting() {
        assert_eq!(PROFILES.map(|profile| profile.name), NAMES);
        for profile in PROFILES {
            for (name, value) in profile.defaults {
                let setting = Setting::named(name).unwrap();
                assert_eq!(setting.check(value), Ok(()), "{name}");
            }
        }
    }
}
