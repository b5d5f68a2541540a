//! The file of the spaces that outlive the process.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use chatbus_event::{Clock, Timestamp};
use chatbus_state::{Entry, Key, Revision, Space, Table};
use rusqlite::{Connection, params};

use crate::OpenError;
use crate::shared::{from_sql, to_sql};

/// The version of the tables.
const VERSION: u32 = 1;

const TABLES: &str = "CREATE TABLE entry (space TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, \
       revision INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (space, key));\n\
     CREATE TABLE counter (revision INTEGER NOT NULL);\n\
     INSERT INTO counter VALUES (0);\n";

/// The database.
#[derive(Debug)]
pub(super) struct File(Connection);

// === impl File ===

impl File {
    /// Makes the folder, opens the file, and brings its tables up to date.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        }
        let failed = |source| OpenError::Database { path: path.to_owned(), source };
        let mut db = Connection::open(path).map_err(failed)?;
        let version = Self::prepare(&mut db).map_err(failed)?;
        if version > VERSION {
            return Err(OpenError::NewerSchema { path: path.to_owned(), found: version, known: VERSION });
        }
        Ok(Self(db))
    }

    fn prepare(db: &mut Connection) -> rusqlite::Result<u32> {
        db.busy_timeout(Duration::from_secs(5))?;
        // FULL: a commit returns after the log is synced.
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -512;")?;
        let found: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if found == 0 {
            let tx = db.transaction()?;
            tx.execute_batch(TABLES)?;
            tx.pragma_update(None, "user_version", VERSION)?;
            tx.commit()?;
            return Ok(VERSION);
        }
        Ok(found)
    }

    /// Reads everything into the table; gives the largest revision there ever was.
    pub(super) fn load(
        &self,
        table: &mut Table,
        ttl: Option<Duration>,
        clock: &dyn Clock,
    ) -> rusqlite::Result<u64> {
        let (now, instant) = (clock.now(), clock.instant());
        self.forget(now, ttl)?;
        let mut rows = self.0.prepare("SELECT space, key, value, revision, at FROM entry")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let key: String = row.get(1)?;
            let space = Space::ALL.into_iter().find(|space| space.name() == name);
            // Somebody may have written by hand what is none.
            let (Some(space), Ok(key)) = (space, Key::parse(&key)) else { continue };
            let value: Vec<u8> = row.get(2)?;
            let entry = Entry { value: Bytes::from(value), revision: Revision(from_sql(row.get(3)?)) };
            let age = now.since(Timestamp::from_millis(row.get(4)?));
            table.insert(space, &key, entry, instant.checked_sub(age).unwrap_or(instant));
        }
        self.0.query_row("SELECT revision FROM counter", [], |row| row.get(0)).map(from_sql)
    }

    /// Removes what is past its time to live.
    pub(super) fn forget(&self, now: Timestamp, ttl: Option<Duration>) -> rusqlite::Result<()> {
        for space in Space::ALL {
            let Some(own) = space.ttl().filter(|_| space.is_durable()) else { continue };
            let age = i64::try_from(ttl.unwrap_or(own).as_millis()).unwrap_or(i64::MAX);
            let before = now.as_millis().saturating_sub(age);
            let mut delete = self.0.prepare_cached("DELETE FROM entry WHERE space = ? AND at <= ?")?;
            delete.execute(params![space.name(), before])?;
        }
        Ok(())
    }

    pub(super) fn begin(&self) -> rusqlite::Result<()> {
        self.0.execute_batch("BEGIN IMMEDIATE")
    }

    pub(super) fn put(
        &self,
        space: Space,
        key: &Key,
        value: &[u8],
        revision: u64,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let mut insert = self.0.prepare_cached("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?)")?;
        insert
            .execute(params![space.name(), key.as_str(), value, to_sql(revision), now.as_millis()])
            .map(drop)
    }

    pub(super) fn remove(&self, space: Space, key: &Key) -> rusqlite::Result<()> {
        let mut delete = self.0.prepare_cached("DELETE FROM entry WHERE space = ? AND key = ?")?;
        delete.execute(params![space.name(), key.as_str()]).map(drop)
    }

    /// Commits, with the largest revision there ever was. Returns once it is synced to the disk.
    pub(super) fn commit(&self, revision: u64) -> rusqlite::Result<()> {
        self.0.prepare_cached("UPDATE counter SET revision = ?")?.execute([to_sql(revision)])?;
        self.0.execute_batch("COMMIT")
    }

    pub(super) fn roll_back(&self) {
        if !self.0.is_autocommit()
            && let Err(error) = self.0.execute_batch("ROLLBACK")
        {
            tracing::warn!(event = "state.rollback_failed", reason = %error, "a transaction was not taken back");
        }
    }

    /// Lets go of the file without copying the log into it, as a killed process would.
    pub(super) fn leave_log(&self) {
        use rusqlite::config::DbConfig;
        let _ = self.0.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }
}
