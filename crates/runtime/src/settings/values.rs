//! From layers of texts to checked values.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::parse::{parse_bool, parse_bytes, parse_list};
use super::{Kind, Problem, SettingSpec};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nothing set it.
    Default,
    /// The configuration file.
    File(String),
    /// An environment variable, by its name.
    Environment(String),
    /// A command-line flag, by its name.
    Flag(String),
}

/// What a setting is.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value as text; `None` when nothing set it and it has no default.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// Every setting's value, checked.
#[derive(Clone, Default)]
pub struct Values(BTreeMap<&'static str, (SettingSpec, Setting)>);

/// Picks each setting's value from layers, the later ones winning, and checks it. A blank text in the
/// environment counts as not set, as compose files and shells leave such behind.
pub fn resolve(specs: &[SettingSpec], layers: &[Vec<(String, String, Origin)>]) -> (Values, Vec<Problem>) {
    let mut values = Values::default();
    let mut problems = Vec::new();
    for spec in specs {
        let mut setting = Setting { value: spec.default.map(str::to_owned), origin: Origin::Default };
        for layer in layers {
            let names = std::iter::once(&spec.name).chain(spec.aliases);
            let found = names.filter_map(|name| {
                layer.iter().find(|(key, text, _)| key == name && !text.trim().is_empty())
            });
            if let Some((name, text, origin)) = found.into_iter().next() {
                match spec.kind.check(text) {
                    Ok(()) => {
                        let text = if spec.kind == Kind::Text { text } else { text.trim() };
                        setting = Setting { value: Some(text.to_owned()), origin: origin.clone() };
                    }
                    Err(right) => {
                        let shown = spec.kind.shown(text);
                        problems
                            .push(Problem::new(name, format!("{shown:?} ({origin}) is not valid: {right}")));
                    }
                }
            }
        }
        values.0.insert(spec.name, (*spec, setting));
    }
    (values, problems)
}

// === impl Values ===

impl Values {
    /// The text of a setting, if it has one.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.1.value.as_deref()
    }

    /// Whether something other than a default set it.
    pub fn is_set(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_some_and(|(_, setting)| setting.value.is_some() && setting.origin != Origin::Default)
    }

    /// The truth value of a setting, if it has one.
    pub fn bool(&self, name: &str) -> Option<bool> {
        parse_bool(self.text(name)?)
    }

    /// The number of a setting; 0 when it has none.
    pub fn integer(&self, name: &str) -> u64 {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// The time of a setting; zero when it has none.
    pub fn millis(&self, name: &str) -> Duration {
        Duration::from_millis(self.integer(name))
    }

    /// The size of a setting; 0 when it has none.
    pub fn bytes(&self, name: &str) -> u64 {
        self.text(name).and_then(parse_bytes).unwrap_or_default()
    }

    /// The texts of a setting.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.text(name).map(parse_list).unwrap_or_default()
    }

    /// The path of a setting, if it has one.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// Sets a value after the fact, such as a secret read from the file that names it.
    pub fn set(&mut self, name: &str, setting: Setting) {
        if let Some((_, known)) = self.0.get_mut(name) {
            *known = setting;
        }
    }

    /// Every setting, with secrets masked.
    pub fn masked(&self) -> impl Iterator<Item = (&SettingSpec, Option<String>, &Origin)> {
        self.0.values().map(|(spec, setting)| {
            let shown = setting.value.as_deref().map(|text| spec.kind.shown(text));
            (spec, shown, &setting.origin)
        })
    }
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.masked().map(|(spec, value, _)| (spec.name, value))).finish()
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}
