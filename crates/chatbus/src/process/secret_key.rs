//! The key that seals stored tokens.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chatbus_event::Entropy;
use chatbus_oauth::{Vault, secret_key};
use chatbus_runtime::settings::{Problem, Values};

const SETTING: &str = "CHATBUS_SECRET_KEY";
const PREVIOUS: &str = "CHATBUS_SECRET_KEY_PREVIOUS";
/// Its file in DATA_DIR.
const FILE: &str = "secret-key";

/// What is known of the keys without opening anything.
///
/// # Errors
/// When a key is none, or there is none and none is made by itself.
pub(super) fn check(values: &Values, is_kept_here: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in [SETTING, PREVIOUS] {
        if let Some(Err(error)) = values.text(name).map(secret_key) {
            problems.push(Problem::new(name, format!("is {error}")));
        }
    }
    if !values.is_set(SETTING) && !is_kept_here {
        let why = "is needed: accounts log in, and the store is not in DATA_DIR, where a key would be made; use the \
                   same one for all processes, such as `openssl rand -base64 32` prints";
        problems.push(Problem::new(SETTING, why));
    }
    problems
}

/// The vault of these settings; makes the key in DATA_DIR where none is set.
///
/// # Errors
/// Names the setting that is no key, or the folder that cannot be used.
pub(crate) fn vault(values: &Values, data_dir: &Path, entropy: &dyn Entropy) -> Result<Vault, Problem> {
    let set = |name: &str| {
        let key = values.text(name).map(secret_key).transpose();
        key.map_err(|error| Problem::new(name, format!("is {error}")))
    };
    let current = match set(SETTING)? {
        Some(key) => key,
        None => {
            let path = data_dir.join(FILE);
            let text = kept(&path, entropy).map_err(|error| {
                Problem::new("DATA_DIR", format!("{} cannot be used: {error}", path.display()))
            })?;
            secret_key(&text)
                .map_err(|error| Problem::new("DATA_DIR", format!("{} is {error}", path.display())))?
        }
    };
    Ok(Vault::new(current, set(PREVIOUS)?))
}

/// The key in a file, made where there is none.
fn kept(path: &Path, entropy: &dyn Entropy) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let mut key = [0; 32];
    entropy.fill(&mut key);
    let temporary = path.with_extension(entropy.uuid().simple().to_string());
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(STANDARD.encode(key).as_bytes())?;
    // What it seals must not outlive it.
    file.sync_all()?;
    // Linking fails where another process was first; then its key is ours as well.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::read_to_string(path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use chatbus_testkit::SeededEntropy;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_readable_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let first = kept(&path, &SeededEntropy::new(1)).unwrap();
        assert_eq!(kept(&path, &SeededEntropy::new(2)).unwrap(), first);
        assert!(secret_key(&first).is_ok());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
