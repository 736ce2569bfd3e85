//! A mount from its first look to its end.

use crate::support::{Mounted, Shell, can_mount, eventually, text};

#[test]
fn a_daemon_serves_until_it_is_unmounted() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::new(&shell);
    assert_eq!(std::fs::read_to_string(mounted.dir.join("a.txt")).unwrap(), "hello");
    let words = std::fs::read(format!("/proc/{}/cmdline", mounted.pid())).unwrap();
    assert!(words.ends_with(b"rfuse\0daemon\0"), "a URL may hold a SAS, so no argument of a daemon is one");
    let list = shell.succeed(&["list"]);
    assert!(list.contains(text(&mounted.dir)) && list.contains(" up "), "{list}");
    assert!(shell.succeed(&["stats", text(&mounted.dir)]).starts_with("ready"));
    let stats: serde_json::Value =
        serde_json::from_str(&shell.succeed(&["stats", "--json", text(&mounted.dir)])).unwrap();
    assert!(stats["reads"]["total"].as_u64().unwrap() >= 1);
    assert!(shell.succeed(&["stats", "--prometheus", text(&mounted.dir)]).contains("rfuse_reads_total"));
    shell.succeed(&["unmount", text(&mounted.dir)]);
    assert!(!mounted.is_mounted());
    assert!(shell.succeed(&["list"]).starts_with("no mounts"));
    shell.fail(5, &["unmount", text(&mounted.dir)]);
}

#[test]
fn a_busy_mount_says_who_uses_it_and_lazy_lets_go() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::new(&shell);
    let open = std::fs::File::open(mounted.dir.join("a.txt")).unwrap();
    let said = shell.fail(9, &["unmount", "--timeout", "300ms", text(&mounted.dir)]);
    assert!(said.contains(&format!("({})", std::process::id())), "{said}");
    shell.succeed(&["unmount", "--lazy", text(&mounted.dir)]);
    assert!(!mounted.is_mounted());
    drop(open);
}

#[test]
fn sigterm_unmounts() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::new(&shell);
    let pid = rustix::process::Pid::from_raw(mounted.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(eventually(|| !mounted.is_mounted()));
}

#[test]
fn a_mount_whose_daemon_was_killed_can_be_unmounted_and_mounted_again() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::new(&shell);
    let pid = rustix::process::Pid::from_raw(mounted.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert!(eventually(|| shell.succeed(&["list"]).contains("dead")));
    shell.succeed(&["unmount", text(&mounted.dir)]);
    assert!(!mounted.is_mounted());
    let source = format!("file://{}", text(&shell.path("source")));
    shell.succeed(&["mount", &source, text(&mounted.dir)]);
    assert_eq!(std::fs::read_to_string(mounted.dir.join("a.txt")).unwrap(), "hello");
}

#[test]
fn without_the_page_cache_every_read_is_a_request() {
    if !can_mount() {
        return;
    }
    for (flags, expected) in [(&["--direct-io"][..], 3), (&[], 1)] {
        let shell = Shell::new();
        let mounted = Mounted::of(&shell, &shell.source(), flags);
        for _ in 0..3 {
            assert_eq!(std::fs::read_to_string(mounted.path("a.txt")).unwrap(), "hello");
        }
        let reads = mounted.stats().reads;
        // A read that finds the end counts too where the kernel does not know the size.
        assert!((expected..=2 * expected).contains(&reads.total), "{flags:?}: {reads:?}");
        let prometheus = shell.succeed(&["stats", "--prometheus", text(&mounted.dir)]);
        let all = format!("rfuse_read_seconds_count {}", reads.total);
        assert!(prometheus.contains(&all), "{all}: {prometheus}");
    }
}

#[test]
fn unmounting_below_a_mount_that_hangs_ends_all_the_same() {
    if !can_mount() {
        return;
    }
    let (shell, inner) = (Shell::new(), Shell::new());
    std::fs::create_dir(shell.folder("source").join("below")).unwrap();
    let outer = Mounted::of(&shell, &shell.source(), &["--metadata-ttl", "0s", "--negative-ttl", "0s"]);
    let below = outer.path("below");
    inner.succeed(&["mount", &inner.source(), text(&below)]);
    let pid = rustix::process::Pid::from_raw(outer.pid()).unwrap();
    let signal = |signal| rustix::process::kill_process(pid, signal).unwrap();
    signal(rustix::process::Signal::STOP);
    let begun = std::time::Instant::now();
    let output = inner.run(&["unmount", "--timeout", "300ms", text(&below)]);
    let took = begun.elapsed();
    signal(rustix::process::Signal::CONT);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(9) && said.contains("does not answer"), "{said}");
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");
    let _ = inner.run(&["unmount", text(&below)]);
}

#[test]
fn owner_modes_and_what_may_run_are_those_of_the_settings() {
    use std::os::unix::fs::MetadataExt as _;
    if !can_mount() {
        return;
    }
    for (flags, runs) in [(&["--allow-exec=false", "--read-only"][..], false), (&[], true)] {
        let shell = Shell::new();
        let script = shell.folder("source").join("hello.sh");
        std::fs::write(script, "#!/bin/sh\necho hello\n").unwrap();
        let settings = ["--uid", "7", "--gid", "8", "--file-mode", "0755", "--dir-mode", "0750", "--allow-other"];
        let mounted = Mounted::of(&shell, &shell.source(), &[&settings[..], flags].concat());
        let (file, dir) = (mounted.path("hello.sh"), mounted.dir.clone());
        let [file_is, dir_is] = [&file, &dir].map(|path| std::fs::metadata(path).unwrap());
        assert_eq!((file_is.uid(), file_is.gid(), file_is.mode() & 0o7777), (7, 8, 0o755));
        assert_eq!((dir_is.uid(), dir_is.gid(), dir_is.mode() & 0o7777), (7, 8, 0o750));
        assert_eq!(shell.other(&file).output().is_ok_and(|output| output.stdout == b"hello\n"), runs, "{flags:?}");
        let table = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let line = table.lines().find(|line| line.contains(text(&dir))).unwrap();
        let options = line.split(' ').nth(3).unwrap();
        let has = |word: &str| options.split(',').any(|option| option == word);
        assert!(has("nosuid") && has("nodev") && has("default_permissions") && has("allow_other"), "{line}");
        assert_eq!((has("noexec"), has("ro"), has("rw")), (!runs, !runs, runs), "{line}");
    }
}

#[test]
fn what_a_store_answers_in_passing_is_asked_again_and_counted() {
    if !can_mount() {
        return;
    }
    let server = rfuse_store::testing::S3Server::start(100).unwrap();
    server.put(*b"data", vec![7; 100_000]);
    let (id, secret) = server.key_pair();
    let shell = Shell::new().set("AWS_ACCESS_KEY_ID", id).set("AWS_SECRET_ACCESS_KEY", secret);
    let at = ["--endpoint", &server.url(), "--region", "us-east-1"];
    let mounted = Mounted::of(&shell, &format!("s3://{}", server.bucket()), &at);
    let before = mounted.stats().store;
    server.fail(3);
    assert!(std::fs::read(mounted.path("data")).unwrap() == vec![7; 100_000]);
    let after = mounted.stats();
    assert_eq!((after.store.retries - before.retries, after.store.failed - before.failed), (3, 3));
    assert!(after.reads.waited.count >= 1 && after.reads.waited.p99 > 0.0, "{:?}", after.reads);
    assert!(shell.succeed(&["stats", text(&mounted.dir)]).contains("retries 3"));
    assert!(shell.succeed(&["stats", "--prometheus", text(&mounted.dir)]).contains("rfuse_store_retries_total 3"));
}
