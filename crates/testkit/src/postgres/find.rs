//! Which PostgreSQL the tests run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::nats::variable;

/// A program of PostgreSQL: in the folder that `$POSTGRES_BIN` names, else of the newest version that is
/// installed where Debian installs it.
///
/// Panics when there is none: a test that needs a server does not pass without one.
pub(super) fn binary(name: &str) -> PathBuf {
    find(name, variable("POSTGRES_BIN").as_deref(), Path::new("/usr/lib/postgresql"))
        .unwrap_or_else(|problem| super::fail(&format!("{problem}: run scripts/setup")))
}

fn find(name: &str, named: Option<&str>, installed: &Path) -> Result<PathBuf, String> {
    if let Some(folder) = named.filter(|named| !named.is_empty()) {
        let path = Path::new(folder).join(name);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("POSTGRES_BIN names {folder}, which has no {name}"))
        };
    }
    let versions = fs::read_dir(installed).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| {
            let number = version.file_name().to_str()?.parse().ok()?;
            let path = version.path().join("bin").join(name);
            path.is_file().then_some((number, path))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path).ok_or_else(|| format!("no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_then_the_newest_version() {
        let root = tempfile::tempdir().expect("a folder");
        assert!(find("initdb", None, root.path()).is_err(), "nothing is installed yet");
        for version in ["9", "15", "14", "none"] {
            let bin = root.path().join(version).join("bin");
            fs::create_dir_all(&bin).expect("a folder");
            fs::write(bin.join("initdb"), "").expect("a file");
        }
        let newest = root.path().join("15/bin/initdb");
        assert_eq!(find("initdb", Some(""), root.path()), Ok(newest));
        let named = root.path().join("14/bin");
        assert_eq!(find("initdb", named.to_str(), root.path()), Ok(named.join("initdb")));
        assert!(find("postgres", named.to_str(), root.path()).is_err());
    }
}
