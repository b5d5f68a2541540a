//! A folder, and the buses opened on it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chatbus_bus::conformance::{Capabilities, Harness, OpenOptions};
use chatbus_bus::{Bus, BusError, DeadLettering, Failure, Record};
use chatbus_bus_embedded::{EmbeddedBus, EmbeddedConfig};
use chatbus_event::{Attributes, MessageId};
use chatbus_runtime::Runtime;
use chatbus_testkit::test_runtime;
use tempfile::TempDir;

/// One DATA_DIR.
pub(crate) struct EmbeddedHarness {
    dir: TempDir,
    runtime: Runtime,
    open: Mutex<Option<Arc<EmbeddedBus>>>,
}

/// For tests that dead-letter nothing.
#[derive(Debug)]
pub(crate) struct NoDeadLetters;

/// Opens a bus.
pub(crate) fn open(config: EmbeddedConfig) -> Arc<EmbeddedBus> {
    EmbeddedBus::open(config, Arc::new(NoDeadLetters), test_runtime(1)).unwrap()
}

/// A message with no attributes.
pub(crate) fn message(id: &str, body: Vec<u8>) -> chatbus_bus::Message {
    chatbus_bus::Message::new(MessageId::new(id), Attributes::new(), body)
}

// === impl EmbeddedHarness ===

impl EmbeddedHarness {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), runtime: test_runtime(1), open: Mutex::new(None) }
    }
}

#[async_trait]
impl Harness for EmbeddedHarness {
    fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { concurrent: false, ack_wait: Duration::ZERO }
    }

    async fn open_with(&self, options: OpenOptions) -> Arc<dyn Bus> {
        // The suite may ask for another prefix while a bus is open: another DATA_DIR would not do,
        // and one process may open one bus of a DATA_DIR, so that is what the lock is for.
        let mut config = EmbeddedConfig::new(self.dir.path());
        config.prefix = options.prefix.into();
        config.dedupe_window = options.dedupe_window;
        config.max_message_bytes = options.max_message_bytes;
        config.queue_bytes = options.queue_bytes;
        config.retention_bytes = options.retention_bytes;
        let bus = EmbeddedBus::open(config, options.dead_lettering, self.runtime.clone()).unwrap();
        *self.open.lock().unwrap() = Some(Arc::clone(&bus));
        bus
    }

    async fn crash(&self, _bus: Arc<dyn Bus>) {
        let bus = self.open.lock().unwrap().take();
        bus.expect("a bus is open").kill().await;
    }
}

#[async_trait]
impl DeadLettering for NoDeadLetters {
    async fn dead_letter(&self, _: &Record, _: &Failure) -> Result<(), BusError> {
        Err(BusError::closed("this test has no dead letters"))
    }
}
