//! Every setting, once.
//!
//! One row says a setting's name, type, default and help. Its four dresses follow from the name: flag
//! `--block-size`, variable `RFUSE_BLOCK_SIZE`, file key `block-size`, volume attribute `blockSize`. Flags,
//! `config show`, the reference and the completions are all made from this table.

use std::fmt::Write as _;

use crate::{ByteSize, parse_duration};

/// What a value of a setting looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// A path.
    Path,
    /// Yes or no; a flag without a value means yes.
    Switch,
    /// A whole number in these bounds.
    Count {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A number of bytes in these bounds.
    Size {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A time.
    Time,
    /// A share of a whole, `80%`.
    Share,
    /// An amount of money, `0.40`.
    Price,
    /// Permission bits in octal.
    Mode,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A secret text: no flag, never printed.
    Secret,
}

/// Which part of rfuse a setting belongs to; the headings of the help.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Group {
    /// Where and as whom.
    Credentials,
    /// How the store is asked.
    Store,
    /// What is remembered.
    Cache,
    /// How objects look as files.
    Files,
    /// How files become objects.
    Writing,
    /// How the kernel is served.
    Mount,
    /// What is written down.
    Logging,
}

impl Group {
    /// The groups in the order of the help.
    pub const ALL: [Self; 7] =
        [Self::Credentials, Self::Store, Self::Cache, Self::Files, Self::Writing, Self::Mount, Self::Logging];

    /// The heading.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Credentials => "Credentials",
            Self::Store => "Store",
            Self::Cache => "Cache",
            Self::Files => "Files",
            Self::Writing => "Writing",
            Self::Mount => "Mount",
            Self::Logging => "Logging",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// The name, words joined by `-`.
    pub name: &'static str,
    /// What a value looks like.
    pub kind: Kind,
    /// The default as it would be written; empty where there is none.
    pub default: &'static str,
    /// What the setting does, one or two sentences.
    pub help: &'static str,
    /// Its heading.
    pub group: Group,
}

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

