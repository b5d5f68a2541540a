//! The database: where it is, how its connections are set, and which version its tables have.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chatbus_event::Family;
use chatbus_sqlite::PAGE_BYTES;
use rusqlite::Connection;

use crate::{OpenError, family};

/// One entry a version: `MIGRATIONS[n]` leads from version `n` to `n + 1`.
const MIGRATIONS: [fn() -> String; 1] = [version_1];

/// What a connection is for, which decides how much memory it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
    Checkpointer,
}

/// Opens a connection. The writer's must be opened first: it creates and migrates.
pub(crate) fn connect(path: &Path, role: Role, max_pages: Option<u32>) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    // Writing has one connection, so this is only ever waited for around checkpoints.
    connection.busy_timeout(Duration::from_secs(5))?;
    let cache_kib = match role {
        Role::Writer => 2048,
        Role::Reader => 1024,
        Role::Checkpointer => 64,
    };
    let mut pragmas = String::new();
    if role == Role::Writer {
        let _ = write!(pragmas, "PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = WAL;");
    }
    // FULL: a commit returns after the log is synced. The log is copied into the database by the
    // checkpointer, never by a commit on its own account. The limit takes effect when the log
    // begins anew; below it the file is reused in place, which needs no metadata written.
    let _ = write!(
        pragmas,
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864; \
         PRAGMA cache_size = -{cache_kib}; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;"
    );
    match (role, max_pages) {
        (Role::Writer, Some(pages)) => {
            let _ = write!(pragmas, "PRAGMA max_page_count = {pages};");
        }
        (Role::Reader, _) => pragmas.push_str("PRAGMA query_only = ON;"),
        _ => {}
    }
    connection.execute_batch(&pragmas)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Makes the folder, opens the writer's connection, and brings the tables up to date.
pub(crate) fn open(path: &Path, max_pages: Option<u32>) -> Result<Connection, OpenError> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    }
    let database = |source| OpenError::Database { path: PathBuf::from(path), source };
    let mut connection = connect(path, Role::Writer, max_pages).map_err(database)?;
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(database)?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(OpenError::NewerSchema { path: path.to_owned(), found, known });
    }
    if found < known {
        migrate(&mut connection, found).map_err(database)?;
    }
    Ok(connection)
}

fn migrate(connection: &mut Connection, from: u32) -> rusqlite::Result<()> {
    let tx = connection.transaction()?;
    for (version, step) in (1_u32..).zip(MIGRATIONS) {
        if version > from {
            tx.execute_batch(&step())?;
            tx.pragma_update(None, "user_version", version)?;
        }
    }
    tx.commit()
}

fn version_1() -> String {
    let mut sql = String::from(
        "CREATE TABLE topic (id INTEGER PRIMARY KEY, subject TEXT NOT NULL UNIQUE, family TEXT NOT NULL, \
           last_seq INTEGER NOT NULL, published INTEGER NOT NULL, bytes INTEGER NOT NULL);\n\
         CREATE TABLE consumer_group (id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, name TEXT NOT NULL, \
           cursor INTEGER NOT NULL, mark INTEGER NOT NULL, settled INTEGER NOT NULL, lost INTEGER NOT NULL, \
           UNIQUE (topic, name));\n\
         CREATE TABLE unsettled (consumer_group INTEGER NOT NULL, seq INTEGER NOT NULL, \
           failures INTEGER NOT NULL, deliveries INTEGER NOT NULL, not_before INTEGER NOT NULL, \
           PRIMARY KEY (consumer_group, seq)) WITHOUT ROWID;\n\
         CREATE TABLE seen (block INTEGER PRIMARY KEY, at INTEGER NOT NULL, ids BLOB NOT NULL);\n",
    );
    for f in Family::ALL {
        let name = family::name(f);
        let _ = writeln!(
            sql,
            "CREATE TABLE message_{name} (seq INTEGER PRIMARY KEY, topic INTEGER NOT NULL, \
               at INTEGER NOT NULL, id TEXT NOT NULL, attributes TEXT NOT NULL, body BLOB NOT NULL);"
        );
        if family::has_many_topics(f) {
            let _ = writeln!(sql, "CREATE INDEX message_{name}_topic ON message_{name} (topic);");
        }
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_a_newer_version_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus").join("bus.db");
        drop(open(&path, None).unwrap());
        let connection = connect(&path, Role::Writer, None).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        let error = open(&path, None).unwrap_err();
        assert!(matches!(error, OpenError::NewerSchema { found: 99, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("schema version 99"), "{error}");
    }

    #[test]
    fn every_statement_of_every_family_fits_its_table() {
        let dir = tempfile::tempdir().unwrap();
        let connection = open(&dir.path().join("bus.db"), None).unwrap();
        for f in Family::ALL {
            let sql = family::sql(f);
            for text in [
                &sql.insert,
                &sql.delete,
                &sql.read_all,
                &sql.read_topic,
                &sql.read_one,
                &sql.oldest,
                &sql.place,
                &sql.last_all,
                &sql.last_topic,
                &sql.first_at,
                &sql.size,
                &sql.counts,
            ] {
                connection.prepare(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            }
        }
    }

    #[test]
    fn commits_are_synced_and_do_not_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let connection = open(&dir.path().join("bus.db"), None).unwrap();
        let number = |pragma: &str| -> i64 {
            connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).unwrap()
        };
        assert_eq!(number("synchronous"), 2);
        assert_eq!(number("wal_autocheckpoint"), 0);
        assert_eq!(number("page_size"), i64::from(PAGE_BYTES));
        let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }
}
