//! `rfuse warm`, `pin`, `unpin` and `invalidate` on real mounts.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rfuse_store::pattern;
use serde_json::Value;

use crate::support::{Mounted, Shell, can_mount, text};

const SIZE: u64 = 9 << 20;

/// A mount with a cache folder over a source with a few files.
fn prepared(shell: &Shell) -> Mounted<'_> {
    let source = shell.folder("source");
    fs::create_dir_all(source.join("logs")).unwrap();
    for (name, seed) in [("logs/a.bin", 1), ("logs/b.bin", 2), ("c.txt", 3)] {
        fs::write(source.join(name), pattern::bytes(seed, 0, SIZE as usize)).unwrap();
    }
    let mounted = Mounted::not_yet(shell, "mnt");
    mount(shell, &mounted);
    mounted
}

fn mount(shell: &Shell, mounted: &Mounted<'_>) {
    let url = format!("file://{}", text(&shell.path("source")));
    let cache = shell.path("cache");
    let settings = ["--cache-size", "64MiB", "--cache-reserve", "0B", "--memory", "16MiB", "--metadata-ttl", "1h"];
    let words = [&["mount", &url, text(&mounted.dir), "--cache-dir", text(&cache)], &settings[..]].concat();
    shell.succeed(&words);
}

fn gets(shell: &Shell, dir: &Path) -> u64 {
    let stats: Value = serde_json::from_str(&shell.succeed(&["stats", "--json", text(dir)])).unwrap();
    let requests = stats["store"]["requests"].as_array().unwrap().iter();
    requests.filter(|one| one["op"] == "get").map(|one| one["count"].as_u64().unwrap()).sum()
}

fn warm(shell: &Shell, words: &[&str]) -> Value {
    let said = shell.succeed(&[&["warm", "--json"], words].concat());
    serde_json::from_str(&said).unwrap()
}

#[test]
fn what_is_warmed_costs_no_get_even_after_a_new_mount_and_warming_again_costs_none() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = prepared(&shell);
    let dir = text(&mounted.dir);
    let warmed = warm(&shell, &[dir, "logs/*.bin", "--range", "0..5MiB"]);
    assert_eq!((warmed["files"].as_u64(), warmed["bytes"].as_u64()), (Some(2), Some(10 << 20)), "{warmed}");
    assert_eq!((warmed["brought"].as_u64(), warmed["present"].as_u64()), (Some(10 << 20), Some(0)), "{warmed}");
    let again = warm(&shell, &[dir, "logs"]);
    assert_eq!((again["present"].as_u64(), again["brought"].as_u64()), (Some(10 << 20), Some(8 << 20)), "{again}");
    shell.succeed(&["unmount", dir]);
    mount(&shell, &mounted);
    let third = warm(&shell, &[dir, "logs"]);
    assert_eq!((third["present"].as_u64(), gets(&shell, &mounted.dir)), (Some(2 * SIZE), 0), "{third}");
    for (name, seed) in [("logs/a.bin", 1), ("logs/b.bin", 2)] {
        assert!(fs::read(mounted.path(name)).unwrap() == pattern::bytes(seed, 0, SIZE as usize), "{name}");
    }
    assert_eq!(gets(&shell, &mounted.dir), 0);
    assert!(shell.succeed(&["warm", dir, "c.txt"]).starts_with("1 files, 9.0 MiB: 9.0 MiB brought in "));
    shell.fail(5, &["warm", dir, "none.bin"]);
    shell.succeed(&["unmount", dir]);
}

#[test]
fn pins_are_counted_refused_and_taken_away() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = prepared(&shell);
    let dir = text(&mounted.dir);
    let list = shell.path("list");
    fs::write(&list, "# rfuse plan v1\nlogs/a.bin\t0\t1048576\nc.txt\t4096\t4096\n").unwrap();
    let warmed = warm(&shell, &[dir, "--manifest", text(&list), "--pin"]);
    assert_eq!((warmed["pinned"].as_u64(), warmed["brought"].as_u64()), (Some(1_052_672), Some(1_052_672)), "{warmed}");
    let pinned = |wanted: u64| {
        let stats: Value = serde_json::from_str(&shell.succeed(&["stats", "--json", dir])).unwrap();
        assert_eq!(stats["cache"]["disk"]["pinned_bytes"].as_u64(), Some(wanted));
    };
    pinned(1_052_672);
    assert!(shell.succeed(&["pin", dir, "logs"]).starts_with("pinned 2 files"));
    pinned(2 * SIZE + 4096);
    shell.succeed(&["unpin", dir, "logs/b.bin"]);
    pinned(SIZE + 4096);
    assert_eq!(shell.succeed(&["unpin", dir]), "unpinned 9.0 MiB\n");
    pinned(0);
    fs::write(shell.path("source").join("large"), vec![7; 50 << 20]).unwrap();
    shell.succeed(&["invalidate", dir]);
    let said = shell.fail(1, &["pin", dir, "large"]);
    assert!(said.contains("50MiB would be pinned") && said.contains("48MiB may be"), "{said}");
    shell.succeed(&["unmount", dir]);
}

#[test]
fn what_is_invalidated_is_asked_for_anew() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = prepared(&shell);
    let dir = text(&mounted.dir);
    assert_eq!(fs::read(mounted.path("c.txt")).unwrap().len() as u64, SIZE);
    fs::write(shell.path("source").join("c.txt"), "changed").unwrap();
    fs::write(shell.path("source").join("new.txt"), "new").unwrap();
    assert_eq!(fs::metadata(mounted.path("c.txt")).unwrap().len(), SIZE, "believed for an hour");
    assert!(shell.succeed(&["invalidate", dir, "c.txt"]).starts_with("forgot "));
    assert_eq!(fs::read_to_string(mounted.path("c.txt")).unwrap(), "changed");
    shell.succeed(&["invalidate", dir]);
    assert_eq!(fs::read_to_string(mounted.path("new.txt")).unwrap(), "new");
    shell.succeed(&["unmount", dir]);
}

#[test]
fn the_control_socket_speaks_http_too() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = prepared(&shell);
    let run = shell.path("run");
    let find = || {
        let mut files = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|end| end == "sock"))
    };
    let socket = find().unwrap();
    let get = |target: &str| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nhost: rfuse\r\naccept: */*\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    };
    let metrics = get("/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n") && metrics.contains("\nrfuse_mount_info{"), "{metrics}");
    let (head, body) = metrics.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
    assert!(get("/health").starts_with("HTTP/1.1 200 OK\r\n"));
    let stats = get("/stats");
    let stats: Value = serde_json::from_str(stats.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(stats["dir"], text(&mounted.dir));
    assert!(get("/other").starts_with("HTTP/1.1 404 "));
    shell.succeed(&["unmount", text(&mounted.dir)]);
}
