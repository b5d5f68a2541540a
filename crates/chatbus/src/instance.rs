//! Who this instance is, and where others on this machine find it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chatbus_event::{Entropy, InstanceId};
use chatbus_runtime::settings::{Problem, Values};

/// The instance id and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: InstanceId,
    pub(crate) origin: &'static str,
}

/// A file that says where a running instance answers; removed when it is dropped.
#[derive(Debug)]
pub(crate) struct RunFile(PathBuf);

/// What a run file says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct RunInfo {
    pub(crate) url: String,
    pub(crate) pid: u32,
}

/// Finds the instance id: the first setting that is set, else a UUID kept in the data folder.
///
/// # Errors
/// When an explicit id holds a character that cannot stand in a topic, or the folder cannot be used.
pub(crate) fn identify(values: &Values, data_dir: &Path, entropy: &dyn Entropy) -> Result<Identity, Problem> {
    for name in ["EGRESS_INSTANCE_ID", "SERVICE_INSTANCE_ID"] {
        if let Some(text) = values.text(name) {
            let id = InstanceId::parse(text.trim()).map_err(|error| Problem::new(name, error.to_string()))?;
            return Ok(Identity { id, origin: name });
        }
    }
    if let Some(host) = values.text("HOSTNAME") {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
        let text: String = host.trim().chars().map(allowed).take(64).collect();
        if let Ok(id) = InstanceId::parse(&text) {
            return Ok(Identity { id, origin: "HOSTNAME" });
        }
    }
    let problem = |error: io::Error| {
        Problem::new("DATA_DIR", format!("{} cannot be used: {error}", data_dir.display()))
    };
    kept_id(data_dir, entropy).map(|id| Identity { id, origin: "DATA_DIR" }).map_err(problem)
}

fn kept_id(data_dir: &Path, entropy: &dyn Entropy) -> io::Result<InstanceId> {
    fs::create_dir_all(data_dir)?;
    let path = data_dir.join("instance-id");
    if let Ok(text) = fs::read_to_string(&path)
        && let Ok(id) = InstanceId::parse(text.trim())
    {
        return Ok(id);
    }
    let text = entropy.uuid().hyphenated().to_string();
    let temporary = data_dir.join(format!("instance-id.{text}"));
    fs::write(&temporary, &text)?;
    // Linking fails where another process was first; then its id is ours as well.
    let linked = fs::hard_link(&temporary, &path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => {
            let text = fs::read_to_string(&path)?;
            InstanceId::parse(text.trim())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
        }
    }
}

// === impl RunFile ===

impl RunFile {
    /// Writes `run/{instance}.json`.
    pub(crate) fn write(data_dir: &Path, id: &InstanceId, info: &RunInfo) -> io::Result<Self> {
        let folder = data_dir.join("run");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{id}.json"));
        let temporary = folder.join(format!(".{id}.{}", info.pid));
        fs::write(&temporary, serde_json::to_vec(info)?)?;
        fs::rename(&temporary, &path)?;
        Ok(Self(path))
    }

    /// Every run file in the folder, the newest first.
    pub(crate) fn all(data_dir: &Path) -> Vec<RunInfo> {
        let Ok(entries) = fs::read_dir(data_dir.join("run")) else { return Vec::new() };
        let json = |entry: io::Result<fs::DirEntry>| {
            let path = entry.ok()?.path();
            if path.extension()? != "json" {
                return None;
            }
            let written = fs::metadata(&path).ok()?.modified().ok()?;
            Some((written, serde_json::from_slice::<RunInfo>(&fs::read(&path).ok()?).ok()?))
        };
        let mut found: Vec<_> = entries.filter_map(json).collect();
        found.sort_by_key(|(written, _)| std::cmp::Reverse(*written));
        found.into_iter().map(|(_, info)| info).collect()
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Environment, load};
    use chatbus_testkit::SeededEntropy;

    fn identity(pairs: &[(&str, &str)], dir: &Path) -> Result<Identity, Problem> {
        let loaded = load(&crate::settings::all(), None, &Environment::of(pairs), vec![]);
        identify(&loaded.values, dir, &SeededEntropy::new(1))
    }

    #[test]
    fn the_first_one_set_wins() {
        let dir = tempfile::tempdir().unwrap();
        for (pairs, id, origin) in [
            (
                &[("EGRESS_INSTANCE_ID", "a"), ("SERVICE_INSTANCE_ID", "b"), ("HOSTNAME", "c")][..],
                "a",
                "EGRESS_INSTANCE_ID",
            ),
            (&[("SERVICE_INSTANCE_ID", "b"), ("HOSTNAME", "c")], "b", "SERVICE_INSTANCE_ID"),
            (&[("HOSTNAME", "pod.example_1")], "pod-example_1", "HOSTNAME"),
        ] {
            let found = identity(pairs, dir.path()).unwrap();
            assert_eq!((found.id.as_str(), found.origin), (id, origin));
        }
        assert_eq!(
            identity(&[("EGRESS_INSTANCE_ID", "a.b")], dir.path()).unwrap_err().setting,
            "EGRESS_INSTANCE_ID"
        );
    }

    #[test]
    fn an_id_that_nobody_set_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = identity(&[], dir.path()).unwrap();
        assert_eq!(first.origin, "DATA_DIR");
        assert_eq!(identity(&[], dir.path()).unwrap(), first);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_run_file_is_there_as_long_as_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let id = InstanceId::parse("i").unwrap();
        let info = RunInfo { url: "http://127.0.0.1:1".into(), pid: 7 };
        let file = RunFile::write(dir.path(), &id, &info).unwrap();
        assert_eq!(RunFile::all(dir.path()), [info]);
        drop(file);
        assert_eq!(RunFile::all(dir.path()), []);
    }
}
