//! Why the bus could not be opened, and how SQLite's errors read in the words of the contract.

use std::io;
use std::path::PathBuf;

use chatbus_bus::{BusError, BusErrorKind};
use rusqlite::ErrorCode;

/// Why an [`EmbeddedBus`](crate::EmbeddedBus) could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process works on this DATA_DIR.
    #[error(
        "{} is in use by another chatbus process{}: the embedded bus serves one process; \
         to run several, use NATS (MESSAGE_BUS_DRIVER=nats)",
        dir.display(), pid.map(|p| format!(" (pid {p})")).unwrap_or_default()
    )]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// Who holds it, as far as it says so.
        pid: Option<u32>,
    },
    /// A newer chatbus wrote this database.
    #[error(
        "{} has schema version {found}, this chatbus knows versions up to {known}: \
         start the chatbus that wrote it, or give this one another DATA_DIR",
        path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest one known here.
        known: u32,
    },
    /// BUS_PREFIX cannot be used.
    #[error("BUS_PREFIX is at most 100 of A-Z a-z 0-9 _ - ., which {0:?} is not")]
    BadPrefix(String),
    /// The folder or the lock file cannot be made.
    #[error("cannot use {} for the embedded bus: {source}", path.display())]
    Io {
        /// What was opened or made.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database cannot be opened.
    #[error("cannot open the embedded bus in {}: {source}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
}

/// Turns an error of SQLite into one of the bus. `doing` completes "the embedded bus could not …".
pub(crate) fn bus_error(doing: &str, error: &rusqlite::Error) -> BusError {
    let kind = if is_full(error) { BusErrorKind::Full } else { BusErrorKind::Refused };
    BusError::new(kind, format!("the embedded bus could not {doing}")).caused_by(error.to_string())
}

/// Whether the disk, or the configured number of pages, is used up.
pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// The answer to everything once the bus is closing.
pub(crate) fn closed() -> BusError {
    BusError::closed("the embedded bus is closed")
}
