//! The driver that keeps everything in memory: for tests, and exact where others are fast.

mod data;
mod events;
mod letters;
mod settings;
mod users;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chatbus_event::Timestamp;
use tokio::sync::watch;

use crate::{Store, StoreError, StoreErrorKind};
use data::Data;

/// A store in memory. What is written is there as long as the last handle of it.
///
/// It has no bound of its own: whoever writes for ever sweeps, as with every store.
#[derive(Debug)]
pub struct MemoryStore {
    id: String,
    data: Arc<Mutex<Data>>,
    connected: watch::Sender<bool>,
    /// Records with these keys are refused.
    refused: Mutex<BTreeSet<String>>,
}

// === impl MemoryStore ===

impl MemoryStore {
    /// An empty store of this id.
    pub fn new(id: impl Into<String>) -> Arc<Self> {
        Arc::new(Self::over(id.into(), Arc::default()))
    }

    /// Another handle of the same store, as another process would have; its switches are its own.
    pub fn handle(&self) -> Arc<Self> {
        Arc::new(Self::over(self.id.clone(), Arc::clone(&self.data)))
    }

    /// Puts the store out of reach of this handle, or back: while it is, every call fails
    /// [`Unavailable`](StoreErrorKind::Unavailable).
    pub fn set_available(&self, available: bool) {
        self.connected.send_if_modified(|now| std::mem::replace(now, available) != available);
    }

    /// From here on a record with this key is [`Refused`](StoreErrorKind::Refused): the key of a step, of a
    /// sighting or of something raw, the id of a letter or of a source.
    pub fn refuse(&self, key: impl Into<String>) {
        self.refused().insert(key.into());
    }

    fn over(id: String, data: Arc<Mutex<Data>>) -> Self {
        Self { id, data, connected: watch::Sender::new(true), refused: Mutex::default() }
    }

    fn data(&self) -> Result<MutexGuard<'_, Data>, StoreError> {
        if !*self.connected.borrow() {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the store is out of reach"));
        }
        Ok(self.data.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fails when one of these keys is refused.
    fn check_keys<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Result<(), StoreError> {
        let refused = self.refused();
        match keys.enumerate().find(|(_, key)| refused.contains(*key)) {
            Some((at, key)) => {
                Err(StoreError::new(StoreErrorKind::Refused, format!("{key} is refused")).at(at))
            }
            None => Ok(()),
        }
    }

    fn refused(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn id(&self) -> &str {
        &self.id
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        Ok(self.data()?.sweep(now, limit))
    }

    async fn close(&self) {
        self.set_available(false);
    }
}
