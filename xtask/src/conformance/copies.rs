//! A tree with everything a tree can have, copied onto the mount and back by the programs people use.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::case::Case;
use super::stage::{Stage, succeed};
use crate::shell::command;
use crate::tools;

const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Files of the widest folder.
const WHOLE: u32 = 500;
const SHORT: u32 = 40;

/// Long ago, so that no present time can be mistaken for it; with a fraction that must be kept.
const LONG_AGO: Duration = Duration::new(1_000_000_000, 123_456_789);

pub(super) fn run(stage: &mut Stage<'_>) -> Result<Vec<Case>> {
    tools::debian(&[("rsync", "rsync")])?;
    let (local, mounted) = (stage.local(), stage.mounted());
    let tree = local.join("tree");
    make_tree(&tree, if stage.quick { SHORT } else { WHOLE })?;
    // Bytes and names alone, which every store has.
    let plain = tree.join("plain");
    let mut cases = vec![
        Case::of("cp-r", copy("cp", &["-r"], &plain, &mounted.join("plain"))),
        Case::of("rsync-r", copy("rsync", &["-r"], &slashed(&plain), &mounted.join("rsync-plain"))),
        Case::of("rsync-inplace", copy("rsync", &["-r", "--inplace"], &slashed(&plain), &mounted.join("inplace"))),
        Case::of("cp-r-links", copy("cp", &["-r"], &tree, &mounted.join("links"))),
        Case::of("cp-a", copy("cp", &["-a"], &tree, &mounted.join("cp"))),
        Case::of("rsync-a", copy("rsync", &["-a"], &slashed(&tree), &mounted.join("rsync"))),
        Case::of("tar-x", unpack(&tree, &local.join("tree.tar"), &mounted.join("tar"))),
    ];
    stage.remount()?;
    for name in ["plain", "rsync-plain", "inplace"] {
        cases.push(Case::of(format!("{name}-has-the-same-bytes"), same_bytes(&plain, &mounted.join(name))));
    }
    cases.push(Case::of("links-has-the-same-bytes", same_bytes(&tree, &mounted.join("links"))));
    for name in ["cp", "rsync", "tar"] {
        cases.push(Case::of(format!("{name}-has-the-same-bytes"), same_bytes(&tree, &mounted.join(name))));
        cases.push(Case::of(format!("{name}-has-the-same-attributes"), same_attributes(&tree, &mounted.join(name))));
    }
    cases.push(Case::of("rsync-a-again-sends-nothing", sends_nothing(&tree, &mounted.join("rsync"))));
    let back = local.join("back");
    cases.push(Case::of("cp-a-back", copy("cp", &["-a"], &mounted.join("cp"), &back)));
    cases.push(Case::of("back-has-the-same-bytes", same_bytes(&tree, &back)));
    cases.push(Case::of("back-has-the-same-attributes", same_attributes(&tree, &back)));
    cases.push(Case::of("rm-r", succeed(command("rm", &["-r"]).arg(mounted.join("cp")), LIMIT).map(drop)));
    Ok(cases)
}

fn make_tree(tree: &Path, count: u32) -> Result<()> {
    for folder in ["deep/er/still", "plain/wide", "empty", "with space", "ünïcode"] {
        std::fs::create_dir_all(tree.join(folder))?;
    }
    for number in 0..count {
        let bytes = vec![number.to_le_bytes()[0]; (number * 37 % 5000) as usize];
        std::fs::write(tree.join(format!("plain/wide/{number}")), bytes)?;
    }
    let large: Vec<u8> = (0..20u32 << 20).map(|at| (at ^ at >> 11).to_le_bytes()[0]).collect();
    std::fs::write(tree.join("deep/er/still/large"), &large)?;
    std::fs::write(tree.join("plain/naïve\nline"), "odd names")?;
    std::fs::write(tree.join("ünïcode/naïve"), "odd names")?;
    std::fs::write(tree.join("with space/a file"), "spaces")?;
    std::fs::write(tree.join("program"), "#!/bin/sh\n")?;
    std::fs::File::create(tree.join("hole"))?.set_len(3 << 20)?;
    std::fs::write(tree.join("nothing"), "")?;
    symlink("deep/er", tree.join("to a folder"))?;
    symlink("nowhere", tree.join("to nothing"))?;
    for (name, mode) in [("program", 0o755), ("nothing", 0o600), ("deep/er/still/large", 0o440), ("deep", 0o700)] {
        std::fs::set_permissions(tree.join(name), std::fs::Permissions::from_mode(mode))?;
    }
    // Depth first, so that no time is changed again by what is done below.
    succeed(command("find", &[]).arg(tree).args(["-depth", "-exec", "touch", "-h", "-d", TOUCHED, "{}", "+"]), LIMIT)?;
    Ok(())
}

/// [`LONG_AGO`] in the words of touch.
const TOUCHED: &str = "@1000000000.123456789";

fn slashed(path: &Path) -> std::path::PathBuf {
    path.join("")
}

fn copy(program: &str, words: &[&str], from: &Path, to: &Path) -> Result<()> {
    succeed(command(program, words).arg(from).arg(to), LIMIT).map(drop)
}

fn unpack(tree: &Path, archive: &Path, to: &Path) -> Result<()> {
    succeed(command("tar", &["--format=posix", "-cf"]).arg(archive).arg("-C").arg(tree).arg("."), LIMIT)?;
    std::fs::create_dir(to)?;
    succeed(command("tar", &["-xpf"]).arg(archive).arg("-C").arg(to), LIMIT).map(drop)
}

fn same_bytes(tree: &Path, copy: &Path) -> Result<()> {
    succeed(command("diff", &["-r", "--no-dereference"]).arg(tree).arg(copy), LIMIT).map(drop)
}

fn sends_nothing(tree: &Path, copy: &Path) -> Result<()> {
    let said = succeed(command("rsync", &["-a", "--itemize-changes"]).arg(slashed(tree)).arg(copy), LIMIT)?;
    ensure!(said.is_empty(), "rsync would change: {}", said.trim());
    Ok(())
}

/// Mode, owner, size of files, targets of links and times of everything, as the tree has them.
fn same_attributes(tree: &Path, copy: &Path) -> Result<()> {
    let (mut todo, mut wrong) = (vec![std::path::PathBuf::new()], Vec::new());
    while let Some(path) = todo.pop() {
        let (here, there) = (tree.join(&path), copy.join(&path));
        let (a, b) = (here.symlink_metadata()?, there.symlink_metadata().with_context(|| path.display().to_string())?);
        // A link's own mode is everywhere 0777 on Linux.
        let facts = |meta: &std::fs::Metadata| {
            let size = if meta.is_dir() { 0 } else { meta.len() };
            (meta.mode(), meta.uid(), meta.gid(), size, meta.modified().ok())
        };
        if facts(&a) != facts(&b) || b.modified()? != UNIX_EPOCH + LONG_AGO {
            wrong.push(format!("{} is {:?} and not {:?}", path.display(), facts(&b), facts(&a)));
        }
        if a.is_dir() {
            for entry in std::fs::read_dir(&here)? {
                todo.push(path.join(entry?.file_name()));
            }
        }
    }
    ensure!(wrong.is_empty(), "{} differ, among them: {}", wrong.len(), wrong[0]);
    Ok(())
}
