//! The driver that keeps everything in memory: for one process, and for tests with several instances.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_event::Clock;
use chatbus_runtime::CancellationToken;
use tokio::sync::watch;

use crate::{
    Change, Changes, Entry, Expected, Key, Revision, Space, State, StateError, StateErrorKind, Table,
    TableChanges,
};

/// What several handles share, as several processes share a server.
#[derive(Debug, Clone)]
pub struct MemoryStateStore {
    table: Arc<Mutex<Table>>,
    clock: Arc<dyn Clock>,
}

/// One instance's way to the store, which can be cut.
#[derive(Debug)]
pub struct MemoryState {
    store: MemoryStateStore,
    connected: watch::Sender<bool>,
    /// Cancelled when the way is cut; a new one when it opens again.
    cut: Mutex<CancellationToken>,
}

struct MemoryChanges {
    changes: TableChanges,
    cut: CancellationToken,
}

// === impl MemoryStateStore ===

impl MemoryStateStore {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { table: Arc::new(Mutex::new(Table::new(None))), clock }
    }

    /// An empty store in which every space that forgets does so after `ttl`.
    pub fn with_ttl(clock: Arc<dyn Clock>, ttl: Duration) -> Self {
        Self { table: Arc::new(Mutex::new(Table::new(Some(ttl)))), clock }
    }

    /// A way to it.
    pub fn open(&self) -> Arc<MemoryState> {
        let connected = watch::Sender::new(true);
        Arc::new(MemoryState { store: self.clone(), connected, cut: Mutex::default() })
    }
}

// === impl MemoryState ===

impl MemoryState {
    /// Cuts the way to the store, or opens it again. Watches end when it is cut.
    pub fn set_connected(&self, connected: bool) {
        let mut cut = self.cut();
        if connected && cut.is_cancelled() {
            *cut = CancellationToken::new();
        } else if !connected {
            cut.cancel();
        }
        self.connected.send_if_modified(|now| std::mem::replace(now, connected) != connected);
    }

    fn cut(&self) -> MutexGuard<'_, CancellationToken> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> Result<(MutexGuard<'_, Table>, Instant), StateError> {
        if !*self.connected.borrow() {
            return Err(StateError::new(StateErrorKind::Closed, "the state is out of reach"));
        }
        let table = self.store.table.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((table, self.store.clock.instant()))
    }
}

impl Drop for MemoryState {
    fn drop(&mut self) {
        self.cut().cancel();
    }
}

#[async_trait]
impl State for MemoryState {
    async fn get(&self, space: Space, key: &Key) -> Result<Option<Entry>, StateError> {
        let (table, now) = self.table()?;
        Ok(table.get(space, key, now))
    }

    async fn put(
        &self,
        space: Space,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<Revision, StateError> {
        let (mut table, now) = self.table()?;
        table.put(space, key, value, expected, now)
    }

    async fn remove(&self, space: Space, key: &Key, expected: Expected) -> Result<(), StateError> {
        let (mut table, now) = self.table()?;
        table.remove(space, key, expected, now)
    }

    async fn list(&self, space: Space, prefix: Option<&Key>) -> Result<Vec<(Key, Entry)>, StateError> {
        let (table, now) = self.table()?;
        Ok(table.list(space, prefix, now))
    }

    async fn watch(&self, space: Space) -> Result<Box<dyn Changes>, StateError> {
        let cut = self.cut().clone();
        let (mut table, now) = self.table()?;
        Ok(Box::new(MemoryChanges { changes: table.watch(space, now), cut }))
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    async fn close(&self) {
        self.set_connected(false);
    }
}

// === impl MemoryChanges ===

#[async_trait]
impl Changes for MemoryChanges {
    async fn next(&mut self) -> Option<Change> {
        tokio::select! {
            biased;
            () = self.cut.cancelled() => None,
            change = self.changes.next() => change,
        }
    }
}
