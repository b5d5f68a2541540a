//! The shared state of one process.
//!
//! Everything is in memory. The spaces that outlive the process are in SQLite as well, written before a
//! call returns, by a thread of their own that commits what waits as one group. They have a file of
//! their own beside the bus's (`state.db`, with a prefix `state-PREFIX.db`): the bus's database has one
//! writer that a second one would make wait for its commits, and be made to wait by.
//!
//! | table | holds |
//! |---|---|
//! | `entry` | `space`, `key`, `value`, `revision`, `at` (when it was written, milliseconds since 1970) |
//! | `counter` | the largest revision there ever was |

mod file;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_event::Clock;
use chatbus_runtime::CancellationToken;
use chatbus_state::{
    Change, Changes, Entry, Expected, Key, Revision, Space, State, StateError, StateErrorKind, Table,
    TableChanges,
};
use tokio::sync::{oneshot, watch};

use crate::queue::{Queue, Refused};
use crate::{EmbeddedConfig, OpenError};
use file::File;
pub(crate) use writer::StateWriter;

/// Bytes of writes that may wait for the disk.
const BACKLOG_BYTES: usize = 16 * 1024 * 1024;

/// What the handles and the thread have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    table: Mutex<Table>,
    clock: Arc<dyn Clock>,
    writes: Queue<Write>,
    handles: Mutex<Vec<Weak<Way>>>,
    closed: AtomicBool,
    /// Whether to end as a killed process would; for tests.
    killed: AtomicBool,
}

/// A write to a space that outlives the process.
#[derive(Debug)]
struct Write {
    space: Space,
    key: Key,
    /// `None` removes.
    value: Option<Bytes>,
    expected: Expected,
    reply: oneshot::Sender<Result<Revision, StateError>>,
}

/// One handle.
#[derive(Debug)]
pub(crate) struct EmbeddedState {
    shared: Arc<Shared>,
    way: Arc<Way>,
}

/// Whether a handle is closed.
#[derive(Debug)]
struct Way {
    closing: CancellationToken,
    connected: watch::Sender<bool>,
}

struct EmbeddedChanges {
    changes: TableChanges,
    closing: CancellationToken,
}

// === impl Shared ===

impl Shared {
    /// Reads what outlived the last process, and makes what the thread needs.
    pub(crate) fn open(
        path: &Path,
        config: &EmbeddedConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, StateWriter), OpenError> {
        let file = File::open(path)?;
        let mut table = Table::new(config.state_ttl);
        let failed = |source| OpenError::Database { path: path.to_owned(), source };
        let revision = file.load(&mut table, config.state_ttl, &*clock).map_err(failed)?;
        let shared = Arc::new(Self {
            table: Mutex::new(table),
            clock,
            writes: Queue::new(BACKLOG_BYTES),
            handles: Mutex::default(),
            closed: AtomicBool::new(false),
            killed: AtomicBool::new(false),
        });
        let writer = StateWriter::new(Arc::clone(&shared), file, revision, config.state_ttl);
        Ok((shared, writer))
    }

    /// Another handle.
    pub(crate) fn handle(self: &Arc<Self>) -> Arc<dyn State> {
        let way = Arc::new(Way { closing: CancellationToken::new(), connected: watch::Sender::new(true) });
        {
            let mut handles = self.handles();
            handles.retain(|handle| handle.strong_count() > 0);
            handles.push(Arc::downgrade(&way));
        }
        if self.closed.load(Ordering::Acquire) {
            way.close();
        }
        Arc::new(EmbeddedState { shared: Arc::clone(self), way })
    }

    /// From here on nothing that waits is written.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
    }

    /// Takes nothing more, and ends every watch; what was accepted is still written.
    pub(crate) fn begin_close(&self) {
        self.closed.store(true, Ordering::Release);
        self.writes.close();
        for way in self.handles().iter().filter_map(Weak::upgrade) {
            way.close();
        }
        self.table().end_watches();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handles(&self) -> MutexGuard<'_, Vec<Weak<Way>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Way ===

impl Way {
    fn close(&self) {
        self.closing.cancel();
        self.connected.send_if_modified(std::mem::take);
    }
}

// === impl EmbeddedState ===

impl EmbeddedState {
    fn table(&self) -> Result<MutexGuard<'_, Table>, StateError> {
        if self.way.closing.is_cancelled() { Err(closed()) } else { Ok(self.shared.table()) }
    }

    async fn write(
        &self,
        space: Space,
        key: &Key,
        value: Option<Bytes>,
        expected: Expected,
    ) -> Result<Revision, StateError> {
        if self.way.closing.is_cancelled() {
            return Err(closed());
        }
        let cost = key.as_str().len() + value.as_ref().map_or(0, Bytes::len) + 256;
        let (reply, answer) = oneshot::channel();
        let write = Write { space, key: key.clone(), value, expected, reply };
        match self.shared.writes.push(write, cost) {
            Ok(()) => {}
            Err(Refused::Closed) => return Err(closed()),
            Err(Refused::Full) => {
                let why = format!("writing {key}: too much waits for the disk");
                return Err(StateError::new(StateErrorKind::Refused, why));
            }
        }
        // The thread ended with it in hand.
        let lost = || StateError::new(StateErrorKind::Uncertain, format!("writing {key}: the state ended"));
        answer.await.unwrap_or_else(|_| Err(lost()))
    }
}

#[async_trait]
impl State for EmbeddedState {
    async fn get(&self, space: Space, key: &Key) -> Result<Option<Entry>, StateError> {
        Ok(self.table()?.get(space, key, self.shared.clock.instant()))
    }

    async fn put(
        &self,
        space: Space,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<Revision, StateError> {
        chatbus_state::check_size(key, &value)?;
        if space.is_durable() {
            return self.write(space, key, Some(value), expected).await;
        }
        self.table()?.put(space, key, value, expected, self.shared.clock.instant())
    }

    async fn remove(&self, space: Space, key: &Key, expected: Expected) -> Result<(), StateError> {
        if space.is_durable() {
            return self.write(space, key, None, expected).await.map(drop);
        }
        self.table()?.remove(space, key, expected, self.shared.clock.instant())
    }

    async fn list(&self, space: Space, prefix: Option<&Key>) -> Result<Vec<(Key, Entry)>, StateError> {
        Ok(self.table()?.list(space, prefix, self.shared.clock.instant()))
    }

    async fn watch(&self, space: Space) -> Result<Box<dyn Changes>, StateError> {
        let changes = self.table()?.watch(space, self.shared.clock.instant());
        Ok(Box::new(EmbeddedChanges { changes, closing: self.way.closing.clone() }))
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.way.connected.subscribe()
    }

    async fn close(&self) {
        self.way.close();
    }
}

// === impl EmbeddedChanges ===

#[async_trait]
impl Changes for EmbeddedChanges {
    async fn next(&mut self) -> Option<Change> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => None,
            change = self.changes.next() => change,
        }
    }
}

fn closed() -> StateError {
    StateError::closed("the embedded state is closed")
}
