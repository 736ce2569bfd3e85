//! `-o` as mount(8) and fstab pass it: our settings, and words that are not for us.

use rfuse_config::{ConfigError, Kind, SETTINGS, Setting, Source, nearest};

/// Words that mount(8), systemd and fstab handle themselves, or that say what holds anyway: a mount is nosuid
/// and nodev whatever is asked.
const IGNORED: [&str; 22] = [
    "_netdev",
    "nofail",
    "auto",
    "noauto",
    "defaults",
    "user",
    "nouser",
    "users",
    "group",
    "owner",
    "nosuid",
    "nodev",
    "suid",
    "dev",
    "async",
    "atime",
    "noatime",
    "relatime",
    "nodiratime",
    "nosymfollow",
    "default_permissions",
    "silent",
];

/// The settings in `words`, which commas separate.
///
/// # Errors
/// [`ConfigError::UnknownKey`] for a word nobody knows.
pub(crate) fn parse(words: &str) -> Result<Vec<(&'static Setting, String, Source)>, ConfigError> {
    let words = words.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.filter_map(|word| one(word).transpose()).collect()
}

fn one(word: &str) -> Result<Option<(&'static Setting, String, Source)>, ConfigError> {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    if IGNORED.contains(&name) || name.starts_with("x-") || name.starts_with("X-") || name == "comment" {
        return Ok(None);
    }
    let source = Source::MountOption(name.to_owned());
    let (dressed, value) = match (name, value) {
        ("noexec", None) => ("allow-exec".to_owned(), Some("false")),
        ("exec", None) => ("allow-exec".to_owned(), Some("true")),
        ("ro", None) => ("read-only".to_owned(), Some("true")),
        ("rw", None) => ("read-only".to_owned(), Some("false")),
        (name, value) => (name.replace('_', "-"), value),
    };
    // A secret in -o would stand in the process table, so there are no words for them.
    let found = Setting::named(&dressed).filter(|setting| !setting.is_secret());
    match (found, value) {
        (Some(setting), Some(value)) => Ok(Some((setting, value.to_owned(), source))),
        (Some(setting), None) if setting.kind == Kind::Switch => Ok(Some((setting, "true".to_owned(), source))),
        (Some(setting), None) => Err(ConfigError::BadValue {
            key: setting.name.to_owned(),
            value: "nothing".to_owned(),
            origin: source,
            why: format!("it needs a value: {name}={}", setting.placeholder()),
        }),
        (None, _) => {
            let names = SETTINGS.iter().filter(|setting| !setting.is_secret()).map(|setting| setting.name.to_owned());
            Err(ConfigError::UnknownKey { key: name.to_owned(), origin: source, nearest: nearest(name, names) })
        }
    }
}

/// The arguments of `mount.rfuse SOURCE DIR [-sfnv] [-N NS] [-o WORDS] [-t TYPE]` as those of `rfuse mount`;
/// none when only a rehearsal (`-f`) was asked for.
pub(crate) fn from_helper(arguments: Vec<String>) -> Option<Vec<String>> {
    let mut ours = vec!["rfuse".to_owned(), "mount".to_owned()];
    let mut rest = arguments.into_iter().skip(1);
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "-N" | "-t" => drop(rest.next()),
            "-o" => ours.extend(["-o".to_owned(), rest.next().unwrap_or_default()]),
            flags if flags.len() > 1 && flags.starts_with('-') && flags[1..].chars().all(|c| "sfnv".contains(c)) => {
                if flags.contains('f') {
                    return None;
                }
            }
            _ => ours.push(argument),
        }
    }
    Some(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(&'static str, String)> {
        parse(text).unwrap().into_iter().map(|(setting, value, _)| (setting.name, value)).collect()
    }

    #[test]
    fn an_fstab_line_as_people_write_it_is_understood() {
        let line =
            "ro,_netdev,nofail,x-systemd.requires=network-online.target,allow_other,block_size=8KiB,memory=1GiB,noexec";
        let expected = [
            ("read-only", "true"),
            ("allow-other", "true"),
            ("block-size", "8KiB"),
            ("memory", "1GiB"),
            ("allow-exec", "false"),
        ];
        assert_eq!(words(line), expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn an_unknown_word_names_itself_and_the_nearest() {
        let error = parse("allow_others").unwrap_err();
        assert_eq!(error.to_string(), "-o allow_others: unknown setting \"allow_others\"");
        assert_eq!(error.help(), "did you mean allow-other?");
        assert!(parse("block_size").unwrap_err().to_string().contains("needs a value"));
    }

    #[test]
    fn a_secret_has_no_word() {
        assert!(parse("sas=sig").is_err());
    }

    #[test]
    fn what_mount_8_passes_becomes_ours() {
        let given = ["mount.fuse.rfuse", "az://a/c", "/mnt", "-sn", "-o", "rw,nofail", "-t", "fuse.rfuse"];
        let ours = from_helper(given.map(str::to_owned).to_vec()).unwrap();
        assert_eq!(ours, ["rfuse", "mount", "az://a/c", "/mnt", "-o", "rw,nofail"]);
        assert_eq!(from_helper(["mount.rfuse", "mem:", "/mnt", "-f"].map(str::to_owned).to_vec()), None);
    }
}