const fn row(group: Group, name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Setting {
    Setting { name, kind, default, help, group }
}

/// Every setting, in the order of the help.
pub const SETTINGS: &[Setting] = &{
    use Group::{Cache, Credentials, Files, Logging, Mount, Store, Writing};
    use Kind::{Choice, Count, Mode, Path, Price, Secret, Share, Size, Switch, Text, Time};
    [
        row(
            Credentials,
            "azure-auth",
            Choice(&[
                "auto",
                "sas",
                "key",
                "connection-string",
                "managed-identity",
                "workload-identity",
                "cli",
                "anonymous",
            ]),
            "auto",
            "As whom to come to Azure. auto takes what the highest layer gives, in the order SAS, key, connection string; then workload identity, managed identity and the Azure CLI where they are set up.",
        ),
        row(
            Credentials,
            "sas-file",
            Path,
            "",
            "File that holds a SAS token, or a mounted secret folder with one; read again when it changes.",
        ),
        row(
            Credentials,
            "sas",
            Secret,
            "",
            "The SAS token itself (also AZURE_STORAGE_SAS_TOKEN). A file can be renewed while mounted, this cannot.",
        ),
        row(Credentials, "account-key-file", Path, "", "File that holds the storage account's key."),
        row(Credentials, "account-key", Secret, "", "The storage account's key itself (also AZURE_STORAGE_KEY)."),
        row(
            Credentials,
            "connection-string",
            Secret,
            "",
            "An Azure connection string (also AZURE_STORAGE_CONNECTION_STRING).",
        ),
        row(
            Credentials,
            "azure-client-id",
            Text,
            "",
            "Client id of the user-assigned managed identity to use (also AZURE_CLIENT_ID).",
        ),
        row(
            Credentials,
            "aws-auth",
            Choice(&["auto", "file", "anonymous"]),
            "auto",
            "As whom to come to S3. auto is the chain of the AWS tools: environment, profile and SSO, web identity, container, instance.",
        ),
        row(Credentials, "aws-profile", Text, "", "Profile of the AWS configuration files (also AWS_PROFILE)."),
        row(
            Credentials,
            "aws-credentials-file",
            Path,
            "",
            "File in the format of ~/.aws/credentials, or a mounted secret folder; read again when it changes.",
        ),
        row(
            Store,
            "endpoint",
            Text,
            "",
            "Base URL of the service, for emulators, sovereign clouds and S3-compatible servers.",
        ),
        row(Store, "region", Text, "", "Region of the bucket (also AWS_REGION)."),
        row(
            Store,
            "path-style",
            Choice(&["auto", "true", "false"]),
            "auto",
            "Whether the bucket goes into the path instead of the host name; auto does so with a custom endpoint.",
        ),
        row(Store, "requester-pays", Switch, "false", "Pay for requests to somebody else's bucket."),
        row(Store, "ca-file", Path, "", "PEM file of certificate authorities to trust besides the system's."),
        row(
            Store,
            "requests-in-flight",
            Count { min: 1, max: 65_536 },
            "512",
            "Requests at the store at most at once.",
        ),
        row(Store, "tries", Count { min: 1, max: 10 }, "8", "Requests sent at most for one call, the first included."),
        row(Store, "call-timeout", Time, "25s", "Time at most for one call, all tries together."),
        row(Store, "connect-timeout", Time, "5s", "Time at most for a connection to open."),
        row(Store, "stall-timeout", Time, "10s", "Time at most without a byte arriving."),
        row(Store, "hedge-budget", Share, "0%", "Share of extra GETs that may be sent against a slow tail."),
        row(
            Cache,
            "block-size",
            Size { min: 4096, max: 64 * MIB },
            "4KiB",
            "What is remembered and evicted as one; a power of two.",
        ),
        row(
            Cache,
            "memory",
            Size { min: MIB, max: 64 * TIB },
            "512MiB",
            "Memory of the cache at most, its bookkeeping included.",
        ),
        row(
            Cache,
            "fetch-max",
            Size { min: 4096, max: 1024 * MIB },
            "8MiB",
            "Bytes one GET fetches at most; longer runs become several in parallel.",
        ),
        row(
            Cache,
            "prefetch-window",
            Size { min: 0, max: 16 * 1024 * MIB },
            "128MiB",
            "Bytes fetched at most ahead of each reader in order or at a constant distance; 0 fetches nothing early.",
        ),
        row(
            Cache,
            "page-push",
            Size { min: 0, max: 1024 * MIB },
            "8MiB",
            "Bytes put at most into the kernel's page cache ahead of each reader in order; 0 puts none there.",
        ),
        row(
            Cache,
            "index-hints",
            Switch,
            "true",
            "Fetch early what a file's own index names, once its end or header is read: MCAP, Parquet, safetensors, zip (npz, pt), tar, by the ending of the name.",
        ),
        row(
            Cache,
            "cache-dir",
            Path,
            "",
            "Folder that remembers blocks across restarts; several mounts may share it. Without it there is no disk tier.",
        ),
        row(
            Cache,
            "cache-size",
            Size { min: 16 * MIB, max: 64 * TIB },
            "10GiB",
            "Bytes of the cache folder at most, all its mounts together; its index takes 28 bytes of memory a block.",
        ),
        row(
            Cache,
            "cache-reserve",
            Size { min: 0, max: 64 * TIB },
            "1GiB",
            "Free space of the cache folder's file system that is left to others.",
        ),
        row(
            Cache,
            "cache-quota",
            Size { min: 0, max: 64 * TIB },
            "0B",
            "Bytes of the cache folder that this mount's blocks take at most, give or take a 32nd of cache-size; 0 leaves it to cache-size.",
        ),
        row(
            Cache,
            "cache-admit",
            Choice(&["again", "always"]),
            "again",
            "Which blocks go to disk: again takes those that are fetched or used again, always every block fetched.",
        ),
        row(
            Cache,
            "plan",
            Path,
            "",
            "Access plan to follow: what will be read, as `rfuse trace` recorded or a loader wrote it.",
        ),
        row(
            Cache,
            "plan-window",
            Size { min: 4096, max: 64 * 1024 * MIB },
            "256MiB",
            "Bytes fetched at most ahead of the reader of a plan; three eighths of the memory bound it too.",
        ),
        row(Files, "uid", Count { min: 0, max: 4_294_967_294 }, "", "Owner of every file; by default who mounts."),
        row(
            Files,
            "gid",
            Count { min: 0, max: 4_294_967_294 },
            "",
            "Group of every file; by default that of who mounts.",
        ),
        row(Files, "file-mode", Mode, "", "Permission bits of files; by default 0644, and 0444 on a read-only mount."),
        row(
            Files,
            "dir-mode",
            Mode,
            "",
            "Permission bits of directories; by default 0755, and 0555 on a read-only mount.",
        ),
        row(
            Files,
            "metadata-ttl",
            Time,
            "60s",
            "How long names, sizes and times are believed before the store is asked again.",
        ),
        row(Files, "negative-ttl", Time, "5s", "How long it is believed that a name does not exist."),
        row(Files, "entries-max", Count { min: 1000, max: 1_000_000_000 }, "1000000", "Names remembered at most."),
        row(
            Files,
            "deadline",
            Time,
            "30s",
            "Time within which every request of a program is answered, whatever the store does.",
        ),
        row(Writing, "read-only", Switch, "false", "Change nothing: whatever would is refused with EROFS."),
        row(
            Writing,
            "on-conflict",
            Choice(&["fail", "overwrite"]),
            "fail",
            "What becomes of a written file whose object somebody else has changed since it was opened: fail with ESTALE or EEXIST and keep the bytes in the spool, or overwrite.",
        ),
        row(
            Writing,
            "posix",
            Choice(&["auto", "off"]),
            "auto",
            "Keep mode, owner, times and links in the objects' metadata, as s3fs does; auto does so where listings tell metadata, which those of S3 do not.",
        ),
        row(Writing, "no-delete", Switch, "false", "Refuse to delete and to rename."),
        row(Writing, "no-overwrite", Switch, "false", "Refuse to change objects that exist; new ones can be made."),
        row(
            Writing,
            "spool",
            Path,
            "",
            "Directory for the bytes of files until they are stored; by default rfuse/spool below $XDG_CACHE_HOME or ~/.cache, and /var/cache/rfuse/spool for root.",
        ),
        row(
            Writing,
            "spool-max",
            Size { min: 16 * MIB, max: 64 * TIB },
            "64GiB",
            "Bytes in the spool at most. Beyond, what was sent of files that are written in order is given up; other writing is refused with ENOSPC.",
        ),
        row(
            Writing,
            "part-size",
            Size { min: 5 * MIB, max: 512 * MIB },
            "8MiB",
            "Bytes of the first parts of an upload; they double after each thousand. A file up to this size is one PUT.",
        ),
        row(
            Writing,
            "upload-memory",
            Size { min: 8 * MIB, max: TIB },
            "128MiB",
            "Bytes on their way to the store at most, over all files; writers wait beyond.",
        ),
        row(
            Writing,
            "drain-timeout",
            Time,
            "60s",
            "Time for what is not stored yet once the mount has ended; the rest stays in the spool.",
        ),
        row(
            Mount,
            "profile",
            Choice(crate::profile::NAMES),
            "auto",
            "What the mount is for: other defaults for what nobody has set. docs/settings.md has the table.",
        ),
        row(Mount, "allow-other", Switch, "false", "Let other users read the mount; their permissions are checked."),
        row(Mount, "allow-exec", Switch, "true", "Let programs on the mount run; false mounts noexec."),
        row(Mount, "nonempty", Switch, "false", "Mount on a directory that is not empty and hide what is in it."),
        row(
            Mount,
            "read-ahead",
            Size { min: 0, max: 64 * MIB },
            "4KiB",
            "Read-ahead of the kernel; larger helps plain streaming and makes each random page fault cost as much.",
        ),
        row(
            Mount,
            "direct-io",
            Switch,
            "false",
            "Keep nothing in the page cache: every read of a program is a request to the mount, answered from its memory or the store. Mapping files works from Linux 6.6 on.",
        ),
        row(
            Mount,
            "request-price",
            Price,
            "",
            "What a million reading requests cost, as your provider's price list says; then `rfuse stats` tells what they cost a day.",
        ),
        row(Mount, "threads", Count { min: 0, max: 1024 }, "0", "Threads that answer the kernel; 0 takes one a CPU."),
        row(
            Mount,
            "max-background",
            Count { min: 1, max: 65_535 },
            "512",
            "Requests the kernel may have waiting at once.",
        ),
        row(Logging, "log-level", Choice(&["error", "warn", "info", "debug", "trace"]), "info", "How much is logged."),
        row(
            Logging,
            "log-format",
            Choice(&["auto", "text", "json"]),
            "auto",
            "How a line looks; auto is text, with <N> levels under systemd.",
        ),
        row(
            Logging,
            "log-file",
            Path,
            "",
            "Where to log; by default standard error, and for a daemon a file in its run directory.",
        ),
    ]
};

/// The stores an environment variable of somebody else's tools has a say in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cloud {
    /// Azure Blob.
    Azure,
    /// S3 and compatible.
    S3,
}

