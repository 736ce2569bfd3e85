//! The settings of blobfuse2, in all three dialects, said in ours.
//!
//! One table says what each option becomes, or why it has no equal here. Names and units are those of
//! blobfuse2 2.5 (`setup/advancedConfig.yaml`, `cmd/mount.go`): sizes in MB that are MiB, times in seconds.

use std::fmt::Write as _;

use crate::{ByteSize, Setting};

/// What becomes of one option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// A setting of ours with the same kind of value.
    Same(&'static str),
    /// A size in MB (possibly a fraction) becomes bytes.
    Megabytes(&'static str),
    /// Seconds become a time.
    Seconds(&'static str),
    /// Bits that are taken away from `0777`.
    Umask,
    /// `mode` of the credentials.
    Mode,
    /// Part of the URL.
    Url(Part),
    /// A secret: it is not copied, but said where it goes.
    SecretTo(&'static str),
    /// Holds here without a word.
    Always(&'static str),
    /// Nothing like it, and why.
    None(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Account,
    Container,
    Prefix,
}

/// `section.key` in YAML (no section at the top), the flag, the word of `-o`, and what becomes of it. An empty
/// string where a dialect has no word.
const TABLE: &[(&str, &str, &str, Fate)] = &{
    use Fate::{Always, Megabytes, Mode, Same, Seconds, SecretTo, Umask, Url};
    const NO_DISK: Fate = Fate::None("there is no disk cache yet; memory bounds the cache");
    const NO_LAZY: Fate = Fate::None("a file is stored when close returns");
    const NO_AHEAD: Fate = Fate::None("what is fetched is exactly what is read; read-ahead is the nearest setting");
    const NO_MONITOR: Fate = Fate::None("`rfuse stats`, also with --prometheus, shows a mount from inside");
    const ONE_CACHE: Fate = Always("there is one cache, of blocks");
    [
        ("allow-other", "allow-other", "allow_other", Same("allow-other")),
        ("nonempty", "nonempty", "nonempty", Same("nonempty")),
        ("read-only", "read-only", "ro", Same("read-only")),
        ("foreground", "foreground", "", Fate::None("it is a flag of `rfuse mount`, not a setting: --foreground")),
        ("components", "", "", ONE_CACHE),
        ("allow-root", "allow-root", "allow_root", Fate::None("allow-other is the nearest")),
        (
            "disable-kernel-cache",
            "disable-kernel-cache",
            "",
            Fate::None("the page cache is dropped when a file's version changes, so it is never stale"),
        ),
        ("", "tmp-path", "", NO_DISK),
        ("", "file-cache-timeout", "", NO_DISK),
        ("", "block-cache", "", ONE_CACHE),
        ("", "streaming", "", ONE_CACHE),
        ("", "preload", "", Fate::None("nothing is copied before it is read")),
        ("", "use-attr-cache", "", Always("attributes are remembered for metadata-ttl")),
        ("", "use-adls", "", Always("both kinds of account are read through the Blob endpoint")),
        ("", "wait-for-mount", "", Always("`rfuse mount` returns when the first look works")),
        ("", "disable-version-check", "", Always("rfuse calls nobody but the store")),
        ("", "cleanup-on-start", "", NO_DISK),
        ("", "empty-dir-check", "", Always("a mount point that is not empty is refused without nonempty")),
        ("", "lazy-write", "", NO_LAZY),
        ("lazy-write", "", "", NO_LAZY),
        ("logging.level", "log-level", "", Same("log-level")),
        ("logging.file-path", "log-file-path", "", Same("log-file")),
        (
            "logging.type",
            "log-type",
            "",
            Fate::None(
                "a daemon logs to a file in its run directory, or to log-file; --foreground logs to standard error, which systemd keeps",
            ),
        ),
        ("logging.max-file-size-mb", "", "", Fate::None("let logrotate turn the log")),
        ("logging.file-count", "", "", Fate::None("let logrotate turn the log")),
        ("logging.track-time", "", "", Fate::None("`rfuse stats` has the latencies")),
        ("logging.goroutine-id", "", "", Fate::None("there are none")),
        ("logging.compress", "", "", Fate::None("let logrotate turn the log")),
        ("libfuse.attribute-expiration-sec", "attr-timeout", "attr_timeout", Seconds("metadata-ttl")),
        ("libfuse.entry-expiration-sec", "entry-timeout", "entry_timeout", Seconds("metadata-ttl")),
        ("libfuse.negative-entry-expiration-sec", "negative-timeout", "negative_timeout", Seconds("negative-ttl")),
        (
            "libfuse.kernel-list-cache-expiration-sec",
            "kernel-list-cache-timeout",
            "",
            Fate::None("the kernel keeps no listing; metadata-ttl rules them"),
        ),
        ("libfuse.default-permission", "", "", Same("file-mode")),
        ("libfuse.uid", "uid", "uid", Same("uid")),
        ("libfuse.gid", "gid", "gid", Same("gid")),
        ("libfuse.umask", "umask", "umask", Umask),
        ("libfuse.direct-io", "direct-io", "direct_io", Same("direct-io")),
        ("libfuse.max-fuse-threads", "max-fuse-threads", "", Same("max-background")),
        ("libfuse.fuse-trace", "fuse-trace", "", Fate::None("log-level = \"trace\" is the nearest")),
        (
            "libfuse.disable-writeback-cache",
            "disable-writeback-cache",
            "",
            Always("writes go to rfuse at once; the kernel holds none back"),
        ),
        ("libfuse.ignore-open-flags", "ignore-open-flags", "", Always("O_APPEND and O_TRUNC do what they say")),
        ("libfuse.extension", "", "", Fate::None("nothing is loaded into the mount")),
        ("block_cache.block-size-mb", "block-cache-block-size", "", Megabytes("block-size")),
        ("block_cache.mem-size-mb", "block-cache-pool-size", "", Megabytes("memory")),
        ("block_cache.path", "block-cache-path", "", NO_DISK),
        ("block_cache.disk-size-mb", "block-cache-disk-size", "", NO_DISK),
        ("block_cache.disk-timeout-sec", "block-cache-disk-timeout", "", NO_DISK),
        ("block_cache.prefetch", "block-cache-prefetch", "", NO_AHEAD),
        ("block_cache.prefetch-on-open", "block-cache-prefetch-on-open", "", NO_AHEAD),
        ("block_cache.parallelism", "block-cache-parallelism", "", Same("requests-in-flight")),
        ("block_cache.consistency", "block-cache-strong-consistency", "", Always("every block belongs to one version")),
        ("block_cache.cleanup-on-start", "", "", NO_DISK),
        ("stream.block-size-mb", "stream-block-size-mb", "", Megabytes("block-size")),
        ("stream.buffer-size-mb", "stream-buffer-size-mb", "", Fate::None("memory bounds the whole cache, not a file")),
        ("stream.max-buffers", "stream-max-buffers", "", Fate::None("memory bounds the whole cache, not a file")),
        ("stream.file-caching", "", "", ONE_CACHE),
        ("file_cache.path", "", "", NO_DISK),
        ("file_cache.timeout-sec", "", "", NO_DISK),
        ("file_cache.max-size-mb", "cache-size-mb", "", NO_DISK),
        ("file_cache.high-threshold", "", "", NO_DISK),
        ("file_cache.low-threshold", "", "", NO_DISK),
        ("file_cache.max-eviction", "", "", NO_DISK),
        ("file_cache.policy", "", "", NO_DISK),
        ("file_cache.refresh-sec", "", "", Always("a changed object is seen at the next open")),
        ("file_cache.create-empty-file", "", "", Fate::None("a new file is stored when it is closed")),
        ("file_cache.allow-non-empty-temp", "", "", NO_DISK),
        ("file_cache.cleanup-on-start", "", "", NO_DISK),
        ("file_cache.sync-to-flush", "", "", Always("fsync stores the file")),
        ("file_cache.ignore-sync", "", "", Fate::None("fsync stores the file")),
        ("file_cache.offload-io", "", "", NO_DISK),
        ("file_cache.policy-trace", "", "", NO_MONITOR),
        ("file_cache.hard-limit", "", "", Always("the cap of memory is hard")),
        ("attr_cache.timeout-sec", "attr-cache-timeout", "", Seconds("metadata-ttl")),
        ("attr_cache.no-symlinks", "no-symlinks", "", Always("links are known from listings and cost nothing")),
        ("attr_cache.no-cache-on-list", "no-cache-on-list", "", Fate::None("what a listing says is remembered")),
        ("attr_cache.max-files", "", "", Same("entries-max")),
        ("attr_cache.max-size-mb", "", "", Fate::None("entries-max bounds names by number")),
        ("entry_cache.timeout-sec", "entry-cache-timeout", "", Seconds("metadata-ttl")),
        ("azstorage.type", "", "", Always("both kinds of account are read through the Blob endpoint")),
        ("azstorage.account-name", "account-name", "", Url(Part::Account)),
        ("azstorage.container", "container-name", "", Url(Part::Container)),
        ("azstorage.subdirectory", "subdirectory", "", Url(Part::Prefix)),
        ("azstorage.virtual-directory", "virtual-directory", "", Always("implied directories are shown")),
        ("azstorage.endpoint", "endpoint", "", Same("endpoint")),
        ("azstorage.mode", "", "", Mode),
        ("azstorage.account-key", "", "", SecretTo("account-key-file")),
        ("azstorage.sas", "", "", SecretTo("sas-file")),
        ("azstorage.appid", "", "", Same("azure-client-id")),
        ("azstorage.resid", "", "", Fate::None("name the identity by azure-client-id")),
        ("azstorage.objid", "", "", Fate::None("name the identity by azure-client-id")),
        ("azstorage.tenantid", "", "", Fate::None("workload identity takes it from AZURE_TENANT_ID")),
        ("azstorage.clientid", "", "", Same("azure-client-id")),
        (
            "azstorage.clientsecret",
            "",
            "",
            Fate::None("a service principal with a secret is not spoken; use a SAS, workload or managed identity"),
        ),
        (
            "azstorage.oauth-token-path",
            "",
            "",
            Fate::None("workload identity takes it from AZURE_FEDERATED_TOKEN_FILE"),
        ),
        ("azstorage.aadendpoint", "", "", Fate::None("workload identity takes it from AZURE_AUTHORITY_HOST")),
        ("azstorage.auth-resource", "", "", Fate::None("tokens are asked for storage.azure.com")),
        ("azstorage.use-http", "use-https", "", Fate::None("an endpoint that begins with http:// does that")),
        ("azstorage.max-retries", "max-retry", "", Same("tries")),
        ("azstorage.max-retry-timeout-sec", "max-retry-interval-in-seconds", "", Seconds("call-timeout")),
        (
            "azstorage.retry-backoff-sec",
            "retry-delay-factor",
            "",
            Always("waits grow from milliseconds, with jitter, and Retry-After is obeyed"),
        ),
        (
            "azstorage.max-retry-delay-sec",
            "",
            "",
            Always("waits grow from milliseconds, with jitter, and Retry-After is obeyed"),
        ),
        ("azstorage.http-proxy", "http-proxy", "", Fate::None("set HTTP_PROXY in the environment")),
        ("azstorage.https-proxy", "https-proxy", "", Fate::None("set HTTPS_PROXY in the environment")),
        ("azstorage.max-concurrency", "max-concurrency", "", Same("requests-in-flight")),
        ("azstorage.block-size-mb", "", "", Fate::None("part-size is the nearest")),
        ("azstorage.tier", "", "", Fate::None("objects get the default tier of the account")),
        (
            "azstorage.block-list-on-mount-sec",
            "cancel-list-on-mount-seconds",
            "",
            Fate::None("a mount asks for one name only"),
        ),
        ("azstorage.fail-unsupported-op", "", "", Always("what is not supported fails")),
        ("azstorage.update-md5", "", "", Fate::None("no MD5 of whole objects is stored")),
        (
            "azstorage.validate-md5",
            "",
            "",
            Fate::None("length, range and version of every answer are verified, not MD5"),
        ),
        ("azstorage.max-results-for-list", "", "", Always("listings come in full pages")),
        ("azstorage.disable-compression", "", "", Always("bodies are never compressed")),
        ("azstorage.telemetry", "", "", Fate::None("requests carry no text of yours")),
        ("azstorage.honour-acl", "", "", Fate::None("file-mode and dir-mode rule permissions")),
        ("azstorage.preserve-acl", "", "", Fate::None("ACLs are not kept when an object is replaced")),
        ("azstorage.cpk-enabled", "", "", Fate::None("customer-provided keys are not spoken")),
        ("azstorage.filter", "", "", Fate::None("a prefix in the URL is the only filter")),
        ("azstorage.cap-mbps-read", "", "", Fate::None("bandwidth is not capped; requests-in-flight bounds requests")),
        ("azstorage.cap-iops", "", "", Fate::None("requests-in-flight bounds requests")),
        ("health_monitor.enable-monitoring", "enable-monitoring", "", NO_MONITOR),
        ("health_monitor.stats-poll-interval-sec", "", "", NO_MONITOR),
        ("health_monitor.process-monitor-interval-sec", "", "", NO_MONITOR),
        ("health_monitor.output-path", "", "", NO_MONITOR),
        ("health_monitor.monitor-disable-list", "", "", NO_MONITOR),
    ]
};

/// The settings found so far, and what was lost on the way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conversion {
    settings: Vec<(&'static str, String)>,
    account: String,
    container: String,
    prefix: String,
    /// What a person should know, one line each.
    notes: Vec<String>,
    /// Names nobody knows.
    unknown: Vec<String>,
}

impl Conversion {
    /// Takes a configuration file.
    ///
    /// # Errors
    /// Why the text is not YAML of blobfuse2.
    pub fn yaml(&mut self, text: &str) -> Result<(), String> {
        use serde_norway::Value;
        let top: Value = serde_norway::from_str(text).map_err(|error| yaml_place(&error))?;
        let Value::Mapping(top) = top else { return Err("it is not a mapping of settings".to_owned()) };
        for (key, value) in &top {
            let Value::String(section) = key else { continue };
            match value {
                Value::Mapping(entries) => {
                    for (key, value) in entries {
                        if let (Value::String(key), Some(text)) = (key, scalar(value)) {
                            self.yaml_option(&format!("{section}.{key}"), &text);
                        }
                    }
                }
                value => self.yaml_option(section, &scalar(value).unwrap_or_default()),
            }
        }
        Ok(())
    }

    fn yaml_option(&mut self, name: &str, value: &str) {
        match TABLE.iter().find(|(yaml, _, _, _)| *yaml == name) {
            Some((_, _, _, fate)) => self.apply(name, value, *fate),
            None => self.notes.push(format!("{name}: not an option of blobfuse2 that is known here")),
        }
    }

    /// Takes the words of `-o`, flags among them: `attr_timeout=120,--block-cache-block-size=0.00390625`.
    pub fn options(&mut self, words: &str) {
        for word in words.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty() && *word != "-o") {
            let (name, value) = word.split_once('=').unwrap_or((word, "true"));
            let found = match name.strip_prefix("--") {
                Some(flag) => TABLE.iter().find(|(_, known, _, _)| *known == flag),
                None => TABLE.iter().find(|(_, _, known, _)| *known == name),
            };
            match found {
                Some((_, _, _, fate)) => self.apply(name, value, *fate),
                None => {
                    self.notes.push(format!("{name}: not an option of blobfuse2 that is known here"));
                    self.unknown.push(name.to_owned());
                }
            }
        }
    }

    fn apply(&mut self, name: &str, value: &str, fate: Fate) {
        let value = value.trim_matches('"');
        match fate {
            Fate::Same(ours) => self.set(name, ours, same(ours, value)),
            Fate::Megabytes(ours) => self.megabytes(name, ours, value),
            Fate::Seconds(ours) => self.set(name, ours, format!("{value}s")),
            Fate::Umask => self.umask(name, value),
            Fate::Mode => self.mode(value),
            Fate::Url(Part::Account) => value.clone_into(&mut self.account),
            Fate::Url(Part::Container) => value.clone_into(&mut self.container),
            Fate::Url(Part::Prefix) => value.trim_matches('/').clone_into(&mut self.prefix),
            Fate::SecretTo(ours) => {
                self.notes.push(format!("{name}: not copied; put it into a file of mode 0600 and name it with {ours}"));
            }
            Fate::Always(why) => self.notes.push(format!("{name}: not needed: {why}")),
            Fate::None(why) => self.notes.push(format!("{name}: has no equal: {why}")),
        }
    }

    fn set(&mut self, name: &str, ours: &'static str, value: String) {
        let setting = Setting::named(ours);
        if let Some(Err(why)) = setting.map(|setting| setting.check(&value)) {
            self.notes.push(format!("{name}: {value} is no value of {ours}: {why}"));
            return;
        }
        match self.settings.iter_mut().find(|(known, _)| *known == ours) {
            Some((_, old)) if *old != value => {
                self.notes.push(format!("{name}: {ours} was {old} by an option before; {value} counts"));
                *old = value;
            }
            Some(_) => {}
            None => self.settings.push((ours, value)),
        }
    }

    /// blobfuse2's MB are MiB, and its block may be any number of bytes; ours is a power of two.
    fn megabytes(&mut self, name: &str, ours: &'static str, value: &str) {
        let exact = ByteSize::parse(&format!("{value}MiB")).ok();
        let rounded = || value.parse::<f64>().ok().map(|mb| ByteSize((mb * 1_048_576.0).round() as u64));
        let Some(size) = exact.or_else(rounded) else {
            self.notes.push(format!("{name}: {value} is not a number of MB"));
            return;
        };
        if ours != "block-size" || size.0.is_power_of_two() {
            self.set(name, ours, size.to_string());
            return;
        }
        let near = ByteSize(nearest_power(size.0).clamp(4096, 64 << 20));
        self.notes.push(format!("{name}: {} bytes is no power of two; {near} is the nearest", size.0));
        self.set(name, ours, near.to_string());
    }

    fn umask(&mut self, name: &str, value: &str) {
        match crate::setting::parse_mode(value) {
            Some(mask) => {
                self.set(name, "file-mode", format!("{:04o}", 0o666 & !mask));
                self.set(name, "dir-mode", format!("{:04o}", 0o777 & !mask));
            }
            None => self.notes.push(format!("{name}: {value} is not octal")),
        }
    }

    fn mode(&mut self, value: &str) {
        let ours = match value.to_ascii_lowercase().as_str() {
            "key" => "key",
            "sas" => "sas",
            "msi" => "managed-identity",
            "azcli" => "cli",
            "workloadidentity" => "workload-identity",
            other => {
                self.notes
                    .push(format!("azstorage.mode: {other} has no equal: use a SAS, workload or managed identity"));
                return;
            }
        };
        self.set("azstorage.mode", "azure-auth", ours.to_owned());
    }

    /// A configuration file of ours; what was lost stands in its head as comments.
    pub fn toml(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            let _ = writeln!(text, "# {}", note.replace(['\n', '\r'], " "));
        }
        if !self.notes.is_empty() && !self.settings.is_empty() {
            text.push('\n');
        }
        for (name, value) in &self.settings {
            let _ = writeln!(text, "{name} = {}", toml::Value::String(value.clone()));
        }
        if !self.container.is_empty() {
            let account = if self.account.is_empty() { "ACCOUNT" } else { &self.account };
            let prefix = if self.prefix.is_empty() { String::new() } else { format!("/{}", self.prefix) };
            let url = format!("az://{account}/{}{prefix}", self.container);
            let _ = writeln!(text, "\n[mount.{}]", toml_key(&self.container));
            let _ = writeln!(text, "url = {}", toml::Value::String(url));
        }
        text
    }

    /// Settings of ours and their values, in the order they were met.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.settings.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Options that were given and are not of blobfuse2, as far as is known here.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Account, container and folder that were named as options; empty where they were not.
    pub fn place(&self) -> [&str; 3] {
        [&self.account, &self.container, &self.prefix]
    }

    /// What a person should know, one line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Where YAML is broken; the parser's own text may quote the file, secrets and all.
fn yaml_place(error: &serde_norway::Error) -> String {
    match error.location() {
        Some(place) => format!("line {} is not YAML", place.line()),
        None => "it is not YAML".to_owned(),
    }
}

fn scalar(value: &serde_norway::Value) -> Option<String> {
    use serde_norway::Value;
    match value {
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// Values whose words differ a little.
fn same(ours: &str, value: &str) -> String {
    match (ours, value) {
        ("log-level", level) => {
            let level = level.trim_start_matches("log_").trim_start_matches("LOG_").to_ascii_lowercase();
            match level.as_str() {
                "crit" | "err" | "error" | "off" => "error".to_owned(),
                "warning" => "warn".to_owned(),
                _ => level,
            }
        }
        // blobfuse2 counts repetitions and lets them be many; we count requests and keep to 10.
        ("tries", number) => number.parse::<u64>().map_or(number.to_owned(), |n| (n + 1).clamp(1, 10).to_string()),
        _ => value.to_owned(),
    }
}

fn nearest_power(bytes: u64) -> u64 {
    let above = bytes.max(1).checked_next_power_of_two().unwrap_or(1 << 63);
    let below = (above / 2).max(1);
    if bytes - below.min(bytes) < above - bytes { below } else { above }
}

fn toml_key(name: &str) -> String {
    let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if bare { name.to_owned() } else { toml::Value::String(name.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConfigFile, Layers, Secret};
    use std::path::Path;

    fn options(words: &str) -> Conversion {
        let mut conversion = Conversion::default();
        conversion.options(words);
        conversion
    }

    #[test]
    fn the_4_kib_block_of_the_published_setup_becomes_ours() {
        let conversion = options("attr_timeout=7200,--block-cache-block-size=0.00390625,--block-cache-pool-size=1024");
        let toml = conversion.toml();
        assert_eq!(toml, "metadata-ttl = \"7200s\"\nblock-size = \"4KiB\"\nmemory = \"1GiB\"\n");
    }

    #[test]
    fn a_block_that_is_no_power_of_two_is_rounded_and_said() {
        let conversion = options("--block-cache-block-size=0.004");
        assert!(conversion.toml().contains("block-size = \"4KiB\""));
        assert!(conversion.notes()[0].contains("4194 bytes"), "{:?}", conversion.notes());
    }

    const YAML: &str = "
read-only: true
allow-other: true
logging:
  level: log_warning
  type: syslog
components: [libfuse, block_cache, attr_cache, azstorage]
libfuse:
  attribute-expiration-sec: 7200
  umask: 27
block_cache:
  block-size-mb: 16
  mem-size-mb: 4096
  prefetch: 12
  path: /mnt/cache
attr_cache:
  timeout-sec: 7200
azstorage:
  type: block
  account-name: acme
  container: logs
  subdirectory: /2026/q1/
  mode: sas
  sas: sig=canary
  max-retries: 3
  cap-iops: 100
";

    #[test]
    fn a_whole_file_becomes_one_that_we_read_back() {
        let mut conversion = Conversion::default();
        conversion.yaml(YAML).unwrap();
        let toml = conversion.toml();
        let file = ConfigFile::parse(Path::new("/x.toml"), &toml).unwrap();
        Layers::default().files(std::slice::from_ref(&file), Some("logs")).unwrap();
        let value = |name: &str| {
            file.values.iter().find(|(s, _, _)| s.name == name).map(|(_, text, _)| text.reveal().to_owned())
        };
        assert_eq!(value("block-size").as_deref(), Some("16MiB"));
        assert_eq!(value("memory").as_deref(), Some("4GiB"));
        assert_eq!(value("metadata-ttl").as_deref(), Some("7200s"));
        assert_eq!(value("azure-auth").as_deref(), Some("sas"));
        assert_eq!(value("tries").as_deref(), Some("4"));
        assert_eq!(value("log-level").as_deref(), Some("warn"));
        assert_eq!(file.mounts["logs"].url.as_ref().map(Secret::reveal), Some("az://acme/logs/2026/q1"));
        for lost in ["block_cache.prefetch", "block_cache.path", "azstorage.cap-iops", "logging.type"] {
            assert!(conversion.notes().iter().any(|note| note.starts_with(lost)), "{lost}");
        }
        assert!(!toml.contains("canary"), "{toml}");
    }

    #[test]
    fn an_unknown_option_is_named() {
        assert!(options("--no-such-thing=1,wat").notes().len() == 2);
        let mut conversion = Conversion::default();
        conversion.yaml("azstorage:\n  wat: 1\n").unwrap();
        assert!(conversion.notes()[0].starts_with("azstorage.wat"));
    }

    #[test]
    fn broken_yaml_is_placed_and_never_quoted() {
        let why = Conversion::default().yaml("azstorage:\n  sas: \"sig=canary\n").unwrap_err();
        assert!(why.contains("line") && !why.contains("canary"), "{why}");
    }

    #[test]
    fn every_target_of_the_table_exists() {
        for (yaml, flag, word, fate) in TABLE {
            assert!(!(yaml.is_empty() && flag.is_empty() && word.is_empty()));
            if let Fate::Same(ours) | Fate::Megabytes(ours) | Fate::Seconds(ours) | Fate::SecretTo(ours) = fate {
                assert!(Setting::named(ours).is_some(), "{ours}");
            }
        }
    }
}
