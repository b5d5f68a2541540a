//! SQLite: a file, for the processes of one machine.

mod connection;
mod error;
mod indexed;
mod jobs;
mod threads;
mod work;
mod writer;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chatbus_event::{Entropy, Timestamp};
use chatbus_store::{StoreError, StoreErrorKind};
use rusqlite::Connection;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::batch::Batch;
use crate::database::Database;
use crate::dialect::Dialect;
use crate::people::{Done, Work};
use crate::value::{Row, Statement};
use jobs::{Call, Job, WorkError};
use threads::Ways;

/// How long a call waits for its place in the queue.
const LIMIT: Duration = Duration::from_secs(5);

/// An open file.
pub(crate) struct Sqlite {
    /// Taken when it is closed.
    ways: Mutex<Option<Ways>>,
    connected: watch::Sender<bool>,
}

// === impl Sqlite ===

impl Sqlite {
    /// Opens or makes a file; gives the store's id as well.
    pub(crate) fn open(path: &Path, entropy: &dyn Entropy) -> Result<(Self, String), StoreError> {
        let (db, id) = connection::open(path, &entropy.uuid().to_string())?;
        let connected = watch::Sender::new(true);
        let ways = threads::start(path, db, connected.clone())?;
        Ok((Self { ways: Mutex::new(Some(ways)), connected }, id))
    }

    async fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.on(|ways| &ways.writes, false, work).await
    }

    async fn on<T: Send + 'static>(
        &self,
        way: fn(&Ways) -> &mpsc::Sender<Box<dyn Job>>,
        is_bulk: bool,
        work: impl FnOnce(&Connection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let queue =
            self.ways.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|ways| way(ways).clone());
        let queue = queue.ok_or_else(|| unavailable("the store is closed"))?;
        let (job, answer) = Call::make(work, is_bulk);
        match timeout(LIMIT, queue.send(job)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(unavailable("the store has ended")),
            Err(_) => return Err(unavailable("too many calls wait for the store")),
        }
        answer.await.unwrap_or_else(|_| Err(unavailable("the store ended before it answered")))
    }
}

#[async_trait]
impl Database for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        let read = move |db: &Connection| {
            // All at one moment. Nothing was written, so that ending it cannot lose anything.
            let tx = db.unchecked_transaction()?;
            work::statements(&tx, &statements)
        };
        self.on(|ways| &ways.reads, false, read).await
    }

    async fn write(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.on_writer(move |db| work::statements(db, &statements)).await
    }

    async fn record(&self, batch: Batch) -> Result<(), StoreError> {
        self.on(|ways| &ways.writes, true, move |db| work::record(db, batch)).await
    }

    async fn rewrite(&self, work: Work) -> Result<Done, StoreError> {
        self.on_writer(move |db| work::rewrite(db, &work)).await
    }

    async fn sweep_events(&self, now: Timestamp, limit: i64) -> Result<usize, StoreError> {
        self.on(|ways| &ways.writes, true, move |db| work::sweep_events(db, now, limit)).await
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    async fn close(&self) {
        let ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Ways { writes, reads, mut ended }) = ways {
            drop((writes, reads));
            // Fails when the last thread has let go of it.
            while ended.changed().await.is_ok() {}
        }
        self.connected.send_if_modified(std::mem::take);
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, why)
}