/// Variables of the clouds' own tools, and the setting each stands for; the earlier of two wins.
pub const ALIASES: &[(&str, &str, Cloud)] = &[
    ("AZURE_STORAGE_SAS_TOKEN", "sas", Cloud::Azure),
    ("AZURE_STORAGE_KEY", "account-key", Cloud::Azure),
    ("AZURE_STORAGE_CONNECTION_STRING", "connection-string", Cloud::Azure),
    ("AZURE_CLIENT_ID", "azure-client-id", Cloud::Azure),
    ("AWS_ENDPOINT_URL_S3", "endpoint", Cloud::S3),
    ("AWS_ENDPOINT_URL", "endpoint", Cloud::S3),
    ("AWS_REGION", "region", Cloud::S3),
    ("AWS_DEFAULT_REGION", "region", Cloud::S3),
    ("AWS_PROFILE", "aws-profile", Cloud::S3),
];

impl Setting {
    /// The row called `name` (file and flag spelling).
    pub fn named(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// The row whose volume attribute is `name`.
    pub fn of_attribute(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.attribute() == name)
    }

    /// `RFUSE_BLOCK_SIZE`.
    pub fn variable(&self) -> String {
        format!("RFUSE_{}", self.name.replace('-', "_").to_ascii_uppercase())
    }

