//! The driver that keeps everything in memory: for one process, and for tests with several instances.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_event::Clock;
use tokio::sync::{mpsc, watch};

use crate::{
    Change, Changes, Entry, Expected, Key, MAX_VALUE_BYTES, Revision, Space, State, StateError,
    StateErrorKind,
};

/// What several handles share, as several processes share a server.
#[derive(Debug, Clone)]
pub struct MemoryStateStore {
    spaces: Arc<Mutex<Spaces>>,
    clock: Arc<dyn Clock>,
}

/// One instance's way to the store, which can be cut.
#[derive(Debug)]
pub struct MemoryState {
    store: MemoryStateStore,
    /// Counts the times the way was cut, when it is open; `None` while it is cut.
    connected: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Spaces {
    entries: BTreeMap<(Space, Key), (Entry, Instant)>,
    last: u64,
    watchers: Vec<(Space, mpsc::Sender<Change>)>,
}

struct MemoryChanges {
    changes: mpsc::Receiver<Change>,
    connected: watch::Receiver<bool>,
}

/// Changes a watcher may be behind; one that is more ends, and is begun again by who needs it.
const MAX_BEHIND: usize = 65_536;

// === impl MemoryStateStore ===

impl MemoryStateStore {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { spaces: Arc::default(), clock }
    }

    /// A way to it.
    pub fn open(&self) -> Arc<MemoryState> {
        Arc::new(MemoryState { store: self.clone(), connected: watch::Sender::new(true) })
    }

    fn lock(&self) -> MutexGuard<'_, Spaces> {
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.instant();
        // Nobody is told, as with the drivers that have servers.
        spaces.entries.retain(|(space, _), (_, written)| {
            space.ttl().is_none_or(|ttl| now.saturating_duration_since(*written) < ttl)
        });
        spaces
    }
}

// === impl Spaces ===

impl Spaces {
    fn get(&self, space: Space, key: &Key) -> Option<&Entry> {
        self.entries.get(&(space, key.clone())).map(|(entry, _)| entry)
    }

    fn check(&self, space: Space, key: &Key, expected: Expected) -> Result<(), StateError> {
        let there = self.get(space, key).map(|entry| entry.revision);
        let is_so = match expected {
            Expected::Anything => true,
            Expected::Absent => there.is_none(),
            Expected::At(revision) => there == Some(revision),
        };
        let conflict = || StateError::new(StateErrorKind::Conflict, format!("{key} was written by another"));
        if is_so { Ok(()) } else { Err(conflict()) }
    }

    fn tell(&mut self, space: Space, change: &Change) {
        self.watchers
            .retain(|(watched, watcher)| *watched != space || watcher.try_send(change.clone()).is_ok());
    }
}

// === impl MemoryState ===

impl MemoryState {
    /// Cuts the way to the store, or opens it again. Watches end when it is cut.
    pub fn set_connected(&self, connected: bool) {
        self.connected.send_if_modified(|now| std::mem::replace(now, connected) != connected);
    }

    fn spaces(&self) -> Result<MutexGuard<'_, Spaces>, StateError> {
        if *self.connected.borrow() {
            Ok(self.store.lock())
        } else {
            Err(StateError::new(StateErrorKind::Closed, "the state is out of reach"))
        }
    }
}

#[async_trait]
impl State for MemoryState {
    async fn get(&self, space: Space, key: &Key) -> Result<Option<Entry>, StateError> {
        Ok(self.spaces()?.get(space, key).cloned())
    }

    async fn put(
        &self,
        space: Space,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<Revision, StateError> {
        if value.len() > MAX_VALUE_BYTES {
            let why = format!("a value of {} bytes under {key}", value.len());
            return Err(StateError::new(StateErrorKind::TooLarge, why));
        }
        let now = self.store.clock.instant();
        let mut spaces = self.spaces()?;
        spaces.check(space, key, expected)?;
        spaces.last += 1;
        let revision = Revision(spaces.last);
        let entry = Entry { value, revision };
        spaces.entries.insert((space, key.clone()), (entry.clone(), now));
        spaces.tell(space, &Change::Set(key.clone(), entry));
        Ok(revision)
    }

    async fn remove(&self, space: Space, key: &Key, expected: Expected) -> Result<(), StateError> {
        let mut spaces = self.spaces()?;
        spaces.check(space, key, expected)?;
        if spaces.entries.remove(&(space, key.clone())).is_some() {
            spaces.tell(space, &Change::Removed(key.clone()));
        }
        Ok(())
    }

    async fn list(&self, space: Space, prefix: Option<&Key>) -> Result<Vec<(Key, Entry)>, StateError> {
        let spaces = self.spaces()?;
        let all = spaces
            .entries
            .iter()
            .filter(|((of, key), _)| *of == space && prefix.is_none_or(|prefix| key.is_under(prefix)));
        Ok(all.map(|((_, key), (entry, _))| (key.clone(), entry.clone())).collect())
    }

    async fn watch(&self, space: Space) -> Result<Box<dyn Changes>, StateError> {
        let connected = self.connected.subscribe();
        let mut spaces = self.spaces()?;
        let there: Vec<Change> = spaces
            .entries
            .iter()
            .filter(|((of, _), _)| *of == space)
            .map(|((_, key), (entry, _))| Change::Set(key.clone(), entry.clone()))
            .chain([Change::Current])
            .collect();
        let (sender, changes) = mpsc::channel(MAX_BEHIND.max(2 * there.len()));
        for change in there {
            let _ = sender.try_send(change);
        }
        spaces.watchers.push((space, sender));
        Ok(Box::new(MemoryChanges { changes, connected }))
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
            // Also once nobody can open the way again.
            _ = self.connected.wait_for(|connected| !connected) => None,
            change = self.changes.recv() => change,
        }
    }
}
