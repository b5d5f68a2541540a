//! A transaction, and the statements that its connection knows.

use std::collections::HashMap;

use async_trait::async_trait;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement, Transaction};

use super::error::WorkError;

/// Statements that a connection remembers; beyond that it forgets them all. Filters make a few hundred.
const MAX_STATEMENTS: usize = 512;

/// What is done within one transaction; it may be done again from the start.
#[async_trait]
pub(super) trait TxWork: Sync {
    type Output: Send;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Output, WorkError>;
}

/// A transaction that is open.
pub(super) struct Tx<'a> {
    pub(super) inner: Transaction<'a>,
    pub(super) statements: &'a mut HashMap<String, Statement>,
}

// === impl Tx ===

impl Tx<'_> {
    /// A statement, known to the server from its second use on. Parameters are `?1` and so on.
    pub(super) async fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        let prepared = self.inner.prepare(&sql.replace('?', "$")).await?;
        if self.statements.len() >= MAX_STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }

    /// The rows that a statement returns.
    pub(super) async fn query(
        &mut self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let statement = self.prepare(sql).await?;
        self.inner.query(&statement, parameters).await
    }

    /// How many rows a statement changes.
    pub(super) async fn execute(
        &mut self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        let statement = self.prepare(sql).await?;
        self.inner.execute(&statement, parameters).await
    }
}
