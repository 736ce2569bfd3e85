//! `rfuse recover`: what became of unfinished writes?

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use rfuse_config::{ByteSize, MountConfig, Secret};
use rfuse_fs::Leftover;
use serde::Serialize;

use super::setting_flags::SettingFlags;
use crate::assemble;
use crate::outcome::{Exit, Failure, one_line};
use crate::process::say;
use crate::screen::age;
use crate::settings::{Said, gather};

/// Show, store or discard what was written and never stored.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(crate) struct RecoverCommand {
    /// A URL, or a named mount; without one, --list shows what is left of every mount
    #[arg(value_name = "URL|NAME")]
    url: Option<String>,
    /// Show the files; the default
    #[arg(long)]
    list: bool,
    /// Store them, each only over the version it was opened at
    #[arg(long, conflicts_with_all = ["list", "discard"], requires = "url")]
    upload: bool,
    /// Throw them away
    #[arg(long, conflicts_with_all = ["list", "upload"], requires = "url")]
    discard: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Read settings from this file too
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingFlags,
}

const LONG: &str = "Show, store or discard what was written and never stored.

Files that are being written lie in the spool until their objects are stored. What a killed process, a store that \
failed or a second writer left there is found here; the files of living mounts are not shown. With --upload each file \
is stored under the condition it was opened with: if somebody else has stored the object since, it stays in the spool \
and the command fails.";

/// One file, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    url: String,
    key: String,
    size: u64,
    replaces: Option<String>,
    age_seconds: u64,
    bytes: String,
}

impl RecoverCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        super::quiet_log();
        let what = "recover what was not stored";
        let target = self.url.as_deref().map(Secret::new);
        let said = Said { target, file: self.config.clone(), values: self.settings.0.clone() };
        let config = gather(&said).and_then(|gathered| gathered.resolve()).map_err(|e| Failure::from(e).of(what))?;
        let root = config.fs.spool.clone().unwrap_or_default();
        let found = Leftover::all(&root).map_err(|error| {
            let why = format!("{}: {error}", root.display());
            Failure::new(Exit::Failed, what, why, "name the spool that the mount used with --spool")
        })?;
        let origin = self.url.is_some().then(|| config.fs.origin.clone());
        let found: Vec<Leftover> =
            found.into_iter().filter(|one| origin.as_ref().is_none_or(|origin| *origin == one.origin)).collect();
        if self.upload {
            return upload(config, &found);
        }
        if self.discard {
            return found.iter().try_for_each(discard);
        }
        self.show(&found);
        Ok(())
    }

    fn show(&self, found: &[Leftover]) {
        let rows = found.iter().map(row);
        if self.json {
            say(serde_json::to_string_pretty(&rows.collect::<Vec<_>>()).unwrap_or_default());
            return;
        }
        if found.is_empty() {
            say("nothing was left");
        }
        for row in rows {
            let kind = if row.replaces.is_some() { "changed" } else { "new" };
            say(format!(
                "{} {}  {kind}, {}, written {} ago, {}",
                one_line(&row.url),
                row.key,
                ByteSize(row.size),
                age(row.age_seconds as f64),
                row.bytes
            ));
        }
    }
}

fn row(leftover: &Leftover) -> Row {
    let age = SystemTime::now().duration_since(leftover.modified).unwrap_or_default();
    Row {
        url: leftover.origin.clone(),
        key: leftover.key.to_string(),
        size: leftover.size,
        replaces: leftover.version.as_ref().map(ToString::to_string),
        age_seconds: age.as_secs(),
        bytes: leftover.data.display().to_string(),
    }
}

fn discard(leftover: &Leftover) -> Result<(), Failure> {
    leftover.discard().map_err(|error| {
        let what = format!("discard {}", leftover.data.display());
        Failure::new(Exit::Failed, &what, error.to_string(), "remove it by hand")
    })?;
    say(format!("discarded {}", leftover.key));
    Ok(())
}

fn upload(mut config: MountConfig, found: &[Leftover]) -> Result<(), Failure> {
    let what = "store what was left";
    config.fs.read_only = false;
    let runtime = assemble::runtime().map_err(|error| Failure::from(error).of(what))?;
    let files = assemble::files(&config, &runtime).map_err(|error| Failure::from(error).of(what))?;
    let mut left = 0;
    for leftover in found {
        match runtime.block_on(files.recover(leftover)) {
            Ok(()) => say(format!("stored {}", leftover.key)),
            Err(error) => {
                left += 1;
                say(format!("kept {}: {}", leftover.key, one_line(&error.to_string())));
            }
        }
    }
    if left == 0 {
        return Ok(());
    }
    let why = format!("{left} of {} files could not be stored", found.len());
    Err(Failure::new(Exit::Failed, what, why, "look at their bytes in the spool, or give them up with --discard"))
}
