//! Names that no tidy store holds, seen through a real mount.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rfuse_store::testing::S3Server;
use rustix::io::Errno;

use crate::support::{Azurite, Mounted, Shell, can_mount};

/// Every file below `folder`, by its path from there.
fn files(folder: &Path) -> BTreeSet<Vec<u8>> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().as_os_str().as_bytes().to_vec());
            }
        }
    }
    found
}

#[test]
fn odd_names_of_s3_are_files_byte_for_byte_or_left_out() {
    if !can_mount() {
        return;
    }
    let deep = [&b"deep/".repeat(204)[..], b"last"].concat();
    let part_255 = vec![b'y'; 255];
    let shown: Vec<&[u8]> = vec![
        b"a/b",
        b"dir/x",
        b"line\nfeed \x1b[31m",
        b"not\xffutf8/\xfe",
        b"per%2Fcent",
        b"plus+space *~",
        "ü/日本".as_bytes(),
        &deep,
        &part_255,
    ];
    let (part_256, key_1024) = (vec![b'z'; 256], vec![b'x'; 1024]);
    // The directory wins its name from the object; the rest no path can say.
    let left_out: Vec<&[u8]> =
        vec![b"dir", b"a//b", b"a/../b", b"/lead", b"..", b"../up", b"./here", b"nul\0byte", &part_256, &key_1024];
    let server = S3Server::start(3).unwrap();
    for key in shown.iter().chain(&left_out) {
        server.put(*key, key.repeat(3));
    }
    server.put(*b"dir/", *b"a marker with bytes");
    let (id, secret) = server.key_pair();
    let shell = Shell::new().set("AWS_ACCESS_KEY_ID", id).set("AWS_SECRET_ACCESS_KEY", secret);
    let url = format!("s3://{}", server.bucket());
    let mounted = Mounted::of(&shell, &url, &["--endpoint", &server.url(), "--region", "us-east-1"]);

    let expected: BTreeSet<Vec<u8>> = shown.iter().map(|key| key.to_vec()).collect();
    assert_eq!(files(&mounted.dir), expected);
    for key in &shown {
        let path = mounted.dir.join(OsStr::from_bytes(key));
        assert_eq!(std::fs::read(path).unwrap(), key.repeat(3), "{}", key.escape_ascii());
    }
    // Asked for by name, without a listing before.
    let fresh = Shell::new().set("AWS_ACCESS_KEY_ID", id).set("AWS_SECRET_ACCESS_KEY", secret);
    let mounted = Mounted::of(&fresh, &url, &["--endpoint", &server.url(), "--region", "us-east-1"]);
    for key in &shown {
        let path = mounted.dir.join(OsStr::from_bytes(key));
        assert_eq!(std::fs::read(path).unwrap(), key.repeat(3), "{}", key.escape_ascii());
    }
    assert!(mounted.dir.join("dir").is_dir());
    let long = std::fs::metadata(mounted.dir.join(OsStr::from_bytes(&part_256))).unwrap_err();
    assert_eq!(long.raw_os_error(), Some(Errno::NAMETOOLONG.raw_os_error()));
    // The kernel's own `..` of the root leads to what holds the mount, and nothing of the store is there.
    assert_eq!(mounted.dir.join("..").canonicalize().unwrap(), mounted.dir.parent().unwrap().canonicalize().unwrap());
    assert!(!mounted.dir.join("../up").exists());
}

#[test]
fn what_no_path_leads_to_is_counted_and_logged_without_breaking_a_line() {
    if !can_mount() {
        return;
    }
    let server = S3Server::start(100).unwrap();
    for key in [&b"new\nline\x7f/.."[..], b"new\nline\x7f/a//b", b"new\nline\x7f/ok"] {
        server.put(key, *b"x");
    }
    let (id, secret) = server.key_pair();
    let url = format!("s3://{}", server.bucket());
    for format in ["json", "text"] {
        let shell = Shell::new().set("AWS_ACCESS_KEY_ID", id).set("AWS_SECRET_ACCESS_KEY", secret);
        let log = shell.path("log");
        let at = ["--endpoint", &server.url(), "--region", "us-east-1", "--log-file", crate::support::text(&log)];
        let logging = ["--log-format", format, "--log-level", "trace"];
        let mounted = Mounted::of(&shell, &url, &[&at[..], &logging].concat());
        let folder = mounted.path("new\nline\x7f");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "ok and the directory a");
        assert!(mounted.stats().kernel.unreachable_objects >= 1);
        assert!(std::fs::metadata(folder.join("none")).is_err());
        let lines = std::fs::read_to_string(&log).unwrap();
        lines.lines().for_each(|line| check_line(line, format));
        // The name is escaped once as text, and its backslash once more in JSON.
        let plain = lines.replace('\\', "");
        let told = plain.lines().any(|line| line.contains("cannot be reached as files") && line.contains("newnline"));
        assert!(told, "{lines}");
    }
}

/// One whole event, by itself.
fn check_line(line: &str, format: &str) {
    assert!(!line.contains(char::is_control), "{line:?}");
    if format == "json" {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(event["timestamp"].is_string() && event["level"].is_string(), "{line}");
    } else {
        let (time, rest) = line.split_once(' ').unwrap();
        let level = rest.split_whitespace().next().unwrap();
        assert!(time.ends_with('Z') && ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level), "{line}");
    }
}

#[test]
fn links_that_blobfuse2_wrote_are_links() {
    if !can_mount() {
        return;
    }
    let Some(azurite) = Azurite::new() else { return };
    azurite.put("data/target.bin", "at the end of the link");
    azurite.put_with("data/link", "target.bin", &[("is_symlink", "true")]);
    azurite.put_with("data/broken", "nowhere", &[("is_symlink", "true")]);
    let shell = Shell::new();
    let mounted = Mounted::of(&shell, &azurite.url(), &["--endpoint", &azurite.endpoint]);
    let link = mounted.path("data/link");
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("target.bin"));
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "at the end of the link");
    assert_eq!(std::fs::read_link(mounted.path("data/broken")).unwrap(), Path::new("nowhere"));
    let missing = std::fs::read(mounted.path("data/broken")).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    let no_link = std::fs::read_link(mounted.path("data/target.bin")).unwrap_err();
    assert_eq!(no_link.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
}
