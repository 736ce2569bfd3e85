//! Mode, owner and times of a file or directory, as they are kept in an object's metadata.
//!
//! The fields are those that s3fs writes and others read: `mode` is `st_mode` in decimal, `uid` and `gid` are
//! numbers, `mtime` and `atime` are seconds since 1970 with a fraction. A field that makes no sense is as if it
//! were not there. The marker of a directory and the object of a link keep them too.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::labels;

/// What of a file is kept beside its bytes; what is not set is the mount's or the store's.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Posix {
    /// Permission bits, without the type.
    pub(crate) mode: Option<u32>,
    /// Owner.
    pub(crate) uid: Option<u32>,
    /// Group.
    pub(crate) gid: Option<u32>,
    /// Last write.
    pub(crate) modified: Option<SystemTime>,
    /// Last read, where somebody set it; reading does not.
    pub(crate) accessed: Option<SystemTime>,
    /// Whether users have set extended attributes.
    pub(crate) has_labels: bool,
}

const MODE: &str = "mode";
const UID: &str = "uid";
const GID: &str = "gid";
const MODIFIED: &str = "mtime";
const ACCESSED: &str = "atime";
/// Types in `st_mode`, and the mask of the type.
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const TYPE: u32 = 0o170_000;

impl Posix {
    /// What `metadata` says.
    pub(crate) fn read(metadata: &BTreeMap<String, String>) -> Self {
        let number = |name: &str| metadata.get(name).and_then(|text| text.parse::<u32>().ok());
        Self {
            mode: number(MODE).filter(|mode| matches!(mode & TYPE, 0 | REGULAR | DIRECTORY)).map(|mode| mode & 0o7777),
            uid: number(UID),
            gid: number(GID),
            modified: metadata.get(MODIFIED).and_then(|text| time(text)),
            accessed: metadata.get(ACCESSED).and_then(|text| time(text)),
            has_labels: metadata.contains_key(labels::FIELD),
        }
    }

    /// Puts what is set of a file or link into `metadata`, in the place of what was there.
    pub(crate) fn write(&self, metadata: &mut BTreeMap<String, String>) {
        self.write_as(REGULAR, metadata);
    }

    /// The same of a directory, whose marker has `metadata`.
    pub(crate) fn write_directory(&self, metadata: &mut BTreeMap<String, String>) {
        self.write_as(DIRECTORY, metadata);
    }

    fn write_as(&self, kind: u32, metadata: &mut BTreeMap<String, String>) {
        let mut set = |name: &str, value: Option<String>| match value {
            Some(value) => drop(metadata.insert(name.to_owned(), value)),
            None => drop(metadata.remove(name)),
        };
        set(MODE, self.mode.map(|mode| (kind | mode).to_string()));
        set(UID, self.uid.map(|uid| uid.to_string()));
        set(GID, self.gid.map(|gid| gid.to_string()));
        set(MODIFIED, self.modified.map(text));
        set(ACCESSED, self.accessed.map(text));
    }

    /// What differs from the mount's own mode and owner is kept, the rest is not worth a field.
    pub(crate) fn of_new(mode: u32, owner: (u32, u32), usual: (u32, u32, u32)) -> Self {
        let (usual_mode, uid, gid) = usual;
        Self {
            mode: Some(mode & 0o7777).filter(|mode| *mode != usual_mode),
            uid: Some(owner.0).filter(|owner| *owner != uid),
            gid: Some(owner.1).filter(|group| *group != gid),
            ..Self::default()
        }
    }

    /// Whether nothing is set.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Seconds since 1970; times before it lose their fraction.
fn text(time: SystemTime) -> String {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => format!("{}.{:09}", since.as_secs(), since.subsec_nanos()),
        Err(before) => format!("-{}", before.duration().as_secs()),
    }
}

fn time(text: &str) -> Option<SystemTime> {
    if let Some(before) = text.strip_prefix('-') {
        return UNIX_EPOCH.checked_sub(Duration::from_secs(before.parse().ok()?));
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse().ok()? };
    UNIX_EPOCH.checked_add(Duration::new(seconds.parse().ok()?, nanos))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(mode in proptest::option::of(0u32..0o10000), uid: Option<u32>, gid: Option<u32>, times: (Option<(u32, u32)>, Option<(u32, u32)>), is_directory: bool) {
            let time = |(seconds, nanos): (u32, u32)| UNIX_EPOCH + Duration::new(seconds.into(), nanos % 1_000_000_000);
            let posix = Posix { mode, uid, gid, modified: times.0.map(time), accessed: times.1.map(time), has_labels: false };
            let mut metadata = BTreeMap::from([("color".to_owned(), "blue".to_owned())]);
            if is_directory { posix.write_directory(&mut metadata) } else { posix.write(&mut metadata) }
            prop_assert_eq!(Posix::read(&metadata), posix);
            prop_assert_eq!(&metadata["color"], "blue");
        }

        #[test]
        fn no_text_is_a_panic(mode: String, time: String) {
            let metadata = BTreeMap::from([(MODE.to_owned(), mode), (MODIFIED.to_owned(), time)]);
            let _ = Posix::read(&metadata);
        }
    }

    #[test]
    fn what_s3fs_wrote_is_understood() {
        let fields = [("mode", "33188"), ("uid", "1000"), ("gid", "100"), ("mtime", "1700000000")];
        let metadata = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let posix = Posix::read(&metadata);
        assert_eq!((posix.mode, posix.uid, posix.gid), (Some(0o644), Some(1000), Some(100)));
        assert_eq!(posix.modified, Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
    }
}
