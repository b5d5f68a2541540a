//! The configuration file: TOML, keys as the settings' names in any case, tables as shorthand.
//!
//! `twitch_channels = ["a"]`, `TWITCH_CHANNELS = "a"` and `[twitch]` with `channels = ["a"]` are the same.

use chatbus_runtime::settings::{Origin, Problem, SettingSpec};

pub(super) type Layer = Vec<(String, String, Origin)>;

/// Reads a file's text. Keys that no setting has are problems.
pub(super) fn read(path: &str, text: &str, specs: &[SettingSpec]) -> (Layer, Vec<Problem>) {
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return (Vec::new(), vec![Problem::new(path, format!("not valid TOML: {error}"))]),
    };
    let mut layer = Vec::new();
    let mut problems = Vec::new();
    flatten("", &table, &mut |key, value| {
        let name = key.to_ascii_uppercase();
        let known = specs.iter().any(|spec| {
            spec.name == name
                || spec.aliases.contains(&name.as_str())
                || name.strip_suffix("_FILE").is_some_and(|base| base == spec.name)
        });
        match (known, scalar(value)) {
            (false, _) => problems.push(Problem::new(
                key,
                format!("{path} holds a key that no setting has; see `chatbus config schema`"),
            )),
            (true, None) => problems.push(Problem::new(
                &name,
                format!("{path}: use a text, a number, true, false, or a list of texts"),
            )),
            (true, Some(text)) => layer.push((name, text, Origin::File(path.to_owned()))),
        }
    });
    (layer, problems)
}

fn flatten(prefix: &str, table: &toml::Table, each: &mut dyn FnMut(&str, &toml::Value)) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}_{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, each),
            value => each(&key, value),
        }
    }
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            texts.map(|texts| texts.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbus_runtime::settings::Kind;

    const SPECS: [SettingSpec; 2] = [
        SettingSpec::new("TWITCH_CHANNELS", Kind::List, ""),
        SettingSpec::new("PORT", Kind::Integer { min: 0, max: 9 }, ""),
    ];

    #[test]
    fn names_lower_case_and_tables_are_the_same() {
        for text in [
            "TWITCH_CHANNELS = \"a,b\"",
            "twitch_channels = [\"a\", \"b\"]",
            "[twitch]\nchannels = [\"a\", \"b\"]",
        ] {
            let (layer, problems) = read("f", text, &SPECS);
            assert_eq!(problems, []);
            assert_eq!((layer[0].0.as_str(), layer[0].1.as_str()), ("TWITCH_CHANNELS", "a,b"), "{text}");
        }
    }

    #[test]
    fn unknown_keys_and_odd_values_are_named() {
        let (_, problems) = read("f", "prot = 1\nport = 1.5\n", &SPECS);
        let names: Vec<_> = problems.iter().map(|p| p.setting.as_str()).collect();
        assert_eq!(names, ["PORT", "prot"]);
        let (_, problems) = read("f", "port = ", &SPECS);
        assert!(problems[0].to_string().contains("not valid TOML"));
    }
}
