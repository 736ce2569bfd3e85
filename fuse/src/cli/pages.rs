//! Completions and the manual, made from the command line's own definition.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::outcome::{Exit, Failure};
use crate::process::say;

/// Print the completions of a shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionCommand {
    /// Which shell
    shell: Shell,
}

/// Print the manual, or write its pages into a directory.
#[derive(Debug, Args)]
pub(crate) struct ManCommand {
    /// Write rfuse.1, rfuse-mount.1, … into this directory
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// What stands below every long help, and so in the manual.
pub(super) const AFTER_HELP: &str = "\
URLs:
  az://ACCOUNT/CONTAINER[/PREFIX]   https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX][?SAS]
  s3://BUCKET[/PREFIX]              file:///DIR              mem:

Settings:
  Each setting has one name in four dresses: --block-size, RFUSE_BLOCK_SIZE, block-size = \"4KiB\" in a file, and
  blockSize as a volume attribute. Defaults < files < environment < flags. Files: /etc/rfuse/config.toml, then
  $XDG_CONFIG_HOME/rfuse/config.toml, then --config. `rfuse config show` says what is in force, and from where.
  Sizes: 4KiB, 16MiB, 1.5GiB, 4K, 4096. Times: 500ms, 30s, 5m, 2d. Shares: 5%.

Exit codes:
  0 done, 1 failed, 2 wrong usage, 3 configuration, 4 credentials, 5 not found, 6 network or store,
  7 mount point, 8 no FUSE here, 9 still busy

fstab:
  az://acme/logs  /mnt/logs  fuse.rfuse  _netdev,nofail,allow_other,sas_file=/etc/rfuse/logs.sas  0 0";

impl CompletionCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "rfuse", &mut text);
        say(String::from_utf8_lossy(&text).trim_end());
        Ok(())
    }
}

impl ManCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let broken = |error: std::io::Error| {
            Failure::new(Exit::Failed, "write the manual", error.to_string(), "name a directory that can be written")
        };
        match self.dir {
            Some(dir) => write_pages(&dir).map_err(broken),
            None => {
                say(String::from_utf8_lossy(&page(Cli::command()).map_err(broken)?).trim_end());
                Ok(())
            }
        }
    }
}

fn page(command: Command) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.disable_help_subcommand(true)).render(&mut text)?;
    Ok(text)
}

fn write_pages(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let root = Cli::command();
    std::fs::File::create(dir.join("rfuse.1"))?.write_all(&page(root.clone())?)?;
    for verb in root.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("rfuse-{}", verb.get_name());
        let file = dir.join(format!("{name}.1"));
        std::fs::write(file, page(verb.clone().name(name))?)?;
    }
    Ok(())
}

/// `docs/settings.md`: the reference of the settings.
#[cfg(test)]
fn settings_page() -> String {
    use rfuse_config::{ALIASES, Group, PROFILES, SETTINGS};
    use std::fmt::Write as _;

    let mut text = "# Settings\n\nMade from the table that also makes the flags; `RFUSE_UPDATE_DOCS=1 cargo test -p rfuse-fuse settings` \
        writes it.\nDefaults < `/etc/rfuse/config.toml` < `$XDG_CONFIG_HOME/rfuse/config.toml` < `--config FILE` < `[mount.NAME]` in \
        them < environment < flags and the URL.\nA volume attribute has the same name in camel case: `blockSize`. A secret has no flag, because \
        everyone can read those.\n"
        .to_owned();
    for group in Group::ALL {
        let _ = write!(
            text,
            "\n## {}\n\n| setting | variable | value | default | what it does |\n|---|---|---|---|---|\n",
            group.heading()
        );
        for setting in SETTINGS.iter().filter(|setting| setting.group == group) {
            let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
            let (name, variable, value, help) = (setting.name, setting.variable(), setting.placeholder(), setting.help);
            let _ = writeln!(text, "| `{name}` | `{variable}` | {value} | {default} | {help} |");
        }
    }
    text.push_str("\n## Profiles\n\n`--profile` sets other defaults; what is set anywhere stays as it is set.\n");
    for profile in PROFILES {
        let values: Vec<String> = profile.defaults.iter().map(|(name, value)| format!("`{name}` {value}")).collect();
        let values = if values.is_empty() { "the defaults above".to_owned() } else { values.join(", ") };
        let _ = write!(text, "\n- **{}** ({values}): {}.\n", profile.name, profile.why);
    }
    text.push_str("\n## Variables of the clouds' own tools\n\n| variable | stands for | with |\n|---|---|---|\n");
    for (variable, setting, cloud) in ALIASES {
        let _ = writeln!(text, "| `{variable}` | `{setting}` | {cloud:?} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_of_the_settings_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
        if std::env::var_os("RFUSE_UPDATE_DOCS").is_some() {
            std::fs::write(&path, settings_page()).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == settings_page(),
            "docs/settings.md is stale: RFUSE_UPDATE_DOCS=1 cargo test -p rfuse-fuse settings"
        );
    }

    #[test]
    fn the_manual_names_every_exit_code() {
        let text = AFTER_HELP.split_whitespace().collect::<Vec<_>>().join(" ");
        for (code, meaning) in Exit::MEANINGS {
            assert!(text.contains(&format!("{code} {meaning}")), "{code}");
        }
    }

    #[test]
    fn a_page_is_written_for_every_verb() {
        let folder = tempfile::tempdir().unwrap();
        write_pages(folder.path()).unwrap();
        for name in
            ["rfuse", "rfuse-mount", "rfuse-unmount", "rfuse-list", "rfuse-stats", "rfuse-check", "rfuse-config"]
        {
            let page = std::fs::read_to_string(folder.path().join(format!("{name}.1"))).unwrap();
            assert!(page.contains(".SH NAME"), "{name}");
        }
        assert!(!folder.path().join("rfuse-daemon.1").exists());
    }
}
