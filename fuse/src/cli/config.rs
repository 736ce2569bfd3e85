//! `rfuse config show` and `rfuse config convert`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rfuse_config::{Secret, blobfuse2};
use serde::Serialize;

use super::setting_flags::SettingFlags;
use crate::outcome::{Exit, Failure, one_line};
use crate::process::say;
use crate::settings::{Said, gather};

/// Show the settings in force, or turn those of blobfuse2 into ours.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show every setting with its value and where that was written
    Show(Show),
    /// Turn a configuration or the options of blobfuse2 into a file of ours
    Convert(Convert),
}

#[derive(Debug, Args)]
struct Show {
    /// A URL or named mount, whose settings count then
    #[arg(value_name = "URL|NAME")]
    url: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Read settings from this file too
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rfuse config convert blobfuse2.yaml > config.toml\n  \
                        rfuse config convert -o attr_timeout=120,--block-cache-block-size=0.00390625")]
struct Convert {
    /// A blobfuse2 configuration (YAML)
    file: Option<PathBuf>,
    /// Options of blobfuse2, or of a volume's mountOptions, separated by commas
    #[arg(short, value_name = "WORDS", allow_hyphen_values = true)]
    options: Vec<String>,
}

/// One setting, as JSON.
#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    value: String,
    source: String,
    help: &'static str,
}

impl ConfigCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::Show(show) => show.run(),
            Verb::Convert(convert) => convert.run(),
        }
    }
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let target = self.url.map(Secret::new);
        let gathered = gather(&Said { target, file: self.config, values: self.settings.0 })?;
        let lines = gathered.layers.effective().into_iter().map(|line| Line {
            name: line.setting.name,
            value: line.value,
            source: line.source.to_string(),
            help: line.setting.help,
        });
        if self.json {
            say(serde_json::to_string_pretty(&lines.collect::<Vec<_>>()).unwrap_or_default());
            return Ok(());
        }
        for line in lines {
            let value = if line.value.is_empty() { "-".to_owned() } else { one_line(&line.value) };
            say(format!("{:<22} {value:<22} {}", line.name, one_line(&line.source)));
        }
        Ok(())
    }
}

impl Convert {
    fn run(self) -> Result<(), Failure> {
        let mut conversion = blobfuse2::Conversion::default();
        if let Some(path) = &self.file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                let what = format!("read {}", path.display());
                Failure::new(Exit::Config, &what, error.to_string(), "check the path and its permissions")
            })?;
            conversion.yaml(&text).map_err(|why| {
                let what = format!("convert {}", path.display());
                Failure::new(Exit::Config, &what, why, "check that it is a configuration of blobfuse2, in YAML")
            })?;
        }
        for words in &self.options {
            conversion.options(words);
        }
        if self.file.is_none() && self.options.is_empty() {
            let help = "rfuse config convert FILE.yaml, or -o OPTIONS";
            return Err(Failure::new(Exit::Usage, "convert nothing", "neither a file nor options are given", help));
        }
        say(conversion.toml().trim_end());
        Ok(())
    }
}
