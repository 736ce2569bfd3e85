//! Secrets: where they show (nowhere), and how a new one comes into a mount.

use std::process::{Command, Output};

use crate::support::{Azurite, Mounted, Shell, can_mount, eventually, text};

#[test]
fn a_secret_shows_nowhere() {
    let shell = Shell::new();
    let canary = "sv=2024&sig=c4n4ry";
    let url = format!("https://acme.blob.core.windows.net/logs?{canary}");
    let shown = |output: &Output| {
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        String::from_utf8_lossy(&text).contains("c4n4ry")
    };
    for arguments in [
        vec!["config", "show", &url],
        vec!["config", "show", "--json", &url],
        vec!["mount", &url],
        vec!["mount", &url, "/no/such/dir", "--endpoint", "http://127.0.0.1:1", "--tries", "1", "--log-level", "trace"],
        vec!["check", &url, "--endpoint", "http://127.0.0.1:1", "--tries", "1", "--log-level", "trace"],
        vec!["mount", &url, "/no/such/dir", "--block-size", "4kb"],
    ] {
        assert!(!shown(&shell.run(&arguments)), "{arguments:?}");
    }
    for (name, value) in [("RFUSE_SAS", canary), ("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=c4n4ry")] {
        let output = shell.command().env(name, value).args(["config", "show", "az://acme/logs"]).output().unwrap();
        assert!(!shown(&output), "{name}");
    }
    let logs = std::fs::read_dir(shell.path("run")).into_iter().flatten().flatten();
    for log in logs {
        assert!(!std::fs::read_to_string(log.path()).unwrap_or_default().contains("c4n4ry"));
    }
}

/// The signature of a SAS, as it stands in it and as it was before it was written into a URL.
fn canaries(sas: &str) -> [String; 2] {
    let signature = sas.split("sig=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let plain = signature.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    [signature, plain]
}

#[test]
fn the_signature_of_a_sas_is_found_nowhere_once_it_is_in_use() {
    if !can_mount() {
        return;
    }
    let Some(azurite) = Azurite::new() else { return };
    azurite.put("d/data.txt", "content");
    let sas = azurite.sas("rl", 3600);
    let canaries = canaries(sas.reveal());
    let shell = Shell::new();
    let file = shell.path("sas");
    std::fs::write(&file, sas.reveal()).unwrap();
    let log = shell.path("log");
    let flags = ["--endpoint", &azurite.endpoint, "--sas-file", text(&file)];
    let logging = ["--log-level", "trace", "--log-file", text(&log)];
    let mounted = Mounted::of(&shell, &azurite.url(), &[&flags[..], &logging].concat());
    assert_eq!(std::fs::read_to_string(mounted.path("d/data.txt")).unwrap(), "content");
    assert!(std::fs::read(mounted.path("d/none")).is_err());
    std::fs::read_dir(&mounted.dir).unwrap().for_each(drop);

    let mut places: Vec<(String, Vec<u8>)> = Vec::new();
    let mut look = |place: &str, bytes: Vec<u8>| places.push((place.to_owned(), bytes));
    let dir = text(&mounted.dir);
    for arguments in [
        vec!["list"],
        vec!["list", "--json"],
        vec!["stats", dir],
        vec!["stats", "--json", dir],
        vec!["stats", "--prometheus", dir],
        [&["config", "show", &azurite.url()][..], &flags].concat(),
        [&["check", &azurite.url(), "--log-level", "trace"][..], &flags].concat(),
        [&["check", "az://devstoreaccount1/none-of-these", "--log-level", "trace"][..], &flags].concat(),
        [&["mount", &azurite.url(), dir][..], &flags].concat(),
        vec!["unmount", "/not/there"],
    ] {
        let output = shell.run(&arguments);
        look(&format!("{arguments:?}"), [output.stdout, output.stderr].concat());
    }
    let process = format!("/proc/{}", mounted.pid());
    for part in ["cmdline", "environ", "mountinfo", "comm"] {
        look(part, std::fs::read(format!("{process}/{part}")).unwrap());
    }
    for entry in std::fs::read_dir(shell.path("run")).unwrap().flatten() {
        // A socket cannot be read.
        look(text(&entry.path()), std::fs::read(entry.path()).unwrap_or_default());
    }
    look("attributes", Command::new("getfattr").args(["-d", dir]).output().map(|o| o.stdout).unwrap_or_default());
    shell.succeed(&["unmount", dir]);
    look("log", std::fs::read(&log).unwrap());
    assert!(places.iter().any(|(place, bytes)| place == "log" && bytes.len() > 200), "the log was written");
    for (place, bytes) in &places {
        for canary in &canaries {
            assert!(!String::from_utf8_lossy(bytes).contains(canary.as_str()), "the signature shows in {place}");
        }
    }
}

#[test]
fn a_renewed_sas_file_is_tested_and_taken_up_while_mounted() {
    if !can_mount() {
        return;
    }
    let Some(azurite) = Azurite::new() else { return };
    azurite.put("a.txt", "first");
    azurite.put("b.txt", "second");
    let shell = Shell::new();
    let (file, next) = (shell.path("sas"), shell.path("next"));
    let renew = |sas: &str| {
        std::fs::write(&next, sas).unwrap();
        std::fs::rename(&next, &file).unwrap();
    };
    renew(azurite.sas("rl", 3600).reveal());
    let log = shell.path("log");
    let flags = ["--endpoint", &azurite.endpoint, "--sas-file", text(&file), "--log-file", text(&log)];
    let mounted = Mounted::of(&shell, &azurite.url(), &flags);
    let left = || mounted.stats().credential.unwrap().expires.unwrap().saturating_sub(now());
    assert!((3500..=3600).contains(&left()), "{}", left());
    assert!(shell.succeed(&["stats", text(&mounted.dir)]).contains("credential"), "the screen says how long");
    assert!(
        shell.succeed(&["stats", "--prometheus", text(&mounted.dir)]).contains("rfuse_credential_expiry_timestamp")
    );

    // One that the store refuses is not taken, and the mount goes on.
    renew("sv=2021-12-02&sr=c&sp=rl&se=2100-01-01T00:00:00Z&sig=bm90IG91cnM%3D");
    assert!(eventually(|| std::fs::read_to_string(&log).unwrap().contains("new credential refused")));
    assert_eq!(std::fs::read_to_string(mounted.path("a.txt")).unwrap(), "first");
    assert!((3000..=3600).contains(&left()));

    renew(azurite.sas("rl", 7 * 86_400).reveal());
    assert!(eventually(|| left() > 6 * 86_400), "the new one is in use: {}", left());
    assert!(eventually(|| std::fs::read_to_string(&log).unwrap().contains("new credential tested and in use")));
    assert_eq!(std::fs::read_to_string(mounted.path("b.txt")).unwrap(), "second");
    assert!(shell.succeed(&["list"]).contains("6 d") || shell.succeed(&["list"]).contains("7 d"));
}

fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}
