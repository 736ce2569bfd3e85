//! The run itself works from end to end, with a little of everything. What depends on time is not judged here.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn rfuse() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_BIN_EXE_rfuse-bench")).with_file_name("rfuse");
    let rfuse = std::env::var_os("RFUSE_TEST_BIN").map_or(beside, PathBuf::from);
    rfuse.exists().then_some(rfuse)
}

#[test]
fn every_group_is_measured_and_counts_are_right() {
    let (Some(rfuse), true) = (rfuse(), Path::new("/dev/fuse").exists()) else {
        eprintln!("SKIPPED: needs /dev/fuse and the rfuse binary (RFUSE_TEST_BIN or beside this one)");
        return;
    };
    if !Path::new(env!("CARGO_BIN_EXE_rfuse-bench")).with_file_name("rfuse-resim").exists() {
        eprintln!("SKIPPED: needs rfuse-resim beside this one");
        return;
    }
    if Command::new("fio").arg("--version").output().is_err() {
        eprintln!("SKIPPED: needs fio");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("table.json");
    let markdown = dir.path().join("table.md");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rfuse-bench"));
    command.args(["run", "--quick", "--rfuse"]).arg(rfuse).arg("--json").arg(&json).arg("--markdown").arg(&markdown);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let table: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let rows = table["rows"].as_array().unwrap();
    for row in rows {
        assert_ne!(row["verdict"], "failed", "{said}");
        let what = row["what"].as_str().unwrap();
        let counted = ["random", "mmap", "memory"].contains(&row["group"].as_str().unwrap())
            || what.starts_with("recall")
            || what.contains("bytes fetched a byte of the input");
        let requests = what.contains("requests");
        if counted || requests {
            assert_eq!(row["verdict"], "pass", "{said}");
        }
    }
    let groups: std::collections::BTreeSet<_> = rows.iter().map(|row| row["group"].as_str().unwrap()).collect();
    assert_eq!(groups.len(), rfuse_benches::rows::GROUPS.len());
    assert_eq!(
        std::fs::read_to_string(&markdown).unwrap().lines().filter(|l| l.starts_with('|')).count(),
        rows.len() + 2
    );
}
