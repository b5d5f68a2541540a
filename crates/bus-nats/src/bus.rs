//! The driver: publishing, groups and reading back over one link.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_bus::{
    Bus, BusError, BusErrorKind, BusStatus, Consumer, Group, Lag, Message, Publish, Receipt, Record, Records,
    Scan, Subscription, Waiting,
};
use chatbus_event::{Family, Topic};
use chatbus_runtime::Runtime;
use chatbus_state::State;
use futures::future::try_join_all;
use tokio::sync::watch;

use crate::api::{self, Which};
use crate::config::NatsConfig;
use crate::groups::{self, Start};
use crate::link::Link;
use crate::names::Names;
use crate::state::NatsState;
use crate::{lag, member, others, scan, waiting};

/// How long closing waits for members to give back what they hold.
const LEAVE: Duration = Duration::from_secs(2);
/// How long closing waits for what was published to be acknowledged.
const DRAIN: Duration = Duration::from_secs(5);

/// The NATS JetStream bus; see the crate's documentation.
#[derive(Debug)]
pub struct NatsBus {
    link: Arc<Link>,
}

// === impl NatsBus ===

impl NatsBus {
    /// Begins to connect, and goes on until it is closed. The servers need not be there yet: watch
    /// [`Bus::status`].
    ///
    /// # Errors
    /// `Misconfigured`, naming the setting, when a setting can never work: a URL, a file, the prefix.
    pub fn connect(config: NatsConfig, runtime: Runtime) -> Result<Arc<Self>, BusError> {
        let link = Arc::new(Link::new(config, runtime)?);
        link.runtime.spawn("nats.link", Arc::clone(&link).run());
        Ok(Arc::new(Self { link }))
    }

    /// The shared state at the same servers, over the same connection. It ends with the bus.
    pub fn state(&self) -> Arc<dyn State> {
        NatsState::new(Arc::clone(&self.link))
    }
}

impl Publish for NatsBus {
    fn publish(&self, topic: &Topic, message: Message) -> Receipt {
        self.publish_kept(topic, &message)
    }

    fn publish_kept(&self, topic: &Topic, message: &Message) -> Receipt {
        if message.body.len() > self.link.config.max_message_bytes {
            let why = format!("a body of {} bytes on {topic}", message.body.len());
            return Receipt::ready(Err(BusError::new(BusErrorKind::TooLarge, why)));
        }
        let epoch = match self.link.epoch() {
            Ok(epoch) => epoch,
            // Whatever the reason is, it may be mended while we run: never give a message up for it.
            Err(error) => return Receipt::ready(Err(BusError::closed(error.to_string()))),
        };
        if topic.family() == Family::Other {
            return others::publish(&self.link, &epoch, topic, message.clone());
        }
        epoch.session.publish(topic, message)
    }

    fn max_message_bytes(&self) -> usize {
        self.link.config.max_message_bytes
    }
}

#[async_trait]
impl Bus for NatsBus {
    async fn declare(&self, subscriptions: &[Subscription]) -> Result<(), BusError> {
        let epoch = self.link.epoch()?;
        let declared = subscriptions.iter().map(|subscription| async {
            others::ensure(&self.link, &epoch, &subscription.topic).await?;
            groups::ensure(&self.link, &epoch.session, subscription, Start::Fresh).await.map(drop)
        });
        try_join_all(declared).await.map(drop)
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        member::join(&self.link, subscription).await
    }

    async fn scan(&self, scan: Scan) -> Result<Box<dyn Records>, BusError> {
        scan::scan(&self.link, scan).await
    }

    async fn fetch(&self, topic: &Topic, seq: u64) -> Result<Option<Record>, BusError> {
        let epoch = self.link.epoch()?;
        let stream = self.link.names.stream(topic.family());
        let kept = api::message(&epoch.session, &stream, Which::At(seq)).await?;
        Ok(kept.and_then(|kept| kept.into_record(&self.link)).filter(|record| record.topic == *topic))
    }

    async fn remove(&self, topic: &Topic, seq: u64) -> Result<(), BusError> {
        // A place is of one message for ever, so it cannot become another's in between.
        if self.fetch(topic, seq).await?.is_none() {
            return Ok(());
        }
        let epoch = self.link.epoch()?;
        api::remove(&epoch.session, &self.link.names.stream(topic.family()), seq).await
    }

    fn status(&self) -> watch::Receiver<BusStatus> {
        self.link.status()
    }

    async fn lag(&self) -> Result<Vec<Lag>, BusError> {
        lag::lag(&self.link).await
    }

    async fn waiting(&self, family: Family) -> Result<Vec<Waiting>, BusError> {
        waiting::waiting(&self.link, family).await
    }

    async fn delete_group(&self, topic: &Topic, group: &Group) -> Result<(), BusError> {
        let epoch = self.link.epoch()?;
        let stream = self.link.names.stream(topic.family());
        api::delete_consumer(&epoch.session, &stream, &Names::consumer(topic, group)).await
    }

    async fn close(&self) {
        self.link.closing.cancel();
        self.link.members.close();
        // Past their time, what they held comes back after the ack wait.
        let _ = tokio::time::timeout(LEAVE, self.link.members.wait()).await;
        if let Some(epoch) = self.link.current() {
            let _ = tokio::time::timeout(DRAIN, epoch.session.drain("the bus is closed")).await;
            let _ = tokio::time::timeout(LEAVE, epoch.session.flush()).await;
            epoch.session.close("the bus is closed");
        }
        self.link.down("the bus is closed");
    }
}

impl Drop for NatsBus {
    fn drop(&mut self) {
        self.link.closing.cancel();
        if let Some(epoch) = self.link.current() {
            epoch.session.close("the bus was dropped");
        }
    }
}
