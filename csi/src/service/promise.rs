//! What the volumes of a node may take of memory together, beside what their container may.
//!
//! Each volume's cache and uploads are bounded by its process; nobody but the administrator bounds how many there
//! are. Where the sum is more than the limit, one volume's traffic can end another's process.

use std::collections::BTreeMap;

use rfuse_config::{ByteSize, Setting};

/// A process without a cache and without uploads, in bytes: threads, tables and the buffers of its connections.
const PROCESS: u64 = 64 << 20;

/// Bytes that the process of a volume with `settings` may take.
pub(super) fn of(settings: &BTreeMap<String, String>) -> u64 {
    let size = |name: &str| {
        let default = Setting::named(name).map_or("", |setting| setting.default);
        let text = settings.get(name).map_or(default, String::as_str);
        ByteSize::parse(text).map_or(0, |size| size.0)
    };
    let writes = settings.contains_key("spool");
    PROCESS + size("memory") + if writes { size("upload-memory") } else { 0 }
}

/// Bytes that this container may take; none where there is no limit, or it cannot be seen.
pub(super) fn limit() -> Option<u64> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    files.iter().find_map(|file| read(&std::fs::read_to_string(file).ok()?))
}

/// Version 1 says no limit as a number that no machine has, version 2 as `max`.
fn read(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_may_take_its_cache_and_if_it_is_written_its_uploads() {
        let settings = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(of(&settings(&[("memory", "1GiB")])), PROCESS + (1 << 30));
        assert_eq!(of(&settings(&[("memory", "1GiB"), ("upload-memory", "64MiB")])), PROCESS + (1 << 30));
        let written = [("memory", "1GiB"), ("upload-memory", "64MiB"), ("spool", "/spool/x")];
        assert_eq!(of(&settings(&written)), PROCESS + (1 << 30) + (64 << 20));
        assert!(of(&settings(&[])) > PROCESS, "the default is counted");
    }

    #[test]
    fn no_limit_is_none_in_both_versions() {
        assert_eq!(read("4294967296\n"), Some(4 << 30));
        assert_eq!(read("max\n"), None);
        assert_eq!(read("9223372036854771712\n"), None);
    }
}
