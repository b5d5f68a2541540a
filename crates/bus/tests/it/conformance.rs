//! The in-memory driver keeps every promise of the contract.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_bus::conformance::{Capabilities, Harness, OpenOptions, Outage, ThirdParty};
use chatbus_bus::{Bus, MemoryBus, MemoryConfig, MemoryStore};
use chatbus_event::{Attributes, Topic};
use chatbus_runtime::Runtime;
use chatbus_testkit::test_runtime;

chatbus_bus::conformance_tests!(MemoryHarness::new(), outage, third_party);

struct MemoryHarness {
    store: MemoryStore,
    runtime: Runtime,
}

// === impl MemoryHarness ===

impl MemoryHarness {
    fn new() -> Self {
        Self { store: MemoryStore::new(), runtime: test_runtime(1) }
    }
}

#[async_trait]
impl Harness for MemoryHarness {
    fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { concurrent: true, ack_wait: Duration::ZERO }
    }

    async fn open_with(&self, options: OpenOptions) -> Arc<dyn Bus> {
        let config = MemoryConfig {
            prefix: options.prefix,
            dedupe_window: options.dedupe_window,
            max_message_bytes: options.max_message_bytes,
            queue_bytes: options.queue_bytes,
            retention_bytes: options.retention_bytes,
            ..MemoryConfig::default()
        };
        Arc::new(MemoryBus::new(&self.store, config, options.dead_lettering, self.runtime.clone()))
    }

    async fn crash(&self, bus: Arc<dyn Bus>) {
        // A closed bus cannot reach the store any more: what it does afterwards is as if never done.
        bus.close().await;
    }
}

#[async_trait]
impl Outage for MemoryHarness {
    async fn outage(&self) {
        self.store.disconnect();
    }

    async fn restore(&self) {
        self.store.connect();
    }
}

#[async_trait]
impl ThirdParty for MemoryHarness {
    async fn publish_raw(&self, topic: &Topic, attributes: &Attributes, body: &[u8]) {
        let dead_lettering = OpenOptions::default().dead_lettering;
        let bus = MemoryBus::new(&self.store, MemoryConfig::default(), dead_lettering, self.runtime.clone());
        bus.publish_without_id(topic, attributes.clone(), body.to_vec()).expect("the store takes it");
    }
}