    /// `blockSize`.
    pub fn attribute(&self) -> String {
        let mut words = self.name.split('-');
        let mut name = words.next().unwrap_or_default().to_owned();
        for word in words {
            let (first, rest) = word.split_at(1);
            let _ = write!(name, "{}{rest}", first.to_ascii_uppercase());
        }
        name
    }

    /// Whether its value must never be shown.
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }

    /// How its value is called in the help: `SIZE`, `TIME`, …
    pub fn placeholder(&self) -> &'static str {
        match self.kind {
            Kind::Text | Kind::Secret => "TEXT",
            Kind::Path => "FILE",
            Kind::Switch => "BOOL",
            Kind::Count { .. } => "N",
            Kind::Size { .. } => "SIZE",
            Kind::Time => "TIME",
            Kind::Share => "SHARE",
            Kind::Price => "AMOUNT",
            Kind::Mode => "OCTAL",
            Kind::Choice(_) => "WORD",
        }
    }

    /// Why `text` is no value of this setting; `Ok` when it is.
    ///
    /// # Errors
    /// A clause for the end of a sentence, with the right spelling where there is a near one.
    pub fn check(&self, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Text | Kind::Secret | Kind::Path => (!text.is_empty()).then_some(()).ok_or("it is empty".to_owned()),
            Kind::Switch => parse_switch(text).map(drop).ok_or_else(|| "it is not true or false".to_owned()),
            Kind::Count { min, max } => check_count(text, min, max),
            Kind::Size { min, max } => self.check_size(text, min, max),
            Kind::Time => parse_duration(text).map(drop).map_err(|error| error.to_string()),
            Kind::Price => parse_price(text).map(drop).ok_or_else(|| "it is not an amount such as 0.40".to_owned()),
            Kind::Share => parse_share(text).map(drop).ok_or_else(|| "it is not a share such as 5%".to_owned()),
            Kind::Mode => parse_mode(text).map(drop).ok_or_else(|| "it is not octal such as 0644".to_owned()),
            Kind::Choice(words) if words.contains(&text) => Ok(()),
            Kind::Choice(words) => Err(format!("it is none of {}", words.join(", "))),
        }
    }

    fn check_size(&self, text: &str, min: u64, max: u64) -> Result<(), String> {
        let size = ByteSize::parse(text).map_err(|error| error.to_string())?;
        if !(min..=max).contains(&size.0) {
            return Err(format!("it is not between {} and {}", ByteSize(min), ByteSize(max)));
        }
        if self.name == "block-size" && !size.0.is_power_of_two() {
            let near = size.0.next_power_of_two().min(max);
            return Err(format!("it is not a power of two; write {}", ByteSize(near)));
        }
        Ok(())
    }
}

