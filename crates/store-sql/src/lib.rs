//! The store on SQLite (one file, for the processes of one machine) and on PostgreSQL.
//!
//! Both have the same tables (`schema`), and every repository is written once over what they have in common
//! (`database`). Only what is worth doing differently is: SQLite has one thread that writes, which groups the
//! calls that wait into one commit; PostgreSQL gets a call as a few statements over many rows each.
//!
//! **What a returned call means.** SQLite: the log is synced to the disk (`synchronous = FULL`). PostgreSQL: as
//! durable as its own `fsync` and `synchronous_commit` make it, by default as much.
//!
//! A call that fails because nobody answered in time may have been done all the same: with keys and versions a
//! repeat of it changes nothing.

mod batch;
mod codes;
mod database;
mod dialect;
mod people;
mod postgres;
mod schema;
mod select;
mod sql;
mod sqlite;
mod store;
mod url;
mod value;

use std::path::Path;
use std::sync::Arc;

use chatbus_runtime::Runtime;
use chatbus_store::{Store, StoreError};

use postgres::Postgres;
use sqlite::Sqlite;
use store::SqlStore;
use url::Target;

/// Opens the store of a STORE_URL: `sqlite:` (the file `default_path`), `sqlite:PATH`, `postgres://…` or
/// `postgresql://…`. What is missing is made: a file with its folder, the tables.
///
/// `sslmode` and `sslrootcert` of a PostgreSQL URL mean: `disable`: plain; `require`: encrypted, and the server's
/// certificate is checked against that file, else against the public authorities; `prefer`, the default: the
/// same where the server offers it, and plain on this machine.
///
/// # Errors
/// [`Misconfigured`](chatbus_store::StoreErrorKind::Misconfigured) when the URL is wrong or the database can
/// never be used; [`Unavailable`](chatbus_store::StoreErrorKind::Unavailable) when it is not in reach now.
pub async fn open(url: &str, default_path: &Path, runtime: Runtime) -> Result<Arc<dyn Store>, StoreError> {
    match url::parse(url, default_path)? {
        Target::Sqlite(path) => {
            let (database, id) = Sqlite::open(&path, &*runtime.entropy)?;
            Ok(Arc::new(SqlStore::new(database, id)))
        }
        Target::Postgres(target) => {
            let (database, id) = Postgres::open(*target, runtime).await?;
            Ok(Arc::new(SqlStore::new(database, id)))
        }
    }
}
