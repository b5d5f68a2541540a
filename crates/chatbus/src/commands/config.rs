//! `chatbus config`.

use std::io::Write as _;

use serde_json::{Value, json};

use super::{Failure, Outcome};
use crate::cli::ConfigCommand;
use crate::settings::{self, Environment};
use crate::terminal;

pub(crate) fn run(what: ConfigCommand, environment: &Environment) -> Outcome {
    let mut out = std::io::stdout().lock();
    match what {
        ConfigCommand::Schema { markdown: true } => {
            out.write_all(settings::markdown(&settings::all()).as_bytes())?;
        }
        ConfigCommand::Schema { markdown: false } => {
            writeln!(out, "{:#}", settings::json_schema(&settings::all()))?;
        }
        ConfigCommand::Show { json, settings: flags } => {
            let loaded = settings::load(&settings::all(), flags.config.as_deref(), environment, flags.layer);
            if json {
                writeln!(out, "{:#}", as_json(&loaded.values))?;
            } else {
                let rows: Vec<_> = loaded.values.masked().collect();
                let width = rows.iter().map(|(spec, _, _)| spec.name.len()).max().unwrap_or_default();
                for (spec, value, origin) in rows {
                    let shown = value.map_or_else(|| "-".to_owned(), |text| terminal::safe(&text));
                    writeln!(out, "{:width$}  {shown}  ({origin})", spec.name)?;
                }
            }
            if !loaded.problems.is_empty() {
                return Err(Failure::Configuration(loaded.problems));
            }
        }
    }
    Ok(())
}

/// The masked settings, as `/_debug/config` shows them too.
pub(crate) fn as_json(values: &chatbus_runtime::settings::Values) -> Value {
    let entry = |(spec, value, origin): (&chatbus_runtime::settings::SettingSpec, Option<String>, &_)| {
        let origin: &chatbus_runtime::settings::Origin = origin;
        (spec.name.to_owned(), json!({ "value": value, "origin": origin.to_string() }))
    };
    Value::Object(values.masked().map(entry).collect())
}
