//! Which nats-server the tests run.

use std::env;
use std::path::{Path, PathBuf};

use super::workspace_root;

/// The nats-server to start: `$NATS_SERVER`, else what `scripts/setup` installed into the
/// checkout, else the one on the search path.
///
/// Panics when there is none: a test that needs a server does not pass without one.
#[expect(clippy::panic, reason = "a test without its server fails")]
pub fn nats_server_binary() -> PathBuf {
    find(variable("NATS_SERVER").as_deref(), workspace_root(), variable("PATH").as_deref())
        .unwrap_or_else(|problem| panic!("{problem}: run scripts/setup"))
}

fn find(named: Option<&str>, root: &Path, search_path: Option<&str>) -> Result<PathBuf, String> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        // Relative to the root, because cargo runs each test in its crate's own folder.
        let path = root.join(named);
        return match path.is_file() {
            true => Ok(path),
            false => Err(format!("NATS_SERVER names {}, which is no file", path.display())),
        };
    }
    let installed = root.join(".tools/venv/bin/nats-server");
    let searched = env::split_paths(search_path.unwrap_or_default()).map(|folder| folder.join("nats-server"));
    std::iter::once(installed)
        .chain(searched)
        .find(|path| path.is_file())
        .ok_or_else(|| "no nats-server".to_owned())
}

#[expect(clippy::disallowed_methods, reason = "the one place where the tests' tools look at the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(path: &Path) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        fs::write(path, "").expect("the file is made");
    }

    #[test]
    fn the_variable_wins_then_the_checkout_then_the_search_path() {
        let root = tempfile::tempdir().expect("a folder");
        let bin = root.path().join("bin");
        assert!(find(None, root.path(), bin.to_str()).is_err(), "nothing is installed yet");
        file(&bin.join("nats-server"));
        assert_eq!(find(None, root.path(), bin.to_str()), Ok(bin.join("nats-server")));
        let installed = root.path().join(".tools/venv/bin/nats-server");
        file(&installed);
        assert_eq!(find(Some(""), root.path(), bin.to_str()), Ok(installed));
        file(&root.path().join("other"));
        assert_eq!(find(Some("other"), root.path(), None), Ok(root.path().join("other")));
    }

    #[test]
    fn a_variable_that_names_nothing_is_an_error_and_not_a_reason_to_take_another() {
        let root = tempfile::tempdir().expect("a folder");
        file(&root.path().join(".tools/venv/bin/nats-server"));
        assert!(find(Some("missing"), root.path(), None).is_err());
    }
}
