//! Where what clients of the gateway say goes: straight to the bus, which has it before they are told.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_bus::{Bus, Message};
use chatbus_connector::{Accept, Accepted, Inbound};
use chatbus_event::Topic;
use chatbus_runtime::{Backoff, Runtime};

/// Publishes until the bus has it. Whoever waits gives up when it takes too long, and is told so: nothing is
/// kept for later behind a client's back.
pub(super) struct ToBus {
    bus: Arc<dyn Bus>,
    runtime: Runtime,
    topic: Topic,
}

// === impl ToBus ===

impl ToBus {
    pub(super) fn new(bus: Arc<dyn Bus>, runtime: Runtime) -> Self {
        Self { bus, runtime, topic: Topic::ingress() }
    }
}

#[async_trait]
impl Accept for ToBus {
    async fn accept(&self, event: Inbound) -> Accepted {
        let message = Message::new(event.id, event.attributes, event.body);
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        loop {
            match self.bus.publish(&self.topic, message.clone()).await {
                Ok(stored) if stored.duplicate => return Accepted::Duplicate,
                Ok(_) => return Accepted::Bus,
                Err(error) if !error.is_temporary() => return Accepted::Refused(error.to_string()),
                Err(_) => tokio::time::sleep(backoff.next(&*self.runtime.entropy)).await,
            }
        }
    }
}
