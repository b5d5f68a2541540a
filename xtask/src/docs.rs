//! `cargo xtask docs`: documents that the program writes about itself.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::workspace;

/// Each file with the command line of the binary that prints it.
const DOCUMENTS: [(&str, &[&str]); 3] = [
    ("docs/settings.md", &["config", "schema", "--markdown"]),
    ("docs/envelope.schema.json", &["schema", "envelope"]),
    ("docs/asyncapi.json", &["schema", "asyncapi"]),
];

/// Writes all documents; with `check` changes nothing, and false says that one is out of date.
#[expect(clippy::print_stdout, reason = "a command of the developers' terminal")]
pub(crate) fn run(check: bool) -> Result<bool> {
    let mut current = true;
    for (file, arguments) in DOCUMENTS {
        let printed = workspace::output(workspace::chatbus().args(arguments))?;
        match update(&workspace::root().join(file), &printed, check)? {
            Found::Current => println!("{file}: up to date"),
            Found::Written => println!("{file}: written"),
            Found::Stale(line) => {
                println!("{file}:{line}: out of date: run cargo xtask docs");
                current = false;
            }
        }
    }
    Ok(current)
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Current,
    Written,
    /// The first line that differs.
    Stale(usize),
}

fn update(path: &Path, wanted: &str, check: bool) -> Result<Found> {
    let there = fs::read_to_string(path).unwrap_or_default();
    if there == wanted {
        return Ok(Found::Current);
    }
    if check {
        let same = there.lines().zip(wanted.lines()).take_while(|(there, wanted)| there == wanted);
        return Ok(Found::Stale(same.count() + 1));
    }
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    fs::write(path, wanted).with_context(|| path.display().to_string())?;
    Ok(Found::Written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_names_the_first_line_that_differs_and_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("docs/a.md");
        assert_eq!(update(&path, "a\nb\n", true).expect("checked"), Found::Stale(1));
        assert!(!path.exists());
        assert_eq!(update(&path, "a\nb\n", false).expect("written"), Found::Written);
        assert_eq!(update(&path, "a\nb\n", true).expect("checked"), Found::Current);
        assert_eq!(update(&path, "a\nc\n", true).expect("checked"), Found::Stale(2));
        assert_eq!(fs::read_to_string(&path).expect("read"), "a\nb\n");
    }
}
