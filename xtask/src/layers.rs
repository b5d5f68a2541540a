//! `cargo xtask layers`: the folder list is the architecture, and this keeps it true.
//!
//! Three kinds of rule, all of them data in `layers.toml`: who may import whom (from the
//! manifests), which words may stand in which crate's code (platform names, reads of the
//! environment, spawning), and the exceptions, each with its reason. An exception that nothing
//! needs any more is reported too.

mod imports;
mod rules;
mod words;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{rust, workspace};
use rules::Rules;

/// One place that breaks one rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    /// Relative to the root.
    file: PathBuf,
    /// From 1; 0 when it is about the whole file.
    line: usize,
    /// The rule's name, as `[[exception]]` names it.
    rule: &'static str,
    text: String,
}

/// True when nothing is wrong.
#[expect(clippy::print_stdout, reason = "a command of the developers' terminal")]
pub(crate) fn run() -> Result<bool> {
    let root = workspace::root();
    let rules: Rules = toml::from_str(&read(&root.join("layers.toml"))?).context("layers.toml")?;
    let packages = imports::packages(&root)?;

    let mut found = imports::check(&rules, &packages);
    let platforms = rules.platforms(&packages);
    let mut files = 0;
    for package in &packages {
        for file in rust::production_files(&root.join(&package.folder))? {
            let name = file.strip_prefix(&root).unwrap_or(&file);
            found.extend(words::check(&rules, &platforms, &package.name, name, &read(&file)?));
            files += 1;
        }
    }

    let (mut violations, excused) = rules.excuse(found);
    violations.extend(rules.unneeded(&excused));
    violations.sort();
    for violation in &violations {
        println!("{violation}");
    }
    println!(
        "layers: {} crates, {files} files, {} excused, {} wrong",
        packages.len(),
        excused.len(),
        violations.len()
    );
    Ok(violations.is_empty())
}

/// Whether a word stands in the code of crates that may not name platforms: then it is no sign of the platform
/// that would be called so.
pub(crate) fn is_ordinary_word(root: &Path, word: &str) -> Result<bool> {
    let rules: Rules = toml::from_str(&read(&root.join("layers.toml"))?).context("layers.toml")?;
    if rules.platform_names.ordinary.iter().any(|known| known == word) {
        return Ok(false);
    }
    let names = BTreeSet::from([word.to_owned()]);
    for entry in fs::read_dir(root.join("crates"))? {
        let folder = entry?.path();
        let package = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if package.starts_with("platform-") || !folder.join("src").is_dir() {
            continue;
        }
        for file in rust::production_files(&folder)? {
            let found = words::check(&rules, &names, &package, &file, &read(&file)?);
            if found.iter().any(|violation| violation.rule == "platform-names") {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file.display(), self.line, self.rule, self.text)
    }
}

/// The rule and file of each exception that was needed.
type Excused = BTreeSet<(String, PathBuf)>;
