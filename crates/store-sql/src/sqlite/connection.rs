//! Connections: how they are set, and the tables brought up to date.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use chatbus_sqlite::PAGE_BYTES;
use chatbus_store::{StoreError, StoreErrorKind};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior};

use super::error::opening_error;
use crate::schema::{self, Types};

const TYPES: Types =
    Types { int: "INTEGER", text: "TEXT", bytes: "BLOB", serial: "INTEGER PRIMARY KEY", changing: "" };

/// Beside the tables of both databases.
const TRIGGERS: &str = "CREATE TRIGGER event_goes AFTER DELETE ON event BEGIN \
    DELETE FROM step WHERE event = old.id; END;";

/// How long another process may hold the database before a call fails.
const BUSY: Duration = Duration::from_secs(5);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Reader,
    Checkpointer,
}

/// Opens a connection to a file that is there.
pub(super) fn connect(path: &Path, role: Role) -> rusqlite::Result<Connection> {
    // Without URIs: a path is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    // FULL: a commit returns after the log is synced. The log is copied into the database by the checkpointer,
    // never by a commit on its own account.
    db.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 134217728; PRAGMA temp_store = MEMORY;"
    ))?;
    let cache_kib = match role {
        Role::Writer => 32_768,
        Role::Reader => 8192,
        Role::Checkpointer => 64,
    };
    // Taken as far as there are pages.
    db.execute_batch(&format!("PRAGMA cache_size = -{cache_kib};"))?;
    if role == Role::Reader {
        db.execute_batch("PRAGMA query_only = ON;")?;
    }
    db.set_prepared_statement_cache_capacity(128);
    Ok(db)
}

/// Makes the file, readable for its owner alone, and the tables; gives the writer's connection and the store's
/// id. `new_id` is the id of a store that is new.
pub(super) fn open(path: &Path, new_id: &str) -> Result<(Connection, String), StoreError> {
    make(path)?;
    let failed = |error: rusqlite::Error| opening_error(&format!("open {}", path.display()), error);
    let mut db = connect(path, Role::Writer).map_err(failed)?;
    // Immediate: of processes that open a new file at one moment, one makes the tables.
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    if found > schema::version() {
        let why = format!("{}: {}", path.display(), schema::too_new(found));
        return Err(StoreError::new(StoreErrorKind::Misconfigured, why));
    }
    let id = migrate(&tx, found, new_id).map_err(failed)?;
    tx.commit().map_err(failed)?;
    Ok((db, id))
}

fn migrate(tx: &Transaction<'_>, found: i64, new_id: &str) -> rusqlite::Result<String> {
    for sql in schema::migrations(found, TYPES) {
        tx.execute_batch(&sql)?;
    }
    if found == 0 {
        tx.execute_batch(TRIGGERS)?;
    }
    tx.pragma_update(None, "user_version", schema::version())?;
    let known = tx.query_row("SELECT value FROM meta WHERE name = 'id'", [], |row| row.get(0)).optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    tx.execute("INSERT INTO meta VALUES ('id', ?1)", [new_id])?;
    Ok(new_id.to_owned())
}

fn make(path: &Path) -> Result<(), StoreError> {
    let failed = |what: &Path| {
        let why = format!("the store cannot use {}", what.display());
        move |error: std::io::Error| {
            StoreError::new(StoreErrorKind::Misconfigured, format!("{why}: {error}")).caused_by(error)
        }
    };
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir).map_err(failed(dir))?;
    }
    // Tokens and what people said stand in it. SQLite gives its other files the mode of this one.
    let file =
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    file.map(drop).map_err(failed(path))
}
