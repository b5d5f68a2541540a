//! Personalities in files and folders, read again when they changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::sheet::{Sheet, Syntax, read};

/// Files that are read at most, in the order of their names; those behind are left out and logged.
const MAX_FILES: usize = 500;
/// A longer file is left out and logged.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// The files as they were last seen.
#[derive(Debug)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    seen: BTreeMap<PathBuf, Seen>,
    /// Kept here, so that a reading that was broken off is not forgotten.
    changed: bool,
}

#[derive(Debug)]
struct Seen {
    mark: Mark,
    sheets: Vec<Sheet>,
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    modified: Option<SystemTime>,
    bytes: u64,
}

// === impl Files ===

impl Files {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, seen: BTreeMap::new(), changed: false }
    }

    /// Reads what is new or changed, and forgets what is gone. A file that cannot be read counts as it was when
    /// it last could.
    pub(super) async fn refresh(&mut self) {
        let found = self.find().await;
        let before = self.seen.len();
        self.seen.retain(|path, _| found.contains_key(path));
        self.changed |= self.seen.len() != before;
        for (path, mark) in found {
            if self.seen.get(&path).is_some_and(|seen| seen.mark == mark) {
                continue;
            }
            let sheets = match load(&path).await {
                Ok(sheets) => sheets,
                Err(reason) => {
                    tracing::warn!(event = "llm.personality.file_refused", component = "llm-bot", path = %path.display(), reason);
                    self.seen.remove(&path).map(|seen| seen.sheets).unwrap_or_default()
                }
            };
            self.seen.insert(path, Seen { mark, sheets });
            self.changed = true;
        }
    }

    /// Whether anything is other than when this was last asked.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// All that is known.
    pub(super) fn sheets(&self) -> impl Iterator<Item = &Sheet> {
        self.seen.values().flat_map(|seen| &seen.sheets)
    }

    async fn find(&self) -> BTreeMap<PathBuf, Mark> {
        let mut found = BTreeMap::new();
        for path in &self.paths {
            let Ok(metadata) = tokio::fs::metadata(path).await else {
                tracing::debug!(event = "llm.personality.path_missing", component = "llm-bot", path = %path.display());
                continue;
            };
            if metadata.is_dir() {
                scan(path, &mut found).await;
            } else if metadata.is_file() && syntax_of(path).is_some() {
                found.insert(path.clone(), Mark::of(&metadata));
            }
        }
        if found.len() > MAX_FILES {
            tracing::warn!(
                event = "llm.personality.too_many_files",
                component = "llm-bot",
                files = found.len(),
                most = MAX_FILES
            );
        }
        found.into_iter().take(MAX_FILES).collect()
    }
}

async fn scan(folder: &Path, found: &mut BTreeMap<PathBuf, Mark>) {
    let Ok(mut entries) = tokio::fs::read_dir(folder).await else { return };
    // A folder that somebody filled is not held in memory as a whole.
    while let Ok(Some(entry)) = entries.next_entry().await {
        let path = entry.path();
        if syntax_of(&path).is_none() {
            continue;
        }
        // Follows links: a mounted configuration is made of them.
        if let Ok(metadata) = tokio::fs::metadata(&path).await
            && metadata.is_file()
        {
            found.insert(path, Mark::of(&metadata));
        }
        if found.len() > MAX_FILES {
            // One too many stays, so that it is told; those last by name go.
            while found.len() > MAX_FILES + 1 {
                found.pop_last();
            }
        }
    }
}

async fn load(path: &Path) -> Result<Vec<Sheet>, String> {
    let syntax = syntax_of(path).ok_or("neither JSON nor YAML by its name")?;
    let told = |error: std::io::Error| error.kind().to_string();
    // One byte more tells a file that is too long, also one that grows while it is read.
    let mut file = File::open(path).await.map_err(told)?.take(MAX_FILE_BYTES + 1);
    let mut text = String::new();
    let bytes = file.read_to_string(&mut text).await.map_err(told)?;
    if bytes as u64 > MAX_FILE_BYTES {
        return Err(format!("over {MAX_FILE_BYTES} bytes"));
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    read(&text, syntax, &name)
}

fn syntax_of(path: &Path) -> Option<Syntax> {
    match path.extension()?.to_str()? {
        "json" => Some(Syntax::Json),
        "yaml" | "yml" => Some(Syntax::Yaml),
        _ => None,
    }
}

// === impl Mark ===

impl Mark {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self { modified: metadata.modified().ok(), bytes: metadata.len() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(files: &Files) -> Vec<String> {
        files.sheets().map(|sheet| sheet.name.clone()).collect()
    }

    async fn refresh(files: &mut Files) -> bool {
        files.refresh().await;
        files.take_changed()
    }

    #[tokio::test]
    async fn a_folder_is_read_again_when_a_file_is_added_changed_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("a.json", r#"{"text":"A"}"#);
        write("notes.txt", "text: not one");
        let mut files = Files::new(vec![folder.path().to_owned()]);
        assert!(refresh(&mut files).await);
        assert_eq!(names(&files), ["a"]);
        assert!(!refresh(&mut files).await, "nothing changed");
        write("b.yaml", "text: B");
        assert!(refresh(&mut files).await);
        assert_eq!(names(&files), ["a", "b"]);
        write("b.yaml", "name: bee\ntext: Bee");
        assert!(refresh(&mut files).await);
        assert_eq!(names(&files), ["a", "bee"]);
        fs::remove_file(folder.path().join("a.json")).unwrap();
        assert!(refresh(&mut files).await);
        assert_eq!(names(&files), ["bee"]);
    }

    #[tokio::test]
    async fn a_file_that_became_unreadable_counts_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, r#"{"text":"A"}"#).unwrap();
        let mut files = Files::new(vec![path.clone(), folder.path().join("missing.yaml")]);
        files.refresh().await;
        fs::write(&path, r#"{"text":"#).unwrap();
        files.refresh().await;
        assert_eq!(names(&files), ["a"]);
        fs::write(&path, " ".repeat(300_000)).unwrap();
        files.refresh().await;
        assert_eq!(names(&files), ["a"]);
    }

    #[tokio::test]
    async fn of_a_folder_with_too_many_files_the_first_by_name_are_read() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..MAX_FILES + 5 {
            fs::write(folder.path().join(format!("{n:04}.yml")), "text: x").unwrap();
        }
        let mut files = Files::new(vec![folder.path().to_owned()]);
        files.refresh().await;
        let names = names(&files);
        assert_eq!((names.len(), names[0].as_str(), names[499].as_str()), (MAX_FILES, "0000", "0499"));
    }
}
