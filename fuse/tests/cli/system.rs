//! mount(8), fstab, systemd, and the log they read.

use std::process::Command;

use crate::support::{Mounted, Namespace, Shell, can_mount, text};

#[test]
fn mount_8_finds_us_by_name_or_by_url() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let (source, dir) = (shell.folder("source"), shell.folder("mnt"));
    let helper = shell.path("mount.fuse.rfuse");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rfuse"), &helper).unwrap();
    let url = format!("file://{}", text(&source));
    let mut command = Command::new(&helper);
    command.env_clear().env("RFUSE_RUN_DIR", shell.path("run"));
    let words = "rw,_netdev,nofail,x-systemd.automount,allow_other,metadata_ttl=1s";
    let status = command.args([&url, text(&dir), "-s", "-o", words, "-t", "fuse.rfuse"]).status().unwrap();
    assert!(status.success());
    shell.succeed(&["unmount", text(&dir)]);
}

#[test]
fn mount_8_and_a_line_of_fstab_mount_us() {
    if !can_mount() {
        return;
    }
    // Where mount(8) looks for the program of a type, and nowhere else on this machine.
    let setup =
        format!("mount -t tmpfs none /usr/local/sbin\nln -s {} /usr/local/sbin/rfuse", env!("CARGO_BIN_EXE_rfuse"));
    let namespace = Namespace::new(&setup);
    let shell = Shell::by(namespace.wrapper());
    let url = shell.source();
    let by_hand = Mounted::not_yet(&shell, "by-hand");
    let mount = |arguments: &[&str]| {
        let output = shell.other("/bin/mount").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    mount(&["-t", "fuse.rfuse", &url, text(&by_hand.dir), "-o", "allow_other,metadata_ttl=2s"]);
    let has = |mounted: &Mounted<'_>, wanted: &[&str]| {
        let table = shell.other("cat").arg("/proc/self/mounts").output().unwrap().stdout;
        let table = String::from_utf8(table).unwrap();
        let line = table.lines().find(|line| line.contains(text(&mounted.dir))).unwrap();
        let (kind, options) = (line.split(' ').nth(2).unwrap(), line.split(' ').nth(3).unwrap());
        assert_eq!(kind, "fuse.rfuse");
        for word in wanted {
            assert!(options.split(',').any(|option| option == *word), "{word}: {line}");
        }
    };
    has(&by_hand, &["rw", "nosuid", "nodev", "allow_other", "default_permissions"]);
    let by_table = Mounted::not_yet(&shell, "by-table");
    let fstab = shell.path("fstab");
    let options = "ro,nofail,_netdev,x-systemd.automount,allow_other,block_size=8KiB";
    std::fs::write(&fstab, format!("{url} {} fuse.rfuse {options} 0 0\n", text(&by_table.dir))).unwrap();
    mount(&["--fstab", text(&fstab), text(&by_table.dir)]);
    has(&by_table, &["ro", "nosuid", "nodev", "allow_other", "default_permissions"]);
    for mounted in [&by_hand, &by_table] {
        let read = shell.other("cat").arg(mounted.path("a.txt")).output().unwrap();
        assert_eq!(read.stdout, b"hello");
        assert!(shell.other("/bin/umount").arg(&mounted.dir).status().unwrap().success());
        assert!(!mounted.is_mounted());
    }
}

#[test]
fn systemd_is_told_when_the_mount_is_ready_and_its_end_unmounts() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let socket = std::os::unix::net::UnixDatagram::bind(shell.path("notify")).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let mounted = Mounted::not_yet(&shell, "mnt");
    let config = shell.path("config.toml");
    let dir = text(&mounted.dir);
    std::fs::write(&config, format!("[mount.training]\nurl = \"{}\"\ndir = \"{dir}\"\n", shell.source())).unwrap();
    let mut command = shell.command();
    command.env("JOURNAL_STREAM", "8:1").stderr(std::process::Stdio::piped());
    command.env("NOTIFY_SOCKET", shell.path("notify")).args(["mount", "--foreground", "--config", text(&config)]);
    let service = command.arg("training").spawn().unwrap();
    let mut word = [0; 64];
    let length = socket.recv(&mut word).unwrap();
    assert_eq!(&word[..length], b"READY=1");
    assert_eq!(std::fs::read_to_string(mounted.path("a.txt")).unwrap(), "hello");
    let pid = rustix::process::Pid::from_child(&service);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = service.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert!(!mounted.is_mounted());
    // With the levels that journald reads, and without a time, which it knows.
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(log.lines().count() >= 2 && log.lines().all(|line| line.starts_with("<6>")), "{log}");
}

#[test]
fn a_mount_is_unmounted_by_its_name_too() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::not_yet(&shell, "mnt");
    let folder = shell.folder(".config/rfuse");
    let dir = text(&mounted.dir);
    let table = format!("[mount.training]\nurl = \"{}\"\ndir = \"{dir}\"\n", shell.source());
    std::fs::write(folder.join("config.toml"), table).unwrap();
    shell.succeed(&["mount", "training"]);
    assert!(mounted.is_mounted());
    shell.succeed(&["unmount", "training"]);
    assert!(!mounted.is_mounted());
}

#[test]
fn the_unit_that_ships_is_one() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/rfuse@.service");
    let shipped = std::fs::read_to_string(unit).unwrap();
    let shell = Shell::new();
    let copy = shell.path("rfuse@.service");
    std::fs::write(&copy, shipped.replace("/usr/bin/rfuse", env!("CARGO_BIN_EXE_rfuse"))).unwrap();
    let Ok(verified) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy).output() else {
        eprintln!("SKIPPED: needs systemd-analyze");
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("rfuse")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}
