//! The store over a database: every repository is written once.

mod events;
mod letters;
mod settings;
mod users;

use async_trait::async_trait;
use chatbus_event::Timestamp;
use chatbus_store::{Store, StoreError};
use tokio::sync::watch;

use crate::database::Database;
use crate::sql;
use crate::value::{Row, Statement, Value};

/// The repositories over one database.
#[derive(Debug)]
pub(crate) struct SqlStore<D> {
    database: D,
    id: String,
}

// === impl SqlStore ===

impl<D: Database> SqlStore<D> {
    /// Over a database of this id.
    pub(crate) fn new(database: D, id: String) -> Self {
        Self { database, id }
    }

    /// The rows that one statement finds.
    async fn find(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        Ok(self.database.read(vec![statement]).await?.pop().unwrap_or_default())
    }

    /// The rows that the last of these statements returns.
    async fn change(&self, statements: impl Into<Vec<Statement>> + Send) -> Result<Vec<Row>, StoreError> {
        Ok(self.database.write(statements.into()).await?.pop().unwrap_or_default())
    }

    /// Whether a statement that returns what it changed changed anything.
    async fn changes(
        &self,
        sql: &'static str,
        values: impl Into<Vec<Value>> + Send,
    ) -> Result<bool, StoreError> {
        Ok(!self.change([Statement::new(sql, values)]).await?.is_empty())
    }
}

#[async_trait]
impl<D: Database> Store for SqlStore<D> {
    fn id(&self) -> &str {
        &self.id
    }

    fn is_shared(&self) -> bool {
        self.database.is_shared()
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.database.connected()
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let mut gone = self.database.sweep_events(now, number(limit)).await?;
        for (table, key) in [("letter", "id"), ("raw", "key"), ("sighting", "key")] {
            let left = limit.saturating_sub(gone);
            if left == 0 {
                break;
            }
            let statement = Statement::new(
                sql::sweep(self.database.dialect(), table, key),
                [now.into(), number(left).into()],
            );
            gone += self.change([statement]).await?.len();
        }
        Ok(gone)
    }

    async fn close(&self) {
        self.database.close().await;
    }
}
