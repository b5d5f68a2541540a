//! Who imports whom, read from the manifests through `cargo metadata`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Violation;
use super::rules::Rules;
use crate::workspace;

/// The prefix that a crate's package name has and its folder has not.
const PREFIX: &str = "chatbus-";

/// One crate of the workspace.
#[derive(Debug)]
pub(super) struct Package {
    /// The folder's name.
    pub(super) name: String,
    /// Relative to the root.
    pub(super) folder: PathBuf,
    pub(super) imports: Vec<Import>,
}

/// One line of its dependencies.
#[derive(Debug)]
pub(super) struct Import {
    /// Of a crate of ours the folder's name, of others the package's.
    pub(super) name: String,
    /// Whether it is a crate of this workspace.
    pub(super) ours: bool,
    /// Whether only tests see it.
    pub(super) dev: bool,
    /// In the manifest, from 1.
    pub(super) line: usize,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    manifest_path: PathBuf,
    dependencies: Vec<MetadataDependency>,
}

#[derive(Deserialize)]
struct MetadataDependency {
    name: String,
    kind: Option<String>,
    path: Option<PathBuf>,
}

/// All crates of the workspace.
pub(super) fn packages(root: &Path) -> Result<Vec<Package>> {
    let mut metadata = workspace::cargo();
    metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Metadata = serde_json::from_str(&workspace::output(&mut metadata)?)?;
    metadata.packages.into_iter().map(|package| package.read(root)).collect()
}

/// Everything that the imports break.
pub(super) fn check(rules: &Rules, packages: &[Package]) -> Vec<Violation> {
    packages.iter().flat_map(|package| check_package(rules, package)).collect()
}

fn check_package(rules: &Rules, package: &Package) -> Vec<Violation> {
    let file = package.folder.join("Cargo.toml");
    let wrong =
        |line: usize, rule: &'static str, text: String| Violation { file: file.clone(), line, rule, text };
    let dev_only = rules.dev.only.contains(&package.name);
    if rules.layer(&package.name).is_none() && !dev_only {
        return vec![wrong(0, "layers", format!("{} has no layer in layers.toml", package.name))];
    }
    let judged = package.imports.iter().filter_map(|import| {
        let problem = problem(rules, &package.name, import)?;
        Some(wrong(
            import.line,
            "layers",
            format!("{} must not see {}: {problem}", package.name, import.name),
        ))
    });
    judged.collect()
}

/// Why this import is wrong; `None` when it is right.
fn problem(rules: &Rules, from: &str, import: &Import) -> Option<String> {
    let to = &import.name;
    if !import.ours {
        let impure = rules.pure.crates.iter().any(|name| name == from) && rules.pure.never.contains(to);
        return (impure && !import.dev).then(|| format!("{from} is pure"));
    }
    if rules.dev.only.contains(to) {
        return (!import.dev).then(|| "it is for tests only".to_owned());
    }
    if import.dev && rules.dev.also.contains(to) {
        return None;
    }
    // Tools of the tests stand above what they test, below the binary.
    let here = rules.layer(from).unwrap_or(3);
    let Some(there) = rules.layer(to) else {
        return Some("it has no layer in layers.toml".to_owned());
    };
    if there > here {
        return Some(format!("layer {there} is above layer {here}"));
    }
    if there == here && !rules.same_layer.iter().any(|pair| pair.from == from && pair.to == *to) {
        return Some(format!("both are in layer {here}"));
    }
    let never = rules.never.iter().any(|never| never.from == here && never.to == there);
    never.then(|| format!("layer {here} never sees layer {there}"))
}

// === impl MetadataPackage ===

impl MetadataPackage {
    fn read(self, root: &Path) -> Result<Package> {
        let manifest = fs::read_to_string(&self.manifest_path)
            .with_context(|| self.manifest_path.display().to_string())?;
        let folder = self.manifest_path.parent().unwrap_or(root);
        let imports = self.dependencies.into_iter().map(|dependency| Import {
            line: line_of(&manifest, &dependency.name, dependency.kind.as_deref()),
            ours: dependency.path.is_some(),
            dev: dependency.kind.as_deref() == Some("dev"),
            name: folder_name(dependency.name, dependency.path.as_deref()),
        });
        Ok(Package {
            imports: imports.collect(),
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            folder: folder.strip_prefix(root).unwrap_or(folder).to_owned(),
        })
    }
}

fn folder_name(package: String, path: Option<&Path>) -> String {
    match path.and_then(Path::file_name) {
        Some(folder) => folder.to_string_lossy().into_owned(),
        None => package.strip_prefix(PREFIX).map(str::to_owned).unwrap_or(package),
    }
}

