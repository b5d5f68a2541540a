//! A bus that counts what is published through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use chatbus_bus::{
    Bus, BusError, BusStatus, Consumer, Group, Lag, Message, Publish, Receipt, Record, Records, Scan,
    Subscription, Waiting,
};
use chatbus_event::{Family, Topic};
use tokio::sync::watch;

/// A bus that counts what is published through it, or through any other that counts the same.
pub(crate) struct Counting {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) published: Arc<AtomicUsize>,
}

impl Publish for Counting {
    fn publish(&self, topic: &Topic, message: Message) -> Receipt {
        self.published.fetch_add(1, Ordering::Relaxed);
        self.bus.publish(topic, message)
    }

    fn max_message_bytes(&self) -> usize {
        self.bus.max_message_bytes()
    }
}

#[async_trait]
impl Bus for Counting {
    async fn declare(&self, subscriptions: &[Subscription]) -> Result<(), BusError> {
        self.bus.declare(subscriptions).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        self.bus.subscribe(subscription).await
    }

    async fn scan(&self, scan: Scan) -> Result<Box<dyn Records>, BusError> {
        self.bus.scan(scan).await
    }

    async fn fetch(&self, topic: &Topic, seq: u64) -> Result<Option<Record>, BusError> {
        self.bus.fetch(topic, seq).await
    }

    async fn remove(&self, topic: &Topic, seq: u64) -> Result<(), BusError> {
        self.bus.remove(topic, seq).await
    }

    fn status(&self) -> watch::Receiver<BusStatus> {
        self.bus.status()
    }

    async fn lag(&self) -> Result<Vec<Lag>, BusError> {
        self.bus.lag().await
    }

    async fn waiting(&self, family: Family) -> Result<Vec<Waiting>, BusError> {
        self.bus.waiting(family).await
    }

    async fn delete_group(&self, topic: &Topic, group: &Group) -> Result<(), BusError> {
        self.bus.delete_group(topic, group).await
    }

    async fn close(&self) {
        self.bus.close().await;
    }
}
