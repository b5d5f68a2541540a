//! A state whose writes can go wrong on the way.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_state::{
    Changes, Entry, Expected, Key, MemoryState, Revision, Space, State, StateError, StateErrorKind,
};
use tokio::sync::watch;

/// Passes everything on, but for what it is told to do to writes.
pub(crate) struct Flaky {
    inner: Arc<MemoryState>,
    /// So many of the next writes are done and answered with an error.
    lose_answers: AtomicU32,
    /// How long a write is on its way.
    delay: Mutex<Duration>,
}

// === impl Flaky ===

impl Flaky {
    pub(crate) fn on(inner: Arc<MemoryState>) -> Arc<Self> {
        Arc::new(Self { inner, lose_answers: AtomicU32::new(0), delay: Mutex::default() })
    }

    pub(crate) fn lose_answers(&self, n: u32) {
        self.lose_answers.store(n, Ordering::SeqCst);
    }

    pub(crate) fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }
}

#[async_trait]
impl State for Flaky {
    async fn get(&self, space: Space, key: &Key) -> Result<Option<Entry>, StateError> {
        self.inner.get(space, key).await
    }

    async fn put(
        &self,
        space: Space,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<Revision, StateError> {
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        let written = self.inner.put(space, key, value, expected).await;
        let lost = self.lose_answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match lost {
            Ok(_) => Err(StateError::new(StateErrorKind::Uncertain, "the answer was lost")),
            Err(_) => written,
        }
    }

    async fn remove(&self, space: Space, key: &Key, expected: Expected) -> Result<(), StateError> {
        self.inner.remove(space, key, expected).await
    }

    async fn list(&self, space: Space, prefix: Option<&Key>) -> Result<Vec<(Key, Entry)>, StateError> {
        self.inner.list(space, prefix).await
    }

    async fn watch(&self, space: Space) -> Result<Box<dyn Changes>, StateError> {
        self.inner.watch(space).await
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.inner.connected()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
