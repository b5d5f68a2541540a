//! The suite that every driver passes.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chatbus_runtime::Runtime;
use chatbus_state::conformance::{Harness, OpenOptions, Outage};
use chatbus_state::{MemoryState, MemoryStateStore, State};
use chatbus_testkit::test_runtime;

/// One store, and every way to it.
struct MemoryHarness {
    runtime: Runtime,
    store: Mutex<Option<MemoryStateStore>>,
    opened: Mutex<Vec<Arc<MemoryState>>>,
}

// === impl MemoryHarness ===

impl MemoryHarness {
    fn new() -> Self {
        Self { runtime: test_runtime(1), store: Mutex::default(), opened: Mutex::default() }
    }

    fn set_connected(&self, connected: bool) {
        for state in &*self.opened.lock().unwrap() {
            state.set_connected(connected);
        }
    }
}

#[async_trait]
impl Harness for MemoryHarness {
    fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    async fn open_with(&self, options: OpenOptions) -> Arc<dyn State> {
        let clock = Arc::clone(&self.runtime.clock);
        let mut store = self.store.lock().unwrap();
        let store = store.get_or_insert_with(|| match options.ttl {
            Some(ttl) => MemoryStateStore::with_ttl(clock, ttl),
            None => MemoryStateStore::new(clock),
        });
        let state = store.open();
        self.opened.lock().unwrap().push(Arc::clone(&state));
        state
    }

    async fn crash(&self) {
        self.set_connected(false);
    }
}

#[async_trait]
impl Outage for MemoryHarness {
    async fn outage(&self) {
        self.set_connected(false);
    }

    async fn restore(&self) {
        self.set_connected(true);
    }
}

chatbus_state::conformance_tests!(MemoryHarness::new(), outage);
