//! Built-in defaults, then the file, then the environment, then flags; later wins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chatbus_runtime::settings::{Kind, Origin, Problem, Setting, SettingSpec, Values, resolve};

use super::file::{self, Layer};

/// The process's environment, as a value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

/// Checked values and all that was wrong.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) values: Values,
    pub(crate) problems: Vec<Problem>,
}

/// The file that is read when none is named and it is there.
const DEFAULT_FILE: &str = "chatbus.toml";

// === impl Environment ===

impl Environment {
    /// The real one. Variables that are not UTF-8 are left out: no setting can hold them.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the environment is read")]
    pub(crate) fn of_process() -> Self {
        let pairs = std::env::vars_os();
        Self(
            pairs
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        )
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    /// One variable, if it is set and not blank.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    fn layer(&self) -> Layer {
        let entry = |(name, value): (&String, &String)| {
            (name.clone(), value.clone(), Origin::Environment(name.clone()))
        };
        self.0.iter().map(entry).collect()
    }
}

/// Loads the settings.
pub(crate) fn load(
    specs: &[SettingSpec],
    config: Option<&Path>,
    environment: &Environment,
    flags: Layer,
) -> Loaded {
    let (file_layer, mut problems) = read_file(specs, config);
    let layers = [file_layer, environment.layer(), flags];
    let (mut values, invalid) = resolve(specs, &layers);
    problems.extend(invalid);
    for spec in specs.iter().filter(|spec| spec.kind == Kind::Secret) {
        read_secret_file(spec, &layers, &mut values, &mut problems);
    }
    Loaded { values, problems }
}

fn read_file(specs: &[SettingSpec], config: Option<&Path>) -> (Layer, Vec<Problem>) {
    let path = config.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_path_buf);
    let shown = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => file::read(&shown, &text, specs),
        Err(error) if config.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            (Vec::new(), Vec::new())
        }
        Err(error) => {
            (Vec::new(), vec![Problem::new("--config", format!("{shown} cannot be read: {error}"))])
        }
    }
}

/// A secret may stand in the file that `NAME_FILE` names; the later of `NAME` and `NAME_FILE` wins.
fn read_secret_file(spec: &SettingSpec, layers: &[Layer], values: &mut Values, problems: &mut Vec<Problem>) {
    let name = format!("{}_FILE", spec.name);
    let rank_of = |wanted: &str| {
        layers
            .iter()
            .rposition(|layer| layer.iter().any(|(key, text, _)| key == wanted && !text.trim().is_empty()))
    };
    let Some(rank) = rank_of(&name) else { return };
    if rank_of(spec.name).is_some_and(|own| own >= rank) {
        return;
    }
    let Some((_, path, origin)) = layers[rank].iter().find(|(key, _, _)| *key == name) else { return };
    match std::fs::read_to_string(path.trim()) {
        Ok(text) if text.trim().is_empty() => problems.push(Problem::new(&name, format!("{path} is empty"))),
        Ok(text) => {
            values.set(spec.name, Setting { value: Some(text.trim().to_owned()), origin: origin.clone() });
        }
        Err(error) => problems.push(Problem::new(&name, format!("{path} cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: [SettingSpec; 2] = [
        SettingSpec::new("TOKEN", Kind::Secret, ""),
        SettingSpec::new("PORT", Kind::Integer { min: 0, max: 9 }, "").default("8"),
    ];

    #[test]
    fn the_file_is_overruled_by_the_environment_and_that_by_flags() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "port = 1").unwrap();
        let flag = vec![("PORT".to_owned(), "3".to_owned(), Origin::Flag("--port".to_owned()))];
        let port = |environment: &[(&str, &str)], flags: Layer| {
            let loaded = load(&SPECS, Some(&path), &Environment::of(environment), flags);
            assert_eq!(loaded.problems, []);
            loaded.values.integer("PORT")
        };
        assert_eq!(port(&[], vec![]), 1);
        assert_eq!(port(&[("PORT", "2")], vec![]), 2);
        assert_eq!(port(&[("PORT", "2")], flag), 3);
    }

    #[test]
    fn a_secret_may_stand_in_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "hush\n").unwrap();
        let shown = path.display().to_string();
        let loaded = load(&SPECS, None, &Environment::of(&[("TOKEN_FILE", &shown)]), vec![]);
        assert_eq!(loaded.values.text("TOKEN"), Some("hush"));
        let both = load(&SPECS, None, &Environment::of(&[("TOKEN_FILE", &shown), ("TOKEN", "own")]), vec![]);
        assert_eq!(both.values.text("TOKEN"), Some("own"));
        let missing = load(&SPECS, None, &Environment::of(&[("TOKEN_FILE", "/nowhere/token")]), vec![]);
        assert_eq!(missing.problems[0].setting, "TOKEN_FILE");
    }

    #[test]
    fn a_file_that_is_named_must_be_there() {
        let loaded = load(&SPECS, Some(Path::new("/nowhere/chatbus.toml")), &Environment::default(), vec![]);
        assert_eq!(loaded.problems[0].setting, "--config");
    }
}
