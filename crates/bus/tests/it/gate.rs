//! A bus whose receipts wait until they are let through, and that counts how it is told of what is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chatbus_bus::{
    Bus, BusError, BusStatus, Consumer, DeadLettering, Delivery, Group, Lag, Message, Publish, Receipt,
    Record, Records, Scan, Settlement, Settler, Subscription, Waiting,
};
use chatbus_event::{Family, Topic};
use tokio::sync::{Semaphore, watch};

/// Publishes at once; says so only for as many messages as it has passes.
pub(crate) struct Gate {
    bus: Arc<dyn Bus>,
    dead_lettering: Arc<dyn DeadLettering>,
    pub(crate) passes: Arc<Semaphore>,
    pub(crate) counts: Arc<Counts>,
}

/// How deliveries were acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) confirmed: AtomicU32,
    pub(crate) unconfirmed: AtomicU32,
}

struct Counting {
    consumer: Box<dyn Consumer>,
    dead_lettering: Arc<dyn DeadLettering>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counted {
    delivery: Delivery,
    counts: Arc<Counts>,
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new(bus: Arc<dyn Bus>, dead_lettering: Arc<dyn DeadLettering>) -> Self {
        Self { bus, dead_lettering, passes: Arc::new(Semaphore::new(0)), counts: Arc::default() }
    }
}

impl Publish for Gate {
    fn publish(&self, topic: &Topic, message: Message) -> Receipt {
        let (receipt, passes) = (self.bus.publish(topic, message), Arc::clone(&self.passes));
        Receipt::future(async move {
            let Ok(pass) = passes.acquire().await else { return Err(BusError::closed("closed")) };
            pass.forget();
            receipt.await
        })
    }

    fn max_message_bytes(&self) -> usize {
        self.bus.max_message_bytes()
    }
}

#[async_trait]
impl Bus for Gate {
    async fn declare(&self, subscriptions: &[Subscription]) -> Result<(), BusError> {
        self.bus.declare(subscriptions).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        let consumer = self.bus.subscribe(subscription).await?;
        let (dead_lettering, counts) = (Arc::clone(&self.dead_lettering), Arc::clone(&self.counts));
        Ok(Box::new(Counting { consumer, dead_lettering, counts }))
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

// === impl Counting ===

#[async_trait]
impl Consumer for Counting {
    async fn next(&mut self) -> Option<Delivery> {
        let delivery = self.consumer.next().await?;
        let record = delivery.record().clone();
        let (failures, deliveries) = (delivery.failures(), delivery.deliveries());
        let settler = Box::new(Counted { delivery, counts: Arc::clone(&self.counts) });
        Some(Delivery::new(record, failures, deliveries, settler, Arc::clone(&self.dead_lettering)))
    }
}

// === impl Counted ===

#[async_trait]
impl Settler for Counted {
    async fn ack(self: Box<Self>) -> Result<(), BusError> {
        self.counts.confirmed.fetch_add(1, Ordering::SeqCst);
        self.delivery.settle(Settlement::Ack).await
    }

    fn ack_unconfirmed(self: Box<Self>) {
        self.counts.unconfirmed.fetch_add(1, Ordering::SeqCst);
        self.delivery.ack_unconfirmed();
    }

    async fn retry(self: Box<Self>, after: Duration) -> Result<(), BusError> {
        self.delivery.settle(Settlement::Retry { after }).await
    }

    async fn give_back(self: Box<Self>) -> Result<(), BusError> {
        self.delivery.settle(Settlement::Return).await
    }
}
