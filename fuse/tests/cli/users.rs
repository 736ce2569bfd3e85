//! A mount by somebody who is not root.

use crate::support::{Mounted, Namespace, Shell, can_mount, text};

const SOMEBODY: u32 = 65_534;
const SOMEBODY_ELSE: u32 = 65_533;

#[test]
fn somebody_mounts_reads_and_unmounts_for_themselves_alone() {
    if !can_mount() {
        return;
    }
    let namespace = Namespace::of_everyone();
    let shell = Shell::of(SOMEBODY, namespace.wrapper());
    let mounted = Mounted::new(&shell);
    let as_user = |id: u32, program: &str| {
        let id = id.to_string();
        let mut command = std::process::Command::new(&namespace.wrapper()[0]);
        command.args(&namespace.wrapper()[1..]).args(["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"]);
        command.arg(program);
        command
    };
    let file = mounted.path("a.txt");
    let read = as_user(SOMEBODY, "cat").arg(&file).output().unwrap();
    assert_eq!((read.status.success(), read.stdout.as_slice()), (true, &b"hello"[..]));
    let listed = as_user(SOMEBODY, "stat").args(["-c", "%u %g %a"]).arg(&file).output().unwrap();
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), format!("{SOMEBODY} {SOMEBODY} 644\n"));
    assert!(shell.succeed(&["list"]).contains(text(&mounted.dir)));
    assert!(mounted.stats().reads.total >= 1);
    // Not even root, unless they allow it.
    for id in [SOMEBODY_ELSE, 0] {
        let refused = as_user(id, "cat").arg(&file).output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains("Permission denied"), "{id}: {said}");
    }
    shell.succeed(&["unmount", text(&mounted.dir)]);
    assert!(!mounted.is_mounted());
    assert!(shell.succeed(&["list"]).starts_with("no mounts"));
}

#[test]
fn a_busy_mount_of_somebody_waits_and_lazy_lets_go() {
    if !can_mount() {
        return;
    }
    let namespace = Namespace::of_everyone();
    let shell = Shell::of(SOMEBODY, namespace.wrapper());
    let mounted = Mounted::new(&shell);
    let mut user =
        shell.other("sh").args(["-c", "cd \"$1\" && exec sleep 600", "sh", text(&mounted.dir)]).spawn().unwrap();
    let inside = || std::fs::read_link(format!("/proc/{}/cwd", user.id())).is_ok_and(|at| at == mounted.dir);
    assert!(crate::support::eventually(inside));
    let said = shell.fail(9, &["unmount", "--timeout", "300ms", text(&mounted.dir)]);
    assert!(said.contains(&format!("({})", user.id())), "{said}");
    shell.succeed(&["unmount", "--lazy", text(&mounted.dir)]);
    assert!(!mounted.is_mounted());
    user.kill().unwrap();
    user.wait().unwrap();
}

#[test]
fn allow_other_needs_a_line_of_the_machine() {
    if !can_mount() {
        return;
    }
    let namespace = Namespace::of_everyone();
    let shell = Shell::of(SOMEBODY, namespace.wrapper());
    if std::fs::read_to_string("/etc/fuse.conf").unwrap_or_default().lines().any(|line| line == "user_allow_other") {
        eprintln!("SKIPPED: this machine has user_allow_other in /etc/fuse.conf");
        return;
    }
    let said = shell.fail(8, &["mount", "--allow-other", &shell.source(), text(&shell.folder("mnt"))]);
    assert!(said.contains("user_allow_other into /etc/fuse.conf"), "{said}");
}

#[test]
fn allow_other_lets_others_in_where_the_machine_allows_it() {
    if !can_mount() {
        return;
    }
    if !std::path::Path::new("/etc/fuse.conf").exists() {
        eprintln!("SKIPPED: this machine has no /etc/fuse.conf to put another over");
        return;
    }
    let namespace = Namespace::of_everyone_and(
        "conf=$(mktemp)\nchmod 644 $conf\necho user_allow_other > $conf\nmount --bind $conf /etc/fuse.conf\nrm $conf",
    );
    let shell = Shell::of(SOMEBODY, namespace.wrapper());
    let mounted = Mounted::of(&shell, &shell.source(), &["--allow-other"]);
    let mut other = std::process::Command::new(&namespace.wrapper()[0]);
    let id = SOMEBODY_ELSE.to_string();
    other.args(&namespace.wrapper()[1..]).args(["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "cat"]);
    // Who else may go into the folder that the mount lies in.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(mounted.dir.parent().unwrap(), open).unwrap();
    assert_eq!(other.arg(mounted.path("a.txt")).output().unwrap().stdout, b"hello");
}
