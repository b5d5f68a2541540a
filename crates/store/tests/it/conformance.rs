//! The suite that every driver passes.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chatbus_runtime::Runtime;
use chatbus_store::conformance::{Harness, Outage};
use chatbus_store::{MemoryStore, Store};
use chatbus_testkit::test_runtime;

/// One store, and every handle of it.
struct MemoryHarness {
    runtime: Runtime,
    first: Arc<MemoryStore>,
    opened: Mutex<Vec<Arc<MemoryStore>>>,
}

// === impl MemoryHarness ===

impl MemoryHarness {
    fn new() -> Self {
        Self { runtime: test_runtime(1), first: MemoryStore::new("memory"), opened: Mutex::default() }
    }

    fn set_available(&self, available: bool) {
        self.opened.lock().unwrap().iter().for_each(|store| store.set_available(available));
    }
}

#[async_trait]
impl Harness for MemoryHarness {
    fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    async fn open(&self) -> Arc<dyn Store> {
        let store = self.first.handle();
        self.opened.lock().unwrap().push(Arc::clone(&store));
        store
    }
}

#[async_trait]
impl Outage for MemoryHarness {
    async fn outage(&self) {
        self.set_available(false);
    }

    async fn restore(&self) {
        self.set_available(true);
    }
}

chatbus_store::conformance_tests!(MemoryHarness::new(), outage);
