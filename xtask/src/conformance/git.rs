//! A repository cloned, checked, changed and packed on the mount, and a program built and run there.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::case::Case;
use super::stage::{Stage, succeed};
use crate::shell::{cargo, command, root};

const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Folders of this checkout that become a repository of some hundred files.
const SOURCES: [&str; 3] = ["fs", "fuse", "docs"];
const SHORT: [&str; 1] = ["fs"];

pub(super) fn run(stage: &mut Stage<'_>) -> Result<Vec<Case>> {
    let origin = stage.local().join("origin");
    make_origin(&origin, if stage.quick { &SHORT } else { &SOURCES })?;
    let clone = stage.mounted().join("clone");
    let mut cases = vec![
        Case::of(
            "clone",
            git(stage.local().as_path(), &["clone", "--quiet", "--no-hardlinks", "origin"], Some(&clone)),
        ),
        Case::of("fsck", git(&clone, &["fsck", "--full", "--strict"], None)),
        Case::of("clean-after-clone", is_clean(&clone)),
        Case::of("commit", commit(&clone)),
        Case::of("branch-and-back", branch_and_back(&clone)),
        Case::of("gc", git(&clone, &["gc", "--quiet", "--prune=now"], None)),
        Case::of("build-and-run", build(&stage.mounted().join("program"))),
    ];
    stage.remount()?;
    cases.push(Case::of("fsck-after-remount", git(&clone, &["fsck", "--full", "--strict"], None)));
    cases.push(Case::of("clean-after-remount", is_clean(&clone)));
    Ok(cases)
}

fn git(folder: &Path, words: &[&str], last: Option<&Path>) -> Result<()> {
    let mut run = command("git", &["-c", "user.name=Nobody", "-c", "user.email=nobody@example.com"]);
    run.args(words).args(last).current_dir(folder);
    // Nothing of the developer's own settings.
    run.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    succeed(&mut run, LIMIT).map(drop)
}

fn make_origin(origin: &Path, folders: &[&str]) -> Result<()> {
    std::fs::create_dir(origin)?;
    git(origin, &["init", "--quiet", "--initial-branch=main"], None)?;
    for folder in folders {
        succeed(command("cp", &["-r"]).arg(root().join(folder)).arg(origin), LIMIT)?;
        git(origin, &["add", "--all"], None)?;
        git(origin, &["commit", "--quiet", "--message", folder], None)?;
    }
    Ok(())
}

fn is_clean(clone: &Path) -> Result<()> {
    let mut run = command("git", &["status", "--porcelain"]);
    let said = succeed(run.current_dir(clone), LIMIT)?;
    ensure!(said.is_empty(), "git status says: {}", said.trim());
    Ok(())
}

fn commit(clone: &Path) -> Result<()> {
    std::fs::write(clone.join("fs/Cargo.toml"), "changed\n")?;
    std::fs::remove_file(clone.join("fs/tests/names.rs"))?;
    git(clone, &["add", "--all"], None)?;
    git(clone, &["commit", "--quiet", "--message", "change"], None)?;
    is_clean(clone)
}

fn branch_and_back(clone: &Path) -> Result<()> {
    git(clone, &["checkout", "--quiet", "-b", "other", "HEAD~1"], None)?;
    git(clone, &["mv", "fs/src", "fs/moved"], None)?;
    git(clone, &["commit", "--quiet", "--message", "move"], None)?;
    git(clone, &["checkout", "--quiet", "main"], None)?;
    ensure!(clone.join("fs/src").is_dir() && !clone.join("fs/moved").exists(), "the folder is not back");
    git(clone, &["merge", "--quiet", "--no-edit", "other"], None)?;
    is_clean(clone)
}

/// A library and a program that uses it, built twice, sources and products on the mount.
fn build(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder.join("src"))?;
    std::fs::write(folder.join("Cargo.toml"), "[package]\nname = \"program\"\nedition = \"2024\"\n[workspace]\n")?;
    std::fs::write(folder.join("src/lib.rs"), "pub fn answer() -> u32 { 41 }\n")?;
    std::fs::write(folder.join("src/main.rs"), "fn main() { println!(\"{}\", program::answer()); }\n")?;
    ensure!(run_program(folder)? == "41\n", "the program says something else");
    std::fs::write(folder.join("src/lib.rs"), "pub fn answer() -> u32 { 42 }\n")?;
    ensure!(run_program(folder)? == "42\n", "a changed source was not built again");
    Ok(())
}

fn run_program(folder: &Path) -> Result<String> {
    let mut run = cargo(&["run", "--quiet", "--offline"]);
    run.current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target"));
    // Incremental builds link files hard, and warn where they have to copy them.
    run.env("CARGO_INCREMENTAL", "0");
    succeed(&mut run, LIMIT)
}
