//! `rfuse top` on a terminal and without one, and what a file has cost.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::{Mounted, Shell, can_mount, text};

/// A terminal of 120 columns: this end of it, and the one that programs get.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let size = Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&theirs, size).unwrap();
    (File::from(ours), File::from(theirs))
}

#[test]
fn on_a_terminal_it_shows_every_mount_until_q_and_leaves_all_as_it_was() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::new(&shell);
    fs::read(mounted.path("a.txt")).unwrap();
    let (mut ours, theirs) = terminal();
    let (input, output) = (theirs.try_clone().unwrap(), theirs.try_clone().unwrap());
    let mut command = shell.command();
    command.args(["top", "-d", "100ms"]).stdin(Stdio::from(input)).stdout(Stdio::from(output));
    let mut top = command.spawn().unwrap();
    let mut seen = String::new();
    let mut room = [0; 4096];
    // It blocks until there is more; the test would hang rather than lie.
    while !(seen.contains(text(&mounted.dir)) && seen.matches("\x1b[J").count() > 2) {
        let count = ours.read(&mut room).unwrap();
        seen += &String::from_utf8_lossy(&room[..count]);
    }
    assert!(seen.starts_with("\x1b[?1049h"), "{seen:?}");
    assert!(seen.contains("reads/s"), "{seen:?}");
    ours.write_all(b"f").unwrap();
    while !seen.contains("a.txt") {
        let count = ours.read(&mut room).unwrap();
        seen += &String::from_utf8_lossy(&room[..count]);
    }
    ours.write_all(b"q").unwrap();
    assert!(top.wait().unwrap().success());
    // It holds the other end of the terminal.
    drop(command);
    assert!(tcgetattr(&theirs).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
    drop(theirs);
    while let Ok(count @ 1..) = ours.read(&mut room) {
        seen += &String::from_utf8_lossy(&room[..count]);
    }
    assert!(seen.ends_with("\x1b[?25h\x1b[?1049l"), "{seen:?}");
}

#[test]
fn without_a_terminal_it_prints_lines_and_files_say_what_they_cost() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::new(&shell);
    fs::read(mounted.path("a.txt")).unwrap();
    let said = shell.succeed(&["top", "-n", "2", "-d", "100ms", "--files"]);
    assert!(!said.contains('\x1b') && said.matches("reads/s before").count() == 2, "{said}");
    assert!(said.contains("a.txt"), "{said}");
    let files: serde_json::Value =
        serde_json::from_str(&shell.succeed(&["stats", "--files", "--json", text(&mounted.dir)])).unwrap();
    assert_eq!(files[0]["path"], "a.txt");
    assert_eq!((files[0]["waited"].as_u64(), files[0]["waited_bytes"].as_u64()), (Some(1), Some(5)), "{files}");
    assert!(shell.succeed(&["stats", "--files", text(&mounted.dir)]).contains("a.txt"));
}

#[test]
fn a_price_makes_stats_tell_what_requests_cost() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::of(&shell, &shell.source(), &["--request-price", "0.40"]);
    fs::read(mounted.path("a.txt")).unwrap();
    assert!(shell.succeed(&["stats", text(&mounted.dir)]).contains("requests cost 0."));
    assert!(shell.succeed(&["stats", "--prometheus", text(&mounted.dir)]).contains("\nrfuse_request_cost_a_day "));
    shell.fail(3, &["mount", "--request-price", "cheap", "mem:", text(&shell.folder("other"))]);
}
