//! A flag for each setting, made from the table.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use rfuse_config::{ByteSize, Group, Kind, SETTINGS, Setting, Source};

/// The settings of the command line, checked later with those of the other layers.
#[derive(Clone, Debug, Default)]
pub(crate) struct SettingFlags(pub(crate) Vec<(&'static Setting, String, Source)>);

/// What `-h` shows; `--help` shows all.
const COMMON: [&str; 9] = [
    "azure-auth",
    "sas-file",
    "aws-profile",
    "endpoint",
    "block-size",
    "memory",
    "metadata-ttl",
    "allow-other",
    "read-ahead",
];

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let shown = Group::ALL.iter().flat_map(|group| SETTINGS.iter().filter(move |s| s.group == *group));
        shown.filter(|setting| !setting.is_secret()).fold(command, |command, setting| command.arg(flag(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.placeholder())
        .help(setting.help.split(". ").next().unwrap_or_default().trim_end_matches('.'))
        .long_help(long_help(setting))
        .help_heading(setting.group.heading())
        .hide_short_help(!COMMON.contains(&setting.name))
        .action(ArgAction::Set);
    match setting.kind {
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg,
    }
}

/// Help, default, bounds and the other dresses of a setting.
pub(crate) fn long_help(setting: &Setting) -> String {
    let mut text = setting.help.to_owned();
    match setting.kind {
        Kind::Choice(words) => text.push_str(&format!(" One of {}.", words.join(", "))),
        Kind::Count { min, max } => text.push_str(&format!(" {min} to {max}.")),
        Kind::Size { min, max } => text.push_str(&format!(" {} to {}.", ByteSize(min), ByteSize(max))),
        _ => {}
    }
    if !setting.default.is_empty() {
        text.push_str(&format!(" Default {}.", setting.default));
    }
    text.push_str(&format!(" [{}]", setting.variable()));
    text
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = SETTINGS.iter().filter(|setting| !setting.is_secret()).filter_map(|setting| {
            let text = matches.get_one::<String>(setting.name)?;
            Some((setting, text.clone(), Source::Flag(setting.name.to_owned())))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}
