//! Files that people write rules into.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chatbus_routing::MAX_DOCUMENT_BYTES;
use tokio::io::AsyncReadExt as _;

/// Of a folder so many files are read, by their names.
pub const MAX_FILES: usize = 200;

/// What is looked at to see whether a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// Its name for people: within the folder, or as it was given.
    pub(crate) name: String,
    pub(crate) stamp: Stamp,
}

/// The file itself, or the YAML and JSON files of a folder, by their names; no folders within it and nothing
/// hidden.
pub(crate) async fn find(path: &Path) -> io::Result<Vec<Found>> {
    let about = tokio::fs::metadata(path).await?;
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    if !about.is_dir() {
        return Ok(vec![Found { path: path.to_owned(), name: name(path), stamp: Stamp::of(&about) }]);
    }
    let mut found = Vec::new();
    let mut entries = tokio::fs::read_dir(path).await?;
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        // A file that goes away while we look is not there.
        let Ok(about) = tokio::fs::metadata(&path).await else { continue };
        if about.is_file() && is_ours(&path) {
            found.push(Found { name: name(&path), path, stamp: Stamp::of(&about) });
        }
        if found.len() > MAX_FILES {
            return Err(io::Error::other(format!("over {MAX_FILES} files")));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// A file's text.
pub(crate) async fn read(path: &Path) -> Result<String, String> {
    let most = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX);
    let read = async {
        let mut text = Vec::new();
        tokio::fs::File::open(path).await?.take(most + 1).read_to_end(&mut text).await?;
        io::Result::Ok(text)
    };
    let text = read.await.map_err(|error| error.to_string())?;
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(format!("over {MAX_DOCUMENT_BYTES} bytes"));
    }
    String::from_utf8(text).map_err(|_| "not UTF-8".to_owned())
}

fn is_ours(path: &Path) -> bool {
    let is_hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    !is_hidden && matches!(ending.as_deref(), Some("yaml" | "yml" | "json"))
}

// === impl Stamp ===

impl Stamp {
    fn of(about: &std::fs::Metadata) -> Self {
        Self { modified: about.modified().ok(), bytes: about.len() }
    }
}