/// `true`, `yes`, `on`, `1` or their opposites.
pub fn parse_switch(text: &str) -> Option<bool> {
    match text {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn check_count(text: &str, min: u64, max: u64) -> Result<(), String> {
    let count: u64 = text.parse().map_err(|_| "it is not a whole number".to_owned())?;
    (min..=max).contains(&count).then_some(()).ok_or_else(|| format!("it is not between {min} and {max}"))
}

/// An amount of money, not below nothing.
pub(crate) fn parse_price(text: &str) -> Option<f64> {
    text.parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0)
}

/// `80%` as 0.8.
pub(crate) fn parse_share(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?.trim_end();
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let share: f64 = if plain { number.parse().ok()? } else { return None };
    (0.0..=100.0).contains(&share).then_some(share / 100.0)
}

/// `0644` or `644` as permission bits.
pub(crate) fn parse_mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let mode = digits.bytes().all(|b| b.is_ascii_digit()).then(|| u32::from_str_radix(digits, 8).ok())??;
    (mode <= 0o777).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_four_dresses_follow_from_the_name() {
        let setting = Setting::named("block-size").unwrap();
        assert_eq!(setting.variable(), "RFUSE_BLOCK_SIZE");
        assert_eq!(setting.attribute(), "blockSize");
        assert_eq!(Setting::of_attribute("blockSize"), Some(setting));
    }

    #[test]
    fn no_name_is_given_twice_in_any_dress() {
        let dresses: BTreeSet<String> =
            SETTINGS.iter().flat_map(|s| [s.name.to_owned(), s.variable(), format!("@{}", s.attribute())]).collect();
        assert_eq!(dresses.len(), 3 * SETTINGS.len());
    }

    #[test]
    fn every_default_passes_its_own_check() {
        for setting in SETTINGS.iter().filter(|s| !s.default.is_empty()) {
            assert_eq!(setting.check(setting.default), Ok(()), "{}", setting.name);
        }
    }

    #[test]
    fn every_alias_stands_for_a_setting() {
        assert!(ALIASES.iter().all(|(_, name, _)| Setting::named(name).is_some()));
    }

    #[test]
    fn a_block_size_that_is_no_power_of_two_is_answered_with_the_next_one() {
        let why = Setting::named("block-size").unwrap().check("5000").unwrap_err();
        assert_eq!(why, "it is not a power of two; write 8KiB");
    }

    #[test]
    fn bounds_are_part_of_the_answer() {
        assert_eq!(Setting::named("tries").unwrap().check("11"), Err("it is not between 1 and 10".to_owned()));
        assert_eq!(
            Setting::named("hedge-budget").unwrap().check("0.05"),
            Err("it is not a share such as 5%".to_owned())
        );
        assert!(Setting::named("file-mode").unwrap().check("0999").is_err());
    }
}
