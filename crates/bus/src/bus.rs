//! What a driver implements.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_event::{Family, Topic};
use tokio::sync::watch;

use crate::{BusError, Consumer, Group, Message, Receipt, Record, Scan, Subscription};

/// Puts messages on the bus.
pub trait Publish: Send + Sync {
    /// Publishes without blocking; see the crate's documentation for what the receipt means.
    /// Calls from one place are stored in their order, up to the first failure.
    fn publish(&self, topic: &Topic, message: Message) -> Receipt;

    /// The same of a message that is kept, as by whoever may have to publish it again.
    fn publish_kept(&self, topic: &Topic, message: &Message) -> Receipt {
        self.publish(topic, message.clone())
    }

    /// The largest body this bus takes.
    fn max_message_bytes(&self) -> usize;
}

/// A bus: publishing, groups, reading back.
#[async_trait]
pub trait Bus: Publish + 'static {
    /// Creates whatever streams and groups these subscriptions need, so that no group starts late
    /// or replays what was published before it existed. Repeating it changes nothing.
    ///
    /// # Errors
    /// When the bus is out of reach or refuses.
    async fn declare(&self, subscriptions: &[Subscription]) -> Result<(), BusError>;

    /// Joins a group, declaring it first. The consumer survives reconnects by itself.
    ///
    /// # Errors
    /// When the bus is out of reach or refuses.
    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError>;

    /// Reads back what is kept, without a group.
    ///
    /// # Errors
    /// When the bus is out of reach or refuses.
    async fn scan(&self, scan: Scan) -> Result<Box<dyn Records>, BusError>;

    /// One message of a topic by its place, if it is still kept.
    ///
    /// # Errors
    /// When the bus is out of reach or refuses.
    async fn fetch(&self, topic: &Topic, seq: u64) -> Result<Option<Record>, BusError>;

    /// Removes one message by its place. Removing what is gone is no error.
    ///
    /// # Errors
    /// When the bus is out of reach or refuses.
    async fn remove(&self, topic: &Topic, seq: u64) -> Result<(), BusError>;

    /// Whether the bus is in reach, now and whenever that changes.
    fn status(&self) -> watch::Receiver<BusStatus>;

    /// How far each group of this bus is behind.
    ///
    /// # Errors
    /// When the bus is out of reach or refuses.
    async fn lag(&self) -> Result<Vec<Lag>, BusError>;

    /// Every topic of this egress or lane family that holds messages or has a group, whoever published
    /// or declared, sorted by topic; empty for every other family. At most [`MAX_WAITING`](crate::limits::MAX_WAITING): more
    /// show once some of these are gone.
    ///
    /// # Errors
    /// When the bus is out of reach or refuses.
    async fn waiting(&self, family: Family) -> Result<Vec<Waiting>, BusError>;

    /// Removes a group, whoever its members are. Deleting one that is not there is no error.
    ///
    /// On egress and lane topics what the group had not settled, held by a member or not, stays and
    /// comes to whichever group is declared there next, with its counts begun anew. On all other topics
    /// the group's place is forgotten.
    ///
    /// A member that lives on, as of a frozen process that wakes up, gets nothing any more but what it
    /// had been handed or sent before. What it still settles, with whatever result, changes nothing for
    /// the next group. While another group has the topic it waits; once the group is there again, or the
    /// topic has been without any for [`RECLAIM_AFTER`](crate::limits::RECLAIM_AFTER), it goes on as a member of it.
    ///
    /// Whoever takes a topic over declares a group of **another name**. On NATS a settlement names the
    /// group and the place, and no more: what a member of the deleted group sends before it notices
    /// would settle the same message in the hands of a new group of the same name.
    ///
    /// # Errors
    /// When the bus is out of reach or refuses.
    async fn delete_group(&self, topic: &Topic, group: &Group) -> Result<(), BusError>;

    /// Stops taking, finishes what was accepted, and releases what the bus holds.
    async fn close(&self);
}

/// The records of a scan, in order.
#[async_trait]
pub trait Records: Send {
    /// The next record; `None` at the end of a scan that does not follow, or when the bus closed.
    async fn next(&mut self) -> Option<Result<Record, BusError>>;
}

/// Whether the bus is in reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusStatus {
    /// Whether publishing works now, as far as is known.
    pub connected: bool,
    /// Grows each time a connection came, so that a reader can see that one was lost in between.
    pub epoch: u64,
    /// Why not, while it is not.
    pub reason: Option<Arc<str>>,
}

/// An egress or lane topic that somebody may have to look after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The topic.
    pub topic: Topic,
    /// Messages it holds, those in somebody's hands included.
    pub messages: u64,
    /// Its groups by name: one at most, unless somebody is just being refused.
    pub groups: Vec<Group>,
}

/// How far a group is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The topic's family.
    pub family: Family,
    /// The topic.
    pub topic: Topic,
    /// The group.
    pub group: Group,
    /// Messages not yet settled, those in flight included.
    pub pending: u64,
    /// Deliveries held unsettled now.
    pub in_flight: u64,
    /// Age of the oldest message not yet settled.
    pub oldest: Option<Duration>,
    /// Messages that retention dropped before this group had read them.
    pub lost: u64,
}
