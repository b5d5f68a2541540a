//! PostgreSQL: one server for the processes of many machines.

mod connect;
mod error;
mod migrate;
mod monitor;
mod people;
mod pool;
mod record;
mod statements;
mod tx;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_event::Timestamp;
use chatbus_runtime::Runtime;
use chatbus_store::StoreError;
use tokio::sync::watch;

use crate::batch::Batch;
use crate::database::Database;
use crate::dialect::Dialect;
use crate::people::{Done, Work};
use crate::url::PostgresTarget;
use crate::value::{Row, Statement};
use connect::Connector;
use people::Rewrite;
use pool::{Kind, Pool};
use record::Record;
use statements::{Statements, SweepEvents};

/// How long a call may take, its waits for a connection and its repeats included.
const LIMIT: Duration = Duration::from_secs(5);

/// What a call may take beyond that for each record: a large one is not cut off while it goes on.
const PER_RECORD: Duration = Duration::from_millis(1);

/// A server.
pub(crate) struct Postgres {
    pool: Arc<Pool>,
}

// === impl Postgres ===

impl Postgres {
    /// Connects and brings the tables up to date; gives the store's id as well.
    pub(crate) async fn open(target: PostgresTarget, runtime: Runtime) -> Result<(Self, String), StoreError> {
        let connector = Connector::new(target, runtime.clone())?;
        let id = migrate::run(&connector, &runtime.entropy.uuid().to_string()).await?;
        let pool = Arc::new(Pool::new(connector, runtime.clone()));
        runtime.spawn("store.postgres.monitor", monitor::run(Arc::clone(&pool)));
        Ok((Self { pool }, id))
    }

    fn limit(records: usize) -> Duration {
        LIMIT + PER_RECORD * u32::try_from(records).unwrap_or(u32::MAX)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.pool.begin_close();
    }
}

#[async_trait]
impl Database for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.pool.perform(Kind::Read, LIMIT, &Statements(statements)).await
    }

    async fn write(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.pool.perform(Kind::Write, LIMIT, &Statements(statements)).await
    }

    async fn record(&self, batch: Batch) -> Result<(), StoreError> {
        let limit = Self::limit(batch.size());
        self.pool.perform(Kind::Write, limit, &Record::new(batch)).await
    }

    async fn rewrite(&self, work: Work) -> Result<Done, StoreError> {
        let limit = Self::limit(work.size());
        self.pool.perform(Kind::Write, limit, &Rewrite(work)).await
    }

    async fn sweep_events(&self, now: Timestamp, limit: i64) -> Result<usize, StoreError> {
        let time = Self::limit(usize::try_from(limit).unwrap_or(usize::MAX));
        self.pool.perform(Kind::Write, time, &SweepEvents { now, limit }).await
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.pool.connected.subscribe()
    }

    async fn close(&self) {
        self.pool.close(LIMIT).await;
    }
}
