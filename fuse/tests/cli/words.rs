//! Words that are wrong, and pages about the right ones.

use crate::support::{Shell, text};

#[test]
fn an_unknown_flag_is_answered_with_the_nearest() {
    let output = Shell::new().run(&["mount", "--blok-size", "4KiB", "mem:", "/mnt"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--block-size"));
}

#[test]
fn a_wrong_setting_names_itself_its_place_and_the_right_spelling() {
    let shell = Shell::new();
    let flag = shell.fail(3, &["mount", "--block-size", "4kb", "mem:", "/mnt"]);
    assert!(flag.contains("--block-size: block-size = \"4kb\"") && flag.contains("write 4KiB"), "{flag}");
    let file = shell.path("x.toml");
    std::fs::write(&file, "\nmemroy = \"1GiB\"\n").unwrap();
    let file = shell.fail(3, &["check", "--config", text(&file), "mem:"]);
    assert!(file.contains("x.toml:2") && file.contains("did you mean memory?"), "{file}");
    let output = shell.command().env("RFUSE_MEMROY", "1").args(["check", "mem:"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean RFUSE_MEMORY?"));
}

#[test]
fn places_that_are_none_are_told_apart() {
    let shell = Shell::new();
    assert!(shell.fail(3, &["check", "gs://bucket"]).contains("unknown scheme \"gs\""));
    assert!(shell.fail(3, &["check", "training"]).contains("neither a URL nor a mount"));
    assert!(shell.fail(5, &["check", "file:///no/such/dir"]).contains("no such"));
    assert!(shell.fail(4, &["check", "az://acme/logs"]).contains("no credential found"));
    assert!(shell.fail(4, &["check", "--sas-file", "/no/such/file", "az://acme/logs"]).contains("/no/such/file"));
}

#[test]
fn pages_and_completions_are_made() {
    let shell = Shell::new();
    assert!(shell.succeed(&["man"]).contains("rfuse"));
    for kind in ["bash", "zsh", "fish"] {
        assert!(shell.succeed(&["completion", kind]).contains("block-size"));
    }
    let show = shell.succeed(&["config", "show", "--memory", "1GiB", "mem:"]);
    assert!(
        show.lines().any(|line| line.starts_with("memory") && line.contains("1GiB") && line.ends_with("--memory")),
        "{show}"
    );
}

#[test]
fn blobfuse2_words_are_converted() {
    let toml =
        Shell::new().succeed(&["config", "convert", "-o", "attr_timeout=120,--block-cache-block-size=0.00390625"]);
    assert_eq!(toml, "metadata-ttl = \"120s\"\nblock-size = \"4KiB\"\n");
}

#[test]
fn memory_that_cannot_hold_four_blocks_is_refused_with_what_can() {
    let said = Shell::new().fail(3, &["check", "--memory", "4MiB", "--block-size", "1MiB", "mem:"]);
    assert!(said.contains("--memory: memory = \"4MiB\"") && said.contains("at least 5MiB"), "{said}");
}
