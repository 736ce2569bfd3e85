//! What can be wrong with where and by whom is mounted.

use crate::support::{Mounted, Namespace, Shell, can_mount, text};

#[test]
fn mount_points_that_cannot_be_used_are_told_apart() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    assert!(shell.fail(7, &["mount", "mem:", "/no/such/dir"]).contains("mkdir"));
    let full = shell.folder("full");
    std::fs::write(full.join("x"), "x").unwrap();
    assert!(shell.fail(7, &["mount", "mem:", text(&full)]).contains("--nonempty"));
    assert!(shell.fail(7, &["mount", "mem:", text(&full.join("x"))]).contains("not a directory"));
    let mounted = Mounted::new(&shell);
    assert!(shell.fail(7, &["mount", "mem:", text(&mounted.dir)]).contains("unmount it first"));
}

#[test]
fn without_dev_fuse_the_way_to_get_it_is_said() {
    if !can_mount() {
        return;
    }
    let namespace = Namespace::new("mount -t tmpfs none /dev");
    let shell = Shell::by(namespace.wrapper());
    let said = shell.fail(8, &["mount", &shell.source(), text(&shell.folder("mnt"))]);
    assert!(said.contains("there is no /dev/fuse here") && said.contains("modprobe fuse"), "{said}");
}

#[test]
fn a_dev_fuse_that_others_may_not_open_is_said_to_be_shut() {
    if !can_mount() {
        return;
    }
    let namespace = Namespace::of_nobody();
    let shell = Shell::of(65_534, namespace.wrapper());
    let said = shell.fail(8, &["mount", &shell.source(), text(&shell.folder("mnt"))]);
    assert!(said.contains("/dev/fuse may not be opened") && said.contains("chmod 666 /dev/fuse"), "{said}");
}

#[test]
fn who_may_not_mount_is_told_what_a_container_needs() {
    if !can_mount() {
        return;
    }
    let without = ["setpriv", "--bounding-set", "-sys_admin"].map(str::to_owned).to_vec();
    let shell = Shell::by(without);
    let said = shell.fail(8, &["mount", &shell.source(), text(&shell.folder("mnt"))]);
    assert!(said.contains("mounting is not permitted") && said.contains("--cap-add SYS_ADMIN"), "{said}");
    // The helper without the bit that makes it root.
    let namespace = Namespace::of_everyone_and(
        "helper=$(mktemp)\ncp /usr/bin/fusermount3 $helper\nchmod 755 $helper\n\
         mount --bind $helper /usr/bin/fusermount3\nrm $helper",
    );
    let shell = Shell::of(65_534, namespace.wrapper());
    let said = shell.fail(8, &["mount", &shell.source(), text(&shell.folder("mnt"))]);
    assert!(said.contains("mounting is not permitted") && said.contains("fusermount3"), "{said}");
}

#[test]
fn without_fusermount3_its_package_is_named() {
    if !can_mount() {
        return;
    }
    let namespace = Namespace::of_everyone();
    let shell = Shell::of(65_534, namespace.wrapper());
    let mut command = shell.other("env");
    command.arg("PATH=/not/there").arg(shell.path("rfuse"));
    let output = command.args(["mount", &shell.source()]).arg(shell.folder("mnt")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("fusermount3") && said.contains("apt-get install fuse3"), "{said}");
}

#[test]
fn somebody_elses_directory_is_no_mount_point() {
    if !can_mount() {
        return;
    }
    let namespace = Namespace::of_everyone();
    let shell = Shell::of(65_534, namespace.wrapper());
    let theirs = tempfile::tempdir().unwrap();
    std::fs::set_permissions(theirs.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let said = shell.fail(7, &["mount", &shell.source(), text(theirs.path())]);
    assert!(said.contains("no write access") && said.contains("a directory of your own"), "{said}");
}
