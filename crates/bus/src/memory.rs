//! The in-memory driver: the contract's meaning with nothing underneath.
//!
//! For tests, demos and the simulator. What is "on the bus" here is in the memory of this process and
//! gone with it. A [`MemoryStore`] stands for the server: several buses on one store are several
//! processes, and the store can be put out of reach.

mod consumer;
mod factory;
mod group;
mod ids;
mod space;
mod store;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_event::{Family, Topic};
use chatbus_runtime::{CancellationToken, Runtime};
use tokio::sync::watch;

use consumer::{MemoryConsumer, MemoryRecords};
use space::{Now, Space};
use store::Link;

pub use factory::MemoryFactory;
pub use store::MemoryStore;

use crate::{
    Bus, BusError, BusErrorKind, BusStatus, Consumer, DeadLettering, Group, Lag, Message, Publish, Receipt,
    Record, Records, Scan, Stored, Subscription, Waiting, limits,
};

/// How a [`MemoryBus`] is bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryConfig {
    /// BUS_PREFIX. Buses of different prefixes on one store do not see each other.
    pub prefix: String,
    /// How long a message id is remembered.
    pub dedupe_window: Duration,
    /// Largest body.
    pub max_message_bytes: usize,
    /// How many bytes an egress or lane family holds before it refuses.
    pub queue_bytes: u64,
    /// How many bytes any other family keeps, oldest out first.
    pub retention_bytes: u64,
    /// How long any other family keeps a message.
    pub retention: Duration,
}

/// A bus that lives in the memory of one process.
#[derive(Debug)]
pub struct MemoryBus {
    inner: Arc<Inner>,
    status: watch::Sender<BusStatus>,
}

/// One bus: a session on the store.
#[derive(Debug)]
struct Inner {
    store: MemoryStore,
    config: MemoryConfig,
    runtime: Runtime,
    dead_lettering: Arc<dyn DeadLettering>,
    session: u64,
    closed: CancellationToken,
}

// === impl MemoryConfig ===

impl Default for MemoryConfig {
    /// The bounds of every driver, but for the bytes: 256 MiB a family, since this is memory.
    fn default() -> Self {
        Self {
            prefix: String::new(),
            dedupe_window: Duration::from_secs(120),
            max_message_bytes: limits::MAX_MESSAGE_BYTES,
            queue_bytes: 256 * 1024 * 1024,
            retention_bytes: 256 * 1024 * 1024,
            retention: limits::RETENTION,
        }
    }
}

// === impl MemoryBus ===

impl MemoryBus {
    /// A bus on this store. It spawns one small task that follows the store's link until it is closed.
    pub fn new(
        store: &MemoryStore,
        config: MemoryConfig,
        dead_lettering: Arc<dyn DeadLettering>,
        runtime: Runtime,
    ) -> Self {
        let mut link = store.link();
        let session = store.new_session();
        let status = watch::Sender::new(status_of(*link.borrow_and_update()));
        let closed = CancellationToken::new();
        let follow = {
            let (status, closed) = (status.clone(), closed.clone());
            async move {
                loop {
                    tokio::select! {
                        biased;
                        () = closed.cancelled() => return,
                        changed = link.changed() => if changed.is_err() { return },
                    }
                    let now = status_of(*link.borrow_and_update());
                    // Closing says its own last word, so the two must not cross.
                    status.send_if_modified(|status| !closed.is_cancelled() && replace(status, now));
                }
            }
        };
        runtime.spawn("bus.memory.link", follow);
        let inner = Inner { store: store.clone(), config, runtime, dead_lettering, session, closed };
        Self { inner: Arc::new(inner), status }
    }

    /// Puts a message on the bus as a program that knows nothing of message ids: it gets one made of
    /// its topic and place.
    ///
    /// # Errors
    /// As [`Publish::publish`].
    pub fn publish_without_id(
        &self,
        topic: &Topic,
        attributes: chatbus_event::Attributes,
        body: impl Into<bytes::Bytes>,
    ) -> Result<Stored, BusError> {
        self.store(topic, Message::new(chatbus_event::MessageId::new(""), attributes, body), false)
    }

