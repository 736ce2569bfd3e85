//! Which keys a path below the directory can express.

use rfuse_block::ObjectKey;

use crate::{Operation, StoreError, StoreErrorKind};

/// What every name of ours starts with, in any part: such files are never listed and cannot be asked for.
pub(super) const HIDDEN: &[u8] = b".rfuse-";

/// The longest part of a path, as on every Linux file system.
const PART_MAX: usize = 255;

/// The longest path the kernel takes, its final NUL not counted.
const PATH_MAX: usize = 4095;

/// A key that is a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name<'a> {
    /// Of a file.
    File(&'a [u8]),
    /// Of a directory: the path without the `/` the key ends in.
    Directory(&'a [u8]),
}

impl<'a> Name<'a> {
    /// Reads `key` as a path.
    ///
    /// # Errors
    /// `BadName` when no path says exactly this.
    pub(super) fn parse(operation: Operation, key: &'a ObjectKey) -> Result<Self, StoreError> {
        let bytes = key.as_bytes();
        let (path, name) = match bytes.strip_suffix(b"/") {
            Some(path) => (path, Self::Directory(path)),
            None => (bytes, Self::File(bytes)),
        };
        match why_not(path) {
            None => Ok(name),
            Some(why) => Err(StoreError::new(StoreErrorKind::BadName, operation, why).about(key)),
        }
    }
}

/// Why `path` names nothing below the directory; none when it does.
pub(super) fn why_not(path: &[u8]) -> Option<&'static str> {
    if path.len() > PATH_MAX {
        return Some("the name is longer than a path may be");
    }
    path.split(|&byte| byte == b'/').find_map(|part| match part {
        b"" => Some("a local directory holds no name with an empty part"),
        b"." | b".." => Some("a local directory holds no name with a part `.` or `..`"),
        part if part.len() > PART_MAX => Some("a part of the name is longer than 255 bytes"),
        part if part.contains(&0) => Some("a local directory holds no name with a NUL"),
        part if is_hidden(part) => Some("names that start with `.rfuse-` are kept for what is being written"),
        _ => None,
    })
}

/// Whether this part of a path is one of ours.
pub(super) fn is_hidden(part: &[u8]) -> bool {
    part.starts_with(HIDDEN)
}

/// The directory a path lies in (empty for the top) and its last part.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &[u8]) -> Option<Vec<u8>> {
        match Name::parse(Operation::Get, &ObjectKey::new(key)) {
            Ok(Name::File(path) | Name::Directory(path)) => Some(path.to_vec()),
            Err(error) => {
                assert_eq!(error.kind, StoreErrorKind::BadName);
                None
            }
        }
    }

    #[test]
    fn a_name_that_no_path_says_exactly_is_refused() {
        let long = [b'x'; 256];
        let names: [&[u8]; 13] =
            [b"", b"/", b"/a", b"a//b", b"a//", b".", b"..", b"../a", b"a/..", b"a/./b", b"a\0b", &long, b"a/.rfuse-x"];
        for name in names {
            assert_eq!(parse(name), None, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn every_other_name_is_taken_as_it_is() {
        let names: [&[u8]; 7] = [b"a", b"a/b", b"...", b"a/..b", b"a\nb", b"\xff", b"a%2Fb"];
        for name in names {
            assert_eq!(parse(name).as_deref(), Some(name));
        }
        assert_eq!(parse(b"a/b/").as_deref(), Some(&b"a/b"[..]));
    }
}
