//! The three calls by which a segment grows, apart so that tests can make them fail.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Where segments are written.
pub(crate) trait Disk: Send {
    /// Creates a file, or empties one that a failed attempt left.
    ///
    /// # Errors
    /// What the system says.
    fn create(&mut self, path: &Path) -> io::Result<File>;

    /// Writes at the end.
    ///
    /// # Errors
    /// What the system says; a part may have been written.
    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything written is on stable storage.
    ///
    /// # Errors
    /// What the system says; what was written is then of unknown state.
    fn sync(&mut self, file: &File) -> io::Result<()>;
}

/// The machine's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RealDisk;

// === impl RealDisk ===

impl Disk for RealDisk {
    fn create(&mut self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        file.set_len(0)?;
        Ok(file)
    }

    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// Whether an error says that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
