//! What a driver gives the suite so that it can be opened, killed and cut off.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chatbus_event::{Attributes, Topic};
use chatbus_runtime::Runtime;

use super::dead_letters::SuiteDeadLetters;
use crate::{Bus, DeadLettering, limits};

/// One fresh, empty backing store (a server, a folder, a value) and the buses opened on it.
/// Each promise is tested on a harness of its own.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Clock, randomness and spawning for the suite itself. Real or paused time, the same as the
    /// driver's.
    fn runtime(&self) -> Runtime;

    /// What differs between drivers without breaking a promise.
    fn capabilities(&self) -> Capabilities;

    /// Opens a bus on the store. Called again it is another process on the same store, at the same
    /// time where [`Capabilities::concurrent`], else after the first was closed or crashed.
    /// It waits until the bus is in reach.
    async fn open_with(&self, options: OpenOptions) -> Arc<dyn Bus>;

    /// Ends this bus as `kill -9` would, as nearly as the driver can: from here on nothing that was
    /// made through it reaches the store, neither a settlement nor the drop of a delivery or a
    /// consumer, and nothing is flushed. The suite still holds deliveries of it and drops them after.
    async fn crash(&self, bus: Arc<dyn Bus>);
}

/// A harness that can take the server away. For drivers that have one.
#[async_trait]
pub trait Outage: Harness {
    /// Puts the store out of reach of every bus, and returns once that is so (a bus may take a while
    /// to notice). What is on the store stays.
    async fn outage(&self);

    /// Brings it back.
    async fn restore(&self);
}

/// A harness that can publish as a program that knows nothing of chatbus.
#[async_trait]
pub trait ThirdParty: Harness {
    /// Puts these bytes on this topic (without prefix) with no message id and only these attributes,
    /// and returns once they are stored.
    async fn publish_raw(&self, topic: &Topic, attributes: &Attributes, body: &[u8]);
}

/// What differs between drivers without breaking a promise.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    /// Whether two buses can be open on one store at once. Where not, the suite takes two
    /// subscriptions of one bus for two instances.
    pub concurrent: bool,
    /// How long the store waits for a settlement before it believes that a member died. Two seconds
    /// or less in tests; zero where the store needs no such wait.
    pub ack_wait: Duration,
}

/// How to open a bus. All opens of one store use the same values but for `prefix` and `dead_lettering`.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// BUS_PREFIX.
    pub prefix: String,
    /// How long a message id is remembered. At least 1 s in the suite.
    pub dedupe_window: Duration,
    /// Largest body.
    pub max_message_bytes: usize,
    /// How many bytes an egress or lane family holds. At least 64 KiB in the suite.
    pub queue_bytes: u64,
    /// How many bytes any other family keeps. At least 64 KiB in the suite.
    pub retention_bytes: u64,
    /// Goes into every delivery.
    pub dead_lettering: Arc<dyn DeadLettering>,
}

/// What the suite adds to every harness.
#[async_trait]
pub(super) trait HarnessExt {
    /// A bus with the suite's own dead letters: the original bytes on the dead-letter topic.
    async fn open(&self) -> Arc<dyn Bus>;

    /// The same with other options; its dead letters are the suite's.
    async fn open_as(&self, options: OpenOptions) -> Arc<dyn Bus>;

    /// A bus whose first `n` dead letters are refused.
    async fn open_refusing_dead_letters(&self, n: u32) -> Arc<dyn Bus>;

    /// Another process where the driver can have one, else the same bus again.
    async fn second(&self, first: &Arc<dyn Bus>) -> Arc<dyn Bus>;
}

// === impl OpenOptions ===

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            dedupe_window: Duration::from_secs(120),
            max_message_bytes: limits::MAX_MESSAGE_BYTES,
            queue_bytes: limits::QUEUE_BYTES,
            retention_bytes: limits::RETENTION_BYTES,
            dead_lettering: Arc::new(SuiteDeadLetters::new()),
        }
    }
}

// === impl HarnessExt ===

#[async_trait]
impl<H: Harness + ?Sized> HarnessExt for H {
    async fn open(&self) -> Arc<dyn Bus> {
        self.open_as(OpenOptions::default()).await
    }

    async fn open_as(&self, options: OpenOptions) -> Arc<dyn Bus> {
        open_with_dead_letters(self, options, SuiteDeadLetters::new()).await
    }

    async fn open_refusing_dead_letters(&self, n: u32) -> Arc<dyn Bus> {
        open_with_dead_letters(self, OpenOptions::default(), SuiteDeadLetters::refusing(n)).await
    }

    async fn second(&self, first: &Arc<dyn Bus>) -> Arc<dyn Bus> {
        if self.capabilities().concurrent { self.open().await } else { Arc::clone(first) }
    }
}

async fn open_with_dead_letters<H: Harness + ?Sized>(
    harness: &H,
    options: OpenOptions,
    dead_letters: SuiteDeadLetters,
) -> Arc<dyn Bus> {
    let dead_letters = Arc::new(dead_letters);
    let bus = harness.open_with(OpenOptions { dead_lettering: dead_letters.clone(), ..options }).await;
    let publisher: Weak<dyn Bus> = Arc::downgrade(&bus);
    dead_letters.attach(publisher);
    bus
}
