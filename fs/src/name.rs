//! Object keys are any bytes; file names are not. What becomes of each key, and why nothing escapes the mount.
//!
//! A key is cut at `/`; all parts but the last name directories, the last one a file. A part can be a file
//! name if it has 1 to 255 bytes, is neither `.` nor `..` and holds no NUL. Nothing is ever rewritten: a key
//! that cannot be a path is left out, counted, and logged once a directory; it is never shown under a name
//! that belongs to another key.
//!
//! | key | what a program sees |
//! |---|---|
//! | `a/b` | file `b` in directory `a` |
//! | `a/` of any size, or `a` that the store calls a directory | directory `a`, with that object's time; bytes it may have are unreachable |
//! | `a` and `a/b` | the directory wins: file `b` in `a`; object `a` is unreachable |
//! | `a//b`, `/b` | directory `a`; what has an empty part is unreachable |
//! | `a/./b`, `a/../b` | directory `a`; the rest is unreachable, so `..` is only ever the kernel's own |
//! | NUL in a part | unreachable |
//! | part of more than 255 bytes | unreachable (`ENAMETOOLONG` when asked for) |
//! | newline, control characters, non-UTF-8, 1,024-byte keys | as they are, byte for byte |

use rfuse_block::ObjectKey;

/// Longest file name in bytes, as in every Linux file system.
pub(crate) const NAME_MAX: usize = 255;

/// Where a key lies, seen from a directory whose prefix it starts with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place<'a> {
    /// It is the marker of the directory itself.
    Itself,
    /// It lies in the directory under this name.
    Here(&'a [u8]),
    /// It lies in, or is the marker of, the directory of this name.
    Below(&'a [u8]),
    /// It lies behind a part that cannot be a name.
    Nowhere(&'a [u8]),
}

/// Where the key lies whose bytes after the directory's prefix are `rest`.
pub(crate) fn place(rest: &[u8]) -> Place<'_> {
    let (part, deeper) = match rest.iter().position(|&byte| byte == b'/') {
        Some(slash) => (&rest[..slash], true),
        None => (rest, false),
    };
    match (rest.is_empty(), is_name(part), deeper) {
        (true, ..) => Place::Itself,
        (_, false, _) => Place::Nowhere(part),
        (_, true, false) => Place::Here(part),
        (_, true, true) => Place::Below(part),
    }
}

/// Whether a file can be called this.
pub(crate) fn is_name(part: &[u8]) -> bool {
    (1..=NAME_MAX).contains(&part.len()) && part != b"." && part != b".." && !part.iter().any(|&b| b == 0 || b == b'/')
}

/// The key of the file `name` in the directory of `prefix`.
pub(crate) fn file_key(prefix: &ObjectKey, name: &[u8]) -> ObjectKey {
    prefix.join(name)
}

/// The prefix of the directory `name` in the directory of `prefix`.
pub(crate) fn directory_key(prefix: &ObjectKey, name: &[u8]) -> ObjectKey {
    ObjectKey::new([prefix.as_bytes(), name, b"/"].concat())
}

/// The prefix of the directory that holds `key`, and its name there; none for the root. A directory's key
/// ends in `/`.
pub(crate) fn split(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let path = key.strip_suffix(b"/").unwrap_or(key);
    if path.is_empty() {
        return None;
    }
    let cut = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    Some(path.split_at(cut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_kind_of_key_has_its_place() {
        assert_eq!(place(b""), Place::Itself);
        assert_eq!(place(b"b"), Place::Here(b"b"));
        assert_eq!(place(b"b/"), Place::Below(b"b"));
        assert_eq!(place(b"b/c/d"), Place::Below(b"b"));
        assert_eq!(place(b"a\nb\xff"), Place::Here(b"a\nb\xff"));
        assert_eq!(place(&[b'x'; 255]), Place::Here(&[b'x'; 255]));
        for nowhere in [&b"/b"[..], b"/", b".", b"..", b"./x", b"../x", b"a\0b", b"a\0/b", &[b'x'; 256]] {
            assert!(matches!(place(nowhere), Place::Nowhere(_)), "{}", nowhere.escape_ascii());
        }
        assert_eq!(place(b"..."), Place::Here(b"..."));
    }

    #[test]
    fn a_key_is_split_into_directory_and_name() {
        assert_eq!(split(b""), None);
        assert_eq!(split(b"a"), Some((&b""[..], &b"a"[..])));
        assert_eq!(split(b"a/b"), Some((&b"a/"[..], &b"b"[..])));
        assert_eq!(split(b"a/b/"), Some((&b"a/"[..], &b"b"[..])));
    }

    proptest! {
        #[test]
        fn a_name_put_below_a_directory_is_found_there(prefix in "([a-z]{1,3}/){0,3}", name: Vec<u8>) {
            prop_assume!(is_name(&name));
            let prefix = ObjectKey::from(prefix.as_str());
            for key in [file_key(&prefix, &name), directory_key(&prefix, &name)] {
                prop_assert_eq!(split(key.as_bytes()), Some((prefix.as_bytes(), &name[..])));
            }
        }
    }
}
