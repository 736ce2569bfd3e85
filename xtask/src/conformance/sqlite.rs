//! A database, the program that asks most of a file system's locks, mappings and synchronisation.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::case::Case;
use super::stage::{Stage, succeed};
use crate::shell::{command, spawn};
use crate::tools;

const LIMIT: Duration = Duration::from_secs(5 * 60);

/// Transactions of each of two writers.
const WHOLE: u32 = 200;
const SHORT: u32 = 25;

/// How a transaction is made safe. Each mode asks for other calls: one maps a shared index, the others write,
/// empty or delete a journal.
const MODES: [&str; 4] = ["wal", "delete", "truncate", "persist"];

pub(super) fn run(stage: &mut Stage<'_>) -> Result<Vec<Case>> {
    tools::debian(&[("sqlite3", "sqlite3")])?;
    let transactions = if stage.quick { SHORT } else { WHOLE };
    let mut cases = Vec::new();
    for mode in MODES {
        let file = stage.mounted().join(mode);
        cases.push(Case::of(format!("{mode}-two-writers"), two_writers(&file, mode, transactions)));
    }
    stage.remount()?;
    for mode in MODES {
        let file = stage.mounted().join(mode);
        cases.push(Case::of(format!("{mode}-after-remount"), is_whole(&file, transactions)));
    }
    Ok(cases)
}

fn two_writers(file: &Path, mode: &str, transactions: u32) -> Result<()> {
    let said = sql(file, &format!("pragma journal_mode={mode}; create table t(writer int, number int, body blob);"))?;
    ensure!(said.trim() == mode, "the journal is {} and not {mode}", said.trim());
    let mut writers = Vec::new();
    for writer in 0..2 {
        let mut run = command("sqlite3", &["-cmd", ".timeout 60000", "-bail"]);
        run.arg(file).arg(work(writer, transactions)).stdout(std::process::Stdio::null());
        writers.push(spawn(&mut run)?);
    }
    for mut writer in writers {
        let ended = writer.wait()?;
        ensure!(ended.success(), "a writer ended with {ended}");
    }
    is_whole(file, transactions)
}

/// Transactions of one row that stays and one that is rewritten.
fn work(writer: u32, transactions: u32) -> String {
    let rows = (0..transactions).map(|number| {
        format!(
            "begin immediate; insert into t values({writer}, {number}, randomblob(3000)); \
             update t set body = randomblob(2000) where writer = {writer} and number = {number} - 3; commit;"
        )
    });
    rows.collect()
}

fn is_whole(file: &Path, transactions: u32) -> Result<()> {
    let said = sql(file, "pragma integrity_check; select count(*), count(distinct writer * 100000 + number) from t;")?;
    let expected = format!("ok\n{0}|{0}", 2 * transactions);
    ensure!(said.trim() == expected, "the database says {said:?} and not {expected:?}");
    Ok(())
}

fn sql(file: &Path, text: &str) -> Result<String> {
    succeed(command("sqlite3", &["-cmd", ".timeout 60000"]).arg(file).arg(text), LIMIT).context("sqlite3")
}
