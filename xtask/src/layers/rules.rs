//! `layers.toml` as values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use super::imports::Package;
use super::{Excused, Violation};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Rules {
    /// By folder name, or by the beginning of one with a star.
    pub(super) layers: BTreeMap<String, u8>,
    #[serde(default)]
    pub(super) never: Vec<Never>,
    #[serde(default)]
    pub(super) same_layer: Vec<SameLayer>,
    pub(super) dev: Dev,
    pub(super) pure: Pure,
    pub(super) platform_names: PlatformNames,
    pub(super) environment: Allowed,
    pub(super) spawn: Allowed,
    #[serde(default)]
    pub(super) exception: Vec<Exception>,
}

/// A layer that may not see a lower one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Never {
    pub(super) from: u8,
    pub(super) to: u8,
}

/// One import between crates of one layer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SameLayer {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) reason: String,
}

/// Crates that tests may see.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dev {
    /// And nobody else.
    pub(super) only: Vec<String>,
    /// Beside those that production code may see.
    pub(super) also: Vec<String>,
}

/// Crates without an executor, sockets or a disk.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pure {
    pub(super) crates: Vec<String>,
    /// Dependencies that would change that.
    pub(super) never: Vec<String>,
}

/// Where a platform's name may stand.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlatformNames {
    /// Beside those of the platform crates.
    pub(super) names: Vec<String>,
    /// Beside the platform's own.
    pub(super) crates: Vec<String>,
    /// Platforms whose names are words that mean other things too: nothing is looked for.
    #[serde(default)]
    pub(super) ordinary: Vec<String>,
}

/// The crates that may do something.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Allowed {
    pub(super) crates: Vec<String>,
}

/// One file that may break one rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exception {
    pub(super) rule: String,
    pub(super) file: PathBuf,
    pub(super) reason: String,
}

// === impl Rules ===

impl Rules {
    /// The layer of a crate; the longest family that covers it when it is not named itself.
    pub(super) fn layer(&self, name: &str) -> Option<u8> {
        let family = |pattern: &str| pattern.strip_suffix('*').is_some_and(|start| name.starts_with(start));
        self.layers.get(name).copied().or_else(|| {
            let families = self.layers.iter().filter(|(pattern, _)| family(pattern));
            families.max_by_key(|(pattern, _)| pattern.len()).map(|(_, layer)| *layer)
        })
    }

    /// The names of all platforms, in lower case.
    pub(super) fn platforms(&self, packages: &[Package]) -> BTreeSet<String> {
        let crates = packages.iter().filter_map(|package| package.name.strip_prefix("platform-"));
        let all = crates.map(str::to_owned).chain(self.platform_names.names.iter().cloned());
        all.filter(|name| !self.platform_names.ordinary.contains(name)).collect()
    }

    /// What no exception covers, and the exceptions that covered the rest.
    pub(super) fn excuse(&self, found: Vec<Violation>) -> (Vec<Violation>, Excused) {
        let mut excused = Excused::new();
        let left = found.into_iter().filter(|violation| {
            let covers =
                |exception: &&Exception| exception.rule == violation.rule && exception.file == violation.file;
            match self.exception.iter().find(covers) {
                Some(exception) => {
                    excused.insert((exception.rule.clone(), exception.file.clone()));
                    false
                }
                None => true,
            }
        });
        (left.collect(), excused)
    }

    /// Exceptions that nothing needs, and lines without a reason.
    pub(super) fn unneeded(&self, excused: &Excused) -> Vec<Violation> {
        let wrong =
            |text: String| Violation { file: "layers.toml".into(), line: 0, rule: "exceptions", text };
        let unused = self.exception.iter().filter(|exception| {
            // Not `contains`, which wants an owned pair.
            !excused.iter().any(|(rule, file)| *rule == exception.rule && *file == exception.file)
        });
        let unused = unused.map(|exception| {
            wrong(format!(
                "nothing in {} needs the exception from {}",
                exception.file.display(),
                exception.rule
            ))
        });
        let reasons = self.exception.iter().map(|exception| &exception.reason);
        let reasons = reasons.chain(self.same_layer.iter().map(|pair| &pair.reason));
        let silent = reasons.filter(|reason| reason.trim().is_empty()).count();
        let silent = (silent > 0).then(|| wrong(format!("{silent} exceptions without a reason")));
        unused.chain(silent).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A small workspace's rules, for the tests of all checks.
    pub(crate) fn example() -> Rules {
        toml::from_str(
            r#"
            [layers]
            event = 0
            runtime = 0
            bus = 1
            "bus-*" = 2
            "platform-*" = 2
            ingress = 3
            sandbox = 3
            chatbus = 4
            [[never]]
            from = 3
            to = 2
            [[same-layer]]
            from = "runtime"
            to = "event"
            reason = "because"
            [dev]
            only = ["testkit"]
            also = ["sandbox"]
            [pure]
            crates = ["event"]
            never = ["tokio"]
            [platform-names]
            names = ["twilio"]
            crates = ["sandbox", "chatbus"]
            [environment]
            crates = ["chatbus"]
            [spawn]
            crates = []
            [[exception]]
            rule = "spawn"
            file = "crates/chatbus/src/supervisor.rs"
            reason = "the one place"
            "#,
        )
        .expect("the example is well formed")
    }

    fn spawn_in(file: &str) -> Violation {
        Violation { file: file.into(), line: 3, rule: "spawn", text: "spawns".to_owned() }
    }

    #[test]
    fn a_crate_is_in_the_layer_of_its_name_or_else_of_its_family() {
        let rules = example();
        assert_eq!(rules.layer("bus"), Some(1));
        assert_eq!(rules.layer("bus-anything"), Some(2));
        assert_eq!(rules.layer("unheard-of"), None);
    }

    #[test]
    fn a_platform_with_an_ordinary_words_name_is_not_looked_for() {
        let package = |name: &str| Package {
            name: name.to_owned(),
            folder: PathBuf::from("crates").join(name),
            imports: Vec::new(),
        };
        let packages = ["platform-hook", "platform-irc", "bus"].map(package);
        let mut rules = example();
        assert_eq!(rules.platforms(&packages), ["hook", "irc", "twilio"].map(str::to_owned).into());
        rules.platform_names.ordinary = vec!["hook".to_owned()];
        assert_eq!(rules.platforms(&packages), ["irc", "twilio"].map(str::to_owned).into());
    }

    #[test]
    fn an_exception_covers_its_rule_in_its_file_and_nothing_else() {
        let other_rule = Violation { rule: "environment", ..spawn_in("crates/chatbus/src/supervisor.rs") };
        let found =
            vec![spawn_in("crates/chatbus/src/supervisor.rs"), spawn_in("crates/bus/src/a.rs"), other_rule];
        let (left, excused) = example().excuse(found.clone());
        assert_eq!(left, found[1..]);
        assert_eq!(excused.len(), 1);
        assert!(example().unneeded(&excused).is_empty());
    }

    #[test]
    fn an_exception_that_nothing_needs_is_wrong() {
        let wrong = example().unneeded(&Excused::new());
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].text.contains("crates/chatbus/src/supervisor.rs"), "{}", wrong[0].text);
    }

    #[test]
    fn an_exception_without_a_reason_is_wrong() {
        let mut rules = example();
        " ".clone_into(&mut rules.same_layer[0].reason);
        rules.exception.clear();
        assert_eq!(rules.unneeded(&Excused::new()).len(), 1);
    }
}
