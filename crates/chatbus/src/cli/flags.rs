//! Every setting as a flag, made from the declarations.

use std::path::PathBuf;

use chatbus_runtime::settings::{Kind, Origin};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::settings;

/// The settings given as flags, and the configuration file.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingFlags {
    pub(crate) config: Option<PathBuf>,
    pub(crate) layer: Vec<(String, String, Origin)>,
}

const CONFIG: &str = "config-file";

// === impl SettingFlags ===

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new(CONFIG)
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Configuration file; ./chatbus.toml when it is there");
        let mut command = command.arg(config);
        for spec in settings::all() {
            // A secret on a command line would be seen by everyone on the machine.
            if spec.kind == Kind::Secret {
                continue;
            }
            let flag = spec.name.to_ascii_lowercase().replace('_', "-");
            let mut arg = Arg::new(spec.name)
                .value_name(if spec.kind == Kind::List { "NAME" } else { "VALUE" })
                .help(spec.help)
                .help_heading("Settings (each also as an environment variable; see docs/settings.md)")
                .hide_short_help(!matches!(
                    spec.name,
                    "PORT" | "DATA_DIR" | "MESSAGE_BUS_DRIVER" | "TWITCH_CHANNELS"
                ));
            if let (Kind::List, Some(singular)) = (spec.kind, flag.strip_suffix('s')) {
                arg = arg.action(ArgAction::Append).visible_alias(singular.to_owned());
            }
            command = command.arg(arg.long(flag));
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self { config: matches.get_one::<PathBuf>(CONFIG).cloned(), layer: Vec::new() };
        for spec in settings::all() {
            if spec.kind == Kind::Secret || matches.value_source(spec.name) != Some(ValueSource::CommandLine)
            {
                continue;
            }
            let texts: Vec<&str> =
                matches.get_many::<String>(spec.name).into_iter().flatten().map(String::as_str).collect();
            let flag = format!("--{}", spec.name.to_ascii_lowercase().replace('_', "-"));
            flags.layer.push((spec.name.to_owned(), texts.join(","), Origin::Flag(flag)));
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