    fn store(&self, topic: &Topic, message: Message, has_id: bool) -> Result<Stored, BusError> {
        let inner = &self.inner;
        inner.check("publishing")?;
        let (size, limit) = (message.body.len(), inner.config.max_message_bytes);
        if size > limit {
            let why = format!("publishing to {topic}: {size} bytes are over the limit of {limit}");
            return Err(BusError::new(BusErrorKind::TooLarge, why));
        }
        let stored = inner.space(|space| {
            // Read under the lock, so that places and times grow together.
            let clock = &inner.runtime.clock;
            let now = Now { wall: clock.now(), instant: clock.instant() };
            space.store(topic, message, has_id, now, &inner.config)
        })?;
        inner.store.wake();
        Ok(stored)
    }
}

impl Publish for MemoryBus {
    fn publish(&self, topic: &Topic, message: Message) -> Receipt {
        Receipt::ready(self.store(topic, message, true))
    }

    fn max_message_bytes(&self) -> usize {
        self.inner.config.max_message_bytes
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn declare(&self, subscriptions: &[Subscription]) -> Result<(), BusError> {
        self.inner.check("declaring groups")?;
        self.inner.space(|space| {
            subscriptions.iter().try_for_each(|wanted| space.declare(&wanted.topic, &wanted.group))
        })?;
        // A member of a group that was deleted may wait for just this one.
        self.inner.store.wake();
        Ok(())
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        self.declare(std::slice::from_ref(&subscription)).await?;
        Ok(Box::new(MemoryConsumer::new(Arc::clone(&self.inner), subscription)))
    }

    async fn scan(&self, scan: Scan) -> Result<Box<dyn Records>, BusError> {
        self.inner.check("reading back")?;
        let Scan { topics, from, follow } = scan;
        let cursor = self.inner.space(|space| space.cursor(topics, from, follow));
        Ok(Box::new(MemoryRecords::new(Arc::clone(&self.inner), cursor, follow)))
    }

    async fn fetch(&self, topic: &Topic, seq: u64) -> Result<Option<Record>, BusError> {
        self.inner.check("fetching a message")?;
        Ok(self.inner.space(|space| space.fetch(topic, seq)))
    }

    async fn remove(&self, topic: &Topic, seq: u64) -> Result<(), BusError> {
        self.inner.check("removing a message")?;
        self.inner.space(|space| space.remove(topic, seq));
        Ok(())
    }

    fn status(&self) -> watch::Receiver<BusStatus> {
        self.status.subscribe()
    }

    async fn lag(&self) -> Result<Vec<Lag>, BusError> {
        self.inner.check("reading the lag")?;
        let now = self.inner.runtime.clock.now();
        Ok(self.inner.space(|space| space.lag(now, &self.inner.config)))
    }

    async fn waiting(&self, family: Family) -> Result<Vec<Waiting>, BusError> {
        self.inner.check("reading what waits")?;
        Ok(self.inner.space(|space| space.waiting(family)))
    }

    async fn delete_group(&self, topic: &Topic, group: &Group) -> Result<(), BusError> {
        self.inner.check("deleting a group")?;
        self.inner.space(|space| space.delete_group(topic, group));
        self.inner.store.wake();
        Ok(())
    }

    /// What members still hold comes again, to members of other buses on the store.
    async fn close(&self) {
        if self.inner.closed.is_cancelled() {
            return;
        }
        self.inner.closed.cancel();
        self.status.send_modify(|status| {
            status.connected = false;
            status.reason = Some("closed".into());
        });
        self.inner.space(|space| space.abandon(self.inner.session));
        self.inner.store.wake();
    }
}

impl Drop for MemoryBus {
    /// Ends the task that follows the link; consumers and deliveries end with the last of them.
    fn drop(&mut self) {
        self.inner.closed.cancel();
        self.inner.space(|space| space.abandon(self.inner.session));
        self.inner.store.wake();
    }
}

// === impl Inner ===

impl Inner {
    fn space<T>(&self, work: impl FnOnce(&mut Space) -> T) -> T {
        self.store.with(&self.config.prefix, work)
    }

    fn check(&self, doing: &str) -> Result<(), BusError> {
        if self.closed.is_cancelled() {
            return Err(BusError::closed(format!("{doing}: the bus is closed")));
        }
        if !self.store.is_up() {
            return Err(BusError::closed(format!("{doing}: the store is out of reach")));
        }
        Ok(())
    }
}

fn status_of(link: Link) -> BusStatus {
    let reason = (!link.up).then(|| "the store is out of reach".into());
    BusStatus { connected: link.up, epoch: link.epoch, reason }
}

fn replace(status: &mut BusStatus, now: BusStatus) -> bool {
    let changed = *status != now;
    *status = now;
    changed
}
