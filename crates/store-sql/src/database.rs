//! What the two databases have in common.

use async_trait::async_trait;
use chatbus_event::Timestamp;
use chatbus_store::StoreError;
use tokio::sync::watch;

use crate::batch::Batch;
use crate::dialect::Dialect;
use crate::people::{Done, Work};
use crate::value::{Row, Statement};

/// A database with the store's tables. Every call is one transaction.
#[async_trait]
pub(crate) trait Database: Send + Sync + 'static {
    /// How it speaks.
    fn dialect(&self) -> Dialect;

    /// Whether it serves more than one machine.
    fn is_shared(&self) -> bool;

    /// What these statements find, all at one moment.
    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError>;

    /// Does these statements, and gives what they return.
    async fn write(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError>;

    /// Writes entries.
    async fn record(&self, batch: Batch) -> Result<(), StoreError>;

    /// Reads users and keys, works, and writes what came of it, while nobody else changes them.
    async fn rewrite(&self, work: Work) -> Result<Done, StoreError>;

    /// Removes events past their time with their steps; gives how many.
    async fn sweep_events(&self, now: Timestamp, limit: i64) -> Result<usize, StoreError>;

    /// See [`Store::connected`](chatbus_store::Store::connected).
    fn connected(&self) -> watch::Receiver<bool>;

    /// See [`Store::close`](chatbus_store::Store::close).
    async fn close(&self);
}
