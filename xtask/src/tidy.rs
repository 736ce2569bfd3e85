//! The house rules a compiler does not know.
//!
//! Rooms import only rooms below them, every source file says in its head what it is for, no file is dead,
//! unsafe code lives in named files, and only one file assembles the house.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::promises;
use crate::shell::{root, step};

/// Who may import whom; `xtask` stands beside the house and may use what it tests with.
const ARROWS: [(&str, &[&str]); 12] = [
    ("block", &[]),
    ("config", &["block"]),
    ("host", &["config"]),
    ("store", &["block", "config"]),
    ("prefetch", &["block", "config"]),
    ("cache", &["block", "config", "store"]),
    ("fs", &["block", "config", "store", "prefetch", "cache"]),
    ("fuse", &["block", "config", "host", "store", "prefetch", "cache", "fs"]),
    ("csi", &["config", "host"]),
    ("resim", &["config"]),
    ("benches", &["block", "config", "store", "prefetch", "cache", "fs"]),
    ("xtask", &["block", "config", "store"]),
];

/// The files that may hold unsafe code, each block with its safety argument.
const UNSAFE: [&str; 7] = [
    "benches/src/mapping.rs",
    "benches/src/server/delays.rs",
    "cache/src/memory/pool.rs",
    "fuse/src/kernel/device_clone.rs",
    "resim/src/device/cuda.rs",
    "resim/src/device/host.rs",
    "resim/src/files.rs",
];

/// The one file that names store, cache and fs together.
const ASSEMBLY: &str = "fuse/src/assemble.rs";

/// Checks every rule and reports all that is broken.
pub(crate) fn run() -> Result<()> {
    step("house rules", "arrows between rooms, file heads, dead files, unsafe code, promises with their tests");
    let mut broken = Vec::new();
    for (room, allowed) in ARROWS {
        let manifest = std::fs::read_to_string(root().join(room).join("Cargo.toml")).context(room)?;
        broken.extend(forbidden_arrows(room, allowed, &manifest));
        broken.extend(room_rules(room)?);
    }
    broken.extend(promises_without_tests()?);
    if broken.is_empty() {
        return Ok(());
    }
    bail!("{} house rules are broken:\n  {}", broken.len(), broken.join("\n  "))
}

/// The dependencies of a manifest that no arrow allows. Rooms test themselves, so dev-dependencies count too.
fn forbidden_arrows(room: &str, allowed: &[&str], manifest: &str) -> Vec<String> {
    let names = manifest.lines().filter_map(|line| line.strip_prefix("rfuse-"));
    let imported = names.filter_map(|rest| rest.split(['.', ' ', '=']).next());
    imported
        .filter(|name| *name != room && !allowed.contains(name))
        .map(|name| format!("{room} imports {name}: arrows point down, see ARCHITECTURE.md"))
        .collect()
}

fn room_rules(room: &str) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    let files = sources(&root().join(room))?;
    for (path, text) in &files {
        let name = path.strip_prefix(root())?.to_string_lossy().into_owned();
        broken.extend(file_rules(&name, text));
    }
    broken.extend(dead_files(&root().join(room).join("src"), &files)?);
    Ok(broken)
}

/// Rows of the document of promises that no test shows.
fn promises_without_tests() -> Result<Vec<String>> {
    let mut tests = BTreeSet::new();
    for (room, _) in ARROWS {
        for (path, text) in sources(&root().join(room))? {
            tests.extend(promises::functions(&text));
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            if path.starts_with(root().join("xtask/src/conformance")) {
                tests.insert(format!("suite:{stem}"));
            }
        }
    }
    let document = std::fs::read_to_string(root().join("docs/semantics.md")).context("docs/semantics.md")?;
    let list = std::fs::read_to_string(root().join("xtask/promises.txt")).context("xtask/promises.txt")?;
    Ok(promises::check(&document, &list, &tests))
}

fn file_rules(name: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if !text.starts_with("//! ") {
        broken.push(format!("{name} has no head: say what it is for in a //! comment"));
    }
    let code = text.lines().map(|line| line.split("//").next().unwrap_or(""));
    let has_unsafe =
        code.clone().any(|line| line.contains(concat!("unsafe", " {")) || line.contains(concat!("unsafe", " impl")));
    if has_unsafe && !UNSAFE.contains(&name) {
        broken.push(format!("{name} holds unsafe code and is not one of {UNSAFE:?}"));
    }
    let rooms = ["rfuse_store::", "rfuse_cache::", "rfuse_fs::"];
    let in_binary = name.starts_with("fuse/src/");
    if in_binary && name != ASSEMBLY && rooms.iter().all(|room| code.clone().any(|line| line.contains(room))) {
        broken.push(format!("{name} names store, cache and fs together: only {ASSEMBLY} does"));
    }
    broken
}

/// Source files no module declares.
fn dead_files(source: &Path, files: &BTreeMap<PathBuf, String>) -> Result<Vec<String>> {
    let mut declared = BTreeSet::new();
    for (path, text) in files {
        for line in text.lines() {
            let words = line.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            if let Some(module) = words.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
                declared.insert(module.to_owned());
            }
            if let Some(at) = line.trim().strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
                let file = path.parent().unwrap_or(source).join(at);
                declared.extend(file.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
    }
    let roots = ["lib", "main", "mod"];
    let inside = files.keys().filter(|path| path.starts_with(source) && !path.starts_with(source.join("bin")));
    Ok(inside
        .filter(|path| {
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            !roots.contains(&stem.as_str()) && !declared.contains(&stem)
        })
        .map(|path| format!("{} is dead: no module declares it", path.display()))
        .collect())
}

/// Every Rust file below a folder, with its text.
fn sources(folder: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.insert(path.clone(), std::fs::read_to_string(&path)?);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_that_runs_up_is_found() {
        let manifest = "[dependencies]\nrfuse-block.workspace = true\nrfuse-fs = { path = \"../fs\" }\n";
        assert_eq!(forbidden_arrows("cache", &["block"], manifest).len(), 1);
    }

    #[test]
    fn a_file_without_a_head_or_with_unnamed_unsafe_code_is_found() {
        assert_eq!(file_rules("fs/src/x.rs", "use a;\n").len(), 1);
        let text = format!("//! Head.\nfn f() {{ {} {{ g() }} }}\n", "unsafe");
        assert_eq!(file_rules("fs/src/x.rs", &text).len(), 1);
        assert!(file_rules(UNSAFE[0], &text).is_empty());
    }

    #[test]
    fn a_file_that_names_the_whole_house_is_found() {
        let text = "//! Head.\nuse rfuse_store::A;\nuse rfuse_cache::B;\nuse rfuse_fs::C;\n";
        assert_eq!(file_rules("fuse/src/session.rs", text).len(), 1);
        assert!(file_rules(ASSEMBLY, text).is_empty());
    }
}