/// The line of a manifest that names a dependency in the table of its kind; 0 when none does.
fn line_of(manifest: &str, name: &str, kind: Option<&str>) -> usize {
    let table = kind.map_or("dependencies".to_owned(), |kind| format!("{kind}-dependencies"));
    let mut here = false;
    for (at, line) in manifest.lines().enumerate() {
        if let Some(header) = line.trim().strip_prefix('[') {
            here = header.trim_end_matches(']').ends_with(&table)
                && (kind.is_some() || !header.contains("-dependencies"));
        }
        let rest = line.trim_start().strip_prefix(name);
        if here && rest.is_some_and(|rest| rest.starts_with(['.', ' ', '='])) {
            return at + 1;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::super::rules::tests::example;
    use super::*;

    fn package(name: &str, imports: &[(&str, bool)]) -> Package {
        let import = |at: usize, (to, dev): &(&str, bool)| Import {
            name: (*to).to_owned(),
            ours: *to != "tokio",
            dev: *dev,
            line: at + 10,
        };
        Package {
            name: name.to_owned(),
            folder: Path::new("crates").join(name),
            imports: imports.iter().enumerate().map(|(at, named)| import(at, named)).collect(),
        }
    }

    /// The text of the only violation, if there is one.
    fn verdict(from: &str, to: &str, dev: bool) -> Option<String> {
        let found = check(&example(), &[package(from, &[(to, dev)])]);
        assert!(found.len() <= 1, "{found:?}");
        found.into_iter().next().map(|violation| violation.text)
    }

    #[test]
    fn imports_that_go_down_are_right() {
        for (from, to) in [
            ("bus", "event"),
            ("bus-nats", "bus"),
            ("platform-new", "event"),
            ("ingress", "bus"),
            ("chatbus", "bus-nats"),
            ("chatbus", "ingress"),
        ] {
            assert_eq!(verdict(from, to, false), None, "{from} → {to}");
        }
    }

    #[test]
    fn imports_that_go_up_or_sideways_are_wrong_in_production_and_in_tests() {
        for (from, to) in [
            ("event", "bus"),
            ("event", "runtime"),
            ("bus", "bus-nats"),
            ("bus-nats", "bus-embedded"),
            ("platform-new", "platform-old"),
            ("platform-new", "bus-nats"),
            ("ingress", "sandbox"),
            ("bus-nats", "ingress"),
        ] {
            for dev in [false, true].into_iter().filter(|dev| !dev || to != "sandbox") {
                assert!(verdict(from, to, dev).is_some(), "{from} → {to}, dev {dev}");
            }
        }
    }

    #[test]
    fn one_listed_pair_of_a_layer_is_right_in_one_direction() {
        assert_eq!(verdict("runtime", "event", false), None);
        assert!(verdict("event", "runtime", false).is_some());
    }

    #[test]
    fn layer_3_never_sees_a_driver_or_a_platform() {
        for to in ["bus-nats", "platform-twitch"] {
            assert_eq!(
                verdict("ingress", to, false),
                Some(format!("ingress must not see {to}: layer 3 never sees layer 2"))
            );
        }
    }

    #[test]
    fn testkit_is_for_tests_and_sandbox_may_be_used_by_them() {
        assert!(verdict("chatbus", "testkit", false).is_some());
        assert_eq!(verdict("event", "testkit", true), None);
        assert!(verdict("platform-twitch", "sandbox", false).is_some());
        assert_eq!(verdict("platform-twitch", "sandbox", true), None);
    }

    #[test]
    fn a_pure_crate_sees_no_executor_outside_its_tests() {
        assert!(verdict("event", "tokio", false).is_some());
        assert_eq!(verdict("event", "tokio", true), None);
        assert_eq!(verdict("runtime", "tokio", false), None);
    }

    #[test]
    fn a_crate_without_a_layer_is_wrong_on_either_end() {
        assert!(verdict("chatbus", "unheard-of", false).is_some());
        let found = check(&example(), &[package("unheard-of", &[])]);
        assert_eq!(
            found[0].to_string(),
            "crates/unheard-of/Cargo.toml:0: layers: unheard-of has no layer in layers.toml"
        );
    }

    #[test]
    fn a_violation_names_the_manifest_and_its_line() {
        let found = check(&example(), &[package("bus", &[("event", false), ("bus-nats", false)])]);
        assert_eq!(
            found[0].to_string(),
            "crates/bus/Cargo.toml:11: layers: bus must not see bus-nats: layer 2 is above layer 1"
        );
    }

    #[test]
    fn the_line_is_the_one_in_the_table_of_the_kind() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nbus-nats.workspace = true\nbus = \"1\"\n\
                        [dev-dependencies]\nbus = { path = \"..\" }\n";
        assert_eq!(line_of(manifest, "bus", None), 5);
        assert_eq!(line_of(manifest, "bus", Some("dev")), 7);
        assert_eq!(line_of(manifest, "event", None), 0);
    }
}
