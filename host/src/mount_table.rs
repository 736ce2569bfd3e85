//! What is mounted where, as /proc/self/mountinfo says.
//!
//! Reading it touches no mount, so it works beside one that hangs; `stat` would not.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountEntry {
    /// Device number, major part; 0 for FUSE.
    pub major: u32,
    /// Device number, minor part; for FUSE the number of the connection in /sys/fs/fuse/connections.
    pub minor: u32,
    /// Where.
    pub target: PathBuf,
    /// Type, with its subtype: `fuse.rfuse`.
    pub kind: OsString,
    /// What, as the file system calls it.
    pub source: OsString,
    /// Whether it is read-only.
    pub read_only: bool,
}

impl MountEntry {
    /// Whether FUSE serves it.
    pub fn is_fuse(&self) -> bool {
        let kind = self.kind.as_bytes();
        kind == b"fuse" || kind.starts_with(b"fuse.")
    }

    /// Whether rfuse serves it.
    pub fn is_rfuse(&self) -> bool {
        self.kind.as_bytes() == b"fuse.rfuse"
    }
}

/// All mounts this process sees, in mount order.
///
/// # Errors
/// When /proc is not there.
pub fn read() -> io::Result<Vec<MountEntry>> {
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// The mount on top of exactly this path, which is absolute and free of symbolic links.
///
/// # Errors
/// When /proc is not there.
pub fn on(target: &Path) -> io::Result<Option<MountEntry>> {
    Ok(read()?.into_iter().rev().find(|entry| entry.target == target))
}

/// The entries of a mountinfo text; lines that make no sense are left out.
pub fn parse(text: &[u8]) -> Vec<MountEntry> {
    text.split(|&byte| byte == b'\n').filter_map(parse_line).collect()
}

/// `ID PARENT MAJOR:MINOR ROOT TARGET OPTIONS [OPTIONAL…] - TYPE SOURCE SUPER_OPTIONS`, see proc(5).
fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|&byte| byte == b' ');
    let (major, minor) = std::str::from_utf8(fields.nth(2)?).ok()?.split_once(':')?;
    let target = PathBuf::from(unescape(fields.nth(1)?));
    let read_only = fields.next()?.split(|&byte| byte == b',').any(|option| option == b"ro");
    fields.find(|&field| field == b"-")?;
    let kind = unescape(fields.next()?);
    let source = unescape(fields.next()?);
    Some(MountEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, target, kind, source, read_only })
}

/// Undoes the kernel's `\ooo` for blanks, newlines and backslashes.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the kernel's `mangle` does it.
    fn escape(name: &[u8]) -> Vec<u8> {
        let plain = |byte: &u8| !b" \t\n\\#".contains(byte);
        name.iter()
            .flat_map(|byte| if plain(byte) { vec![*byte] } else { format!("\\{byte:03o}").into_bytes() })
            .collect()
    }

    #[test]
    fn a_fuse_line_is_read() {
        let entries = parse(
            b"98 1 0:44 / /mnt/a\\040b rw,nosuid,nodev,relatime shared:7 - fuse.rfuse az://acme/logs ro,user_id=0\n\
              99 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
        );
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].major, entries[0].minor), (0, 44));
        assert_eq!(entries[0].target, Path::new("/mnt/a b"));
        assert_eq!(entries[0].source, "az://acme/logs");
        assert!(entries[0].is_fuse() && entries[0].is_rfuse() && !entries[0].read_only);
        assert!(!entries[1].is_fuse());
    }

    #[test]
    fn this_machine_has_a_root() {
        assert!(read().unwrap().iter().any(|entry| entry.target == Path::new("/")));
    }

    #[test]
    fn fusectl_is_not_fuse() {
        let entries = parse(b"30 1 0:29 / /sys/fs/fuse/connections rw - fusectl fusectl rw\n");
        assert!(!entries[0].is_fuse());
    }

    proptest! {
        #[test]
        fn any_name_survives(name in proptest::collection::vec(1_u8..=255, 1..64), optional in 0_usize..3) {
            let mut line = b"98 1 0:44 / ".to_vec();
            line.extend(escape(&name));
            line.extend(b" ro,nosuid");
            line.extend(b" shared:1".repeat(optional));
            line.extend(b" - fuse.rfuse ");
            line.extend(escape(&name));
            line.extend(b" ro\n");
            let entries = parse(&line);
            prop_assert_eq!(entries.len(), 1);
            prop_assert_eq!(entries[0].target.as_os_str().as_bytes(), &name[..]);
            prop_assert_eq!(entries[0].source.as_bytes(), &name[..]);
            prop_assert!(entries[0].read_only);
        }

        #[test]
        fn no_text_is_a_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&text);
        }
    }
}
