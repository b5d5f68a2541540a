//! What is said of the settings, made from the settings.

use std::fmt::Write as _;

use chatbus_runtime::settings::{Kind, SettingSpec};
use serde_json::{Value, json};

/// The reference page.
pub(crate) fn markdown(specs: &[SettingSpec]) -> String {
    let mut page = String::from(
        "# Settings\n\n\
         Made by `cargo xtask docs` from the code; edit the declarations, not this page.\n\n\
         Order, later wins: built-in defaults, `chatbus.toml` (or `--config FILE`), environment, flags.\n\
         In the file and as flags the names are the same in lower case (`nats_url`, `--nats-url`); a table is a shorthand\n\
         (`[nats]` with `url`). Unknown keys in the file are errors. Any secret `X` may also be given as `X_FILE`, a file's path.\n\
         Lists split on commas and white space; as a flag they repeat (`--twitch-channel a --twitch-channel b`).\n\n\
         | variable | kind | default | meaning |\n|---|---|---|---|\n",
    );
    for spec in specs {
        let names: Vec<String> =
            std::iter::once(&spec.name).chain(spec.aliases).map(|name| format!("`{name}`")).collect();
        let default = spec.default.map(|text| format!("`{text}`")).unwrap_or_default();
        let _ = writeln!(page, "| {} | {} | {default} | {} |", names.join(" "), kind(spec.kind), spec.help);
    }
    page
}

/// The JSON Schema of the configuration file.
pub(crate) fn json_schema(specs: &[SettingSpec]) -> Value {
    let properties: serde_json::Map<String, Value> = specs
        .iter()
        .map(|spec| {
            let mut schema = match spec.kind {
                Kind::Bool => json!({"type": "boolean"}),
                Kind::Integer { min, max } | Kind::Millis { min, max } => {
                    json!({"type": "integer", "minimum": min, "maximum": max})
                }
                Kind::Choice(words) => json!({"enum": words}),
                Kind::List | Kind::Urls(_) => {
                    json!({"type": ["string", "array"], "items": {"type": "string"}})
                }
                Kind::Bytes => json!({"type": ["string", "integer"]}),
                Kind::Text | Kind::Secret | Kind::Path => json!({"type": "string"}),
            };
            schema["description"] = json!(spec.help);
            if let Some(default) = spec.default {
                schema["default"] = match spec.kind {
                    Kind::Integer { .. } | Kind::Millis { .. } => {
                        json!(default.parse::<u64>().unwrap_or_default())
                    }
                    _ => json!(default),
                };
            }
            (spec.name.to_ascii_lowercase(), schema)
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "chatbus.toml",
        "type": "object",
        "properties": properties,
        "additionalProperties": true,
    })
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Secret => "secret".to_owned(),
        Kind::Bool => "`true` `false`".to_owned(),
        Kind::Integer { min, max } => format!("{min} to {max}"),
        Kind::Millis { min, max } => format!("ms, {min} to {max}"),
        Kind::Bytes => "size".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" "),
        Kind::List => "list".to_owned(),
        Kind::Urls(schemes) => {
            schemes.iter().map(|scheme| format!("`{scheme}://`")).collect::<Vec<_>>().join(" ")
        }
        Kind::Path => "path".to_owned(),
    }
}
