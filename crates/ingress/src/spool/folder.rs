//! A spool's folder: its name, its lock, its cursor file, its segment names.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A folder that no other process uses while this value lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

const LOCK: &str = "lock";
const CURSOR: &str = "cursor";
const CURSOR_NEW: &str = "cursor.new";
const SEGMENT_SUFFIX: &str = ".seg";

/// A folder of our own id may be held by another process that is draining it for us; then the next
/// name is used, and whoever comes later drains that one too.
const OWN_NAMES: usize = 10;

// === impl Folder ===

impl Folder {
    /// Locks the first free folder of this name: `name`, `name.1`, … Creates it where needed.
    ///
    /// # Errors
    /// When it cannot be created, or all are locked.
    pub(crate) fn own(root: &Path, name: &str) -> io::Result<Self> {
        for n in 0..OWN_NAMES {
            let path = if n == 0 { root.join(name) } else { root.join(format!("{name}.{n}")) };
            fs::create_dir_all(&path)?;
            if let Some(folder) = Self::lock(path)? {
                return Ok(folder);
            }
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "every spool folder of this instance is in use"))
    }

    /// The folders beside ours that nobody uses, locked, the one with the oldest record first.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub(crate) fn orphans(root: &Path) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            if !path.is_dir() {
                continue;
            }
            // One that vanishes or cannot be opened is somebody else's business, not a reason to stop.
            if let Ok(Some(folder)) = Self::lock(path) {
                let age = folder.modified();
                found.push((age, folder));
            }
        }
        found.sort_by_key(|(age, _)| *age);
        Ok(found.into_iter().map(|(_, folder)| folder).collect())
    }

    fn lock(path: PathBuf) -> io::Result<Option<Self>> {
        let name = path.join(LOCK);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&name);
        let lock = match opened {
            Ok(lock) => lock,
            // Whoever drained it removed it between our look and our open.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // A lock on a file that was removed meanwhile protects nothing.
        let same = fs::metadata(&name).is_ok_and(|at_path| {
            lock.metadata().is_ok_and(|held| held.ino() == at_path.ino() && held.dev() == at_path.dev())
        });
        Ok(same.then_some(Self { path, _lock: lock }))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its segments' first numbers and lengths, oldest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn segments(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(SEGMENT_SUFFIX));
            if let Some(first) = number.and_then(|hex| u64::from_str_radix(hex, 16).ok()) {
                found.push((first, entry.metadata()?.len()));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The file of the segment that begins with this record.
    pub(crate) fn segment(&self, first: u64) -> PathBuf {
        self.path.join(format!("{first:016x}{SEGMENT_SUFFIX}"))
    }

    /// The number of the first record that is not acknowledged; `None` when nothing says so.
    pub(crate) fn cursor(&self) -> Option<u64> {
        let text = fs::read_to_string(self.path.join(CURSOR)).ok()?;
        let (number, crc) = text.trim_end().split_once(' ')?;
        let intact = u32::from_str_radix(crc, 16).ok()? == crc32fast::hash(number.as_bytes());
        if intact { number.parse().ok() } else { None }
    }

    /// Replaces the cursor: after a crash at any moment the old or the new one is there, whole.
    ///
    /// # Errors
    /// What the system says; the old one then still stands.
    pub(crate) fn set_cursor(&self, number: u64) -> io::Result<()> {
        let new = self.path.join(CURSOR_NEW);
        let number = number.to_string();
        let mut file = File::create(&new)?;
        writeln!(file, "{number} {:08x}", crc32fast::hash(number.as_bytes()))?;
        file.sync_all()?;
        fs::rename(&new, self.path.join(CURSOR))?;
        self.sync()
    }

    /// Makes names that were created or removed durable.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Removes it with everything in it, the lock last.
    ///
    /// # Errors
    /// What the system says; what is left is found again by the next one who looks.
    pub(crate) fn remove(self) -> io::Result<()> {
        for (first, _) in self.segments()? {
            fs::remove_file(self.segment(first))?;
        }
        for name in [CURSOR, CURSOR_NEW, LOCK] {
            match fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::remove_dir(&self.path)
    }

    /// When its oldest segment was last written; what has none comes first, being nothing to drain.
    fn modified(&self) -> Option<std::time::SystemTime> {
        let (first, _) = *self.segments().ok()?.first()?;
        fs::metadata(self.segment(first)).ok()?.modified().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_user_and_a_second_one_gets_the_next_name() {
        let root = tempfile::tempdir().unwrap();
        let first = Folder::own(root.path(), "a").unwrap();
        let second = Folder::own(root.path(), "a").unwrap();
        assert_eq!(first.path(), root.path().join("a"));
        assert_eq!(second.path(), root.path().join("a.1"));
        assert!(Folder::orphans(root.path()).unwrap().is_empty());
        drop(first);
        let orphans = Folder::orphans(root.path()).unwrap();
        assert_eq!(orphans.len(), 1);
        assert_eq!(orphans[0].path(), root.path().join("a"));
    }

    #[test]
    fn when_every_name_is_taken_opening_says_so() {
        let root = tempfile::tempdir().unwrap();
        let held: Vec<_> = (0..OWN_NAMES).map(|_| Folder::own(root.path(), "a").unwrap()).collect();
        assert_eq!(held.len(), OWN_NAMES);
        assert_eq!(Folder::own(root.path(), "a").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn the_cursor_is_read_back_and_a_damaged_one_is_none() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::own(root.path(), "a").unwrap();
        assert_eq!(folder.cursor(), None);
        folder.set_cursor(7).unwrap();
        folder.set_cursor(12).unwrap();
        assert_eq!(folder.cursor(), Some(12));
        for damaged in ["13 00000000\n", "12", "", "x y"] {
            fs::write(folder.path().join(CURSOR), damaged).unwrap();
            assert_eq!(folder.cursor(), None, "{damaged:?}");
        }
    }

    #[test]
    fn a_folder_that_is_removed_while_another_waits_for_its_lock_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::own(root.path(), "a").unwrap();
        fs::write(folder.segment(3), b"x").unwrap();
        fs::write(root.path().join("file"), b"x").unwrap();
        folder.remove().unwrap();
        assert!(!root.path().join("a").exists());
        assert!(Folder::lock(root.path().join("a")).unwrap().is_none());
        assert!(Folder::orphans(root.path()).unwrap().is_empty());
    }
}
