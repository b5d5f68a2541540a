//! What buses share: the data under each prefix, and whether it is in reach.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::space::Space;

/// The memory behind one or more [`MemoryBus`](super::MemoryBus)es, as a server is behind its clients.
/// Cheap to clone: every clone is the same store.
#[derive(Debug, Clone)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Says that a message came, became due or came back, or that a link changed.
    changed: watch::Sender<()>,
    link: watch::Sender<Link>,
}

#[derive(Debug, Default)]
struct State {
    spaces: HashMap<String, Space>,
    sessions: u64,
}

/// Whether the store is in reach, and how often it came into reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) up: bool,
    pub(super) epoch: u64,
}

// === impl MemoryStore ===

impl MemoryStore {
    /// An empty store, in reach.
    pub fn new() -> Self {
        let link = watch::Sender::new(Link { up: true, epoch: 1 });
        Self(Arc::new(Shared { state: Mutex::default(), changed: watch::Sender::new(()), link }))
    }

    /// Puts the store out of reach of every bus, as a server that goes away. For tests.
    pub fn disconnect(&self) {
        self.0.link.send_if_modified(|link| std::mem::take(&mut link.up));
        self.wake();
    }

    /// Brings it back. For tests.
    pub fn connect(&self) {
        self.0.link.send_if_modified(|link| {
            let changed = !link.up;
            link.epoch += u64::from(changed);
            link.up = true;
            changed
        });
        self.wake();
    }

    /// A number no other bus on this store has.
    pub(super) fn new_session(&self) -> u64 {
        let mut state = self.state();
        state.sessions += 1;
        state.sessions
    }

    /// Works on the data under a prefix.
    pub(super) fn with<T>(&self, prefix: &str, work: impl FnOnce(&mut Space) -> T) -> T {
        work(self.state().spaces.entry(prefix.to_owned()).or_default())
    }

    /// Tells everyone who waits to look again.
    pub(super) fn wake(&self) {
        self.0.changed.send_replace(());
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.0.link.subscribe()
    }

    pub(super) fn is_up(&self) -> bool {
        self.0.link.borrow().up
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held left the data as it was between two assignments at worst,
        // and a test that panicked is over anyway.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}
