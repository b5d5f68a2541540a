//! The tables brought up to date, by one process at a time.

use std::time::Duration;

use chatbus_store::{StoreError, StoreErrorKind};
use tokio::time::timeout;
use tokio_postgres::{Error, GenericClient};

use super::connect::Connector;
use super::error::{opening_error, unavailable};
use crate::schema::{self, Types};

const TYPES: Types = Types {
    int: "bigint",
    text: "text COLLATE \"C\"",
    bytes: "bytea",
    serial: "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    // Room on each page for the next version of a row, so that indexes need not learn of it.
    changing: " WITH (fillfactor = 80)",
};

/// Nobody else's advisory lock, as far as one can know: "chatbus" in ASCII.
const LOCK: i64 = 0x63_6861_7462_7573;

const LIMIT: Duration = Duration::from_secs(60);

/// Makes or renews the tables; gives the store's id. `new_id` is that of a store that is new.
pub(super) async fn run(connector: &Connector, new_id: &str) -> Result<String, StoreError> {
    let mut link = connector.connect().await?;
    let migrated = timeout(LIMIT, async {
        let tx = link.client.transaction().await.map_err(failed)?;
        let id = migrate(&tx, new_id).await?;
        tx.commit().await.map_err(failed)?;
        Ok(id)
    });
    migrated.await.unwrap_or_else(|_| Err(unavailable("the store's tables could not be looked at in time")))
}

async fn migrate(tx: &impl GenericClient, new_id: &str) -> Result<String, StoreError> {
    tx.query_one("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    let encoding: String = tx.query_one("SHOW server_encoding", &[]).await.map_err(failed)?.get(0);
    if encoding != "UTF8" {
        let why = format!("the store's database has encoding {encoding}: create one with encoding UTF8");
        return Err(StoreError::new(StoreErrorKind::Misconfigured, why));
    }
    let known =
        tx.query_opt("SELECT 1 FROM pg_namespace WHERE nspname = 'chatbus'", &[]).await.map_err(failed)?;
    if known.is_none() {
        // Where this may not be done, an administrator does it once.
        tx.batch_execute("CREATE SCHEMA chatbus").await.map_err(failed)?;
    }
    let meta: Option<String> =
        tx.query_one("SELECT to_regclass('chatbus.meta')::text", &[]).await.map_err(failed)?.get(0);
    let found = if meta.is_some() { found(tx).await? } else { 0 };
    if found > schema::version() {
        return Err(StoreError::new(StoreErrorKind::Misconfigured, schema::too_new(found)));
    }
    for sql in schema::migrations(found, TYPES) {
        tx.batch_execute(&sql).await.map_err(failed)?;
    }
    let put = "INSERT INTO meta VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.execute(put, &[&"schema", &schema::version().to_string()]).await.map_err(failed)?;
    tx.execute("INSERT INTO meta VALUES ('id', $1) ON CONFLICT DO NOTHING", &[&new_id])
        .await
        .map_err(failed)?;
    let id = tx.query_one("SELECT value FROM meta WHERE name = 'id'", &[]).await.map_err(failed)?;
    id.try_get(0).map_err(failed)
}

async fn found(tx: &impl GenericClient) -> Result<i64, StoreError> {
    let row = tx.query_opt("SELECT value FROM meta WHERE name = 'schema'", &[]).await.map_err(failed)?;
    let text: Option<String> = row.map(|row| row.try_get(0)).transpose().map_err(failed)?;
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let why = "the schema chatbus of the store's database does not say its version";
        StoreError::new(StoreErrorKind::Misconfigured, why)
    })
}

fn failed(error: Error) -> StoreError {
    opening_error("bring its tables up to date", error)
}
