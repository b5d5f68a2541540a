//! What an owner that is gone left: its topic and the lane beside it, in the one order that both have
//! together.
//!
//! What stood in the topic is parked in the lane from the middle of a conversation on, or from its head, and
//! what was parked last may have come first. So neither goes before the other: all of both is put in order
//! before the first of it goes on.

use chatbus_bus::{Bus, BusError, Record, Scan, ScanFrom, ScanTopics, Waiting};
use chatbus_event::{Family, Topic};

use crate::role::Role;
use crate::ticket::{Order, Ticket};

/// The topics of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Estate {
    /// Its topic; or the only one, of a name that no instance can have.
    pub(super) topic: Topic,
    pub(super) lane: Option<Topic>,
}

/// Where something stands that is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Left {
    order: Order,
    /// What waits in the lane may stand in the topic still: the lane knows more of it, and goes first.
    place: Place,
    pub(super) seq: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Lane,
    Topic,
}

/// Records of each topic that are put in order at a time: more than an engine's lanes hold
/// ([`Limits::waiting`](crate::Limits::waiting)). What is behind them in the topic goes on after them.
const AT_A_TIME: usize = 65_536;

// === impl Estate ===

impl Estate {
    /// The one that this topic is of.
    pub(super) fn of(topic: &Topic) -> Self {
        match Role::owner(topic) {
            Some((role, id)) => Self { topic: role.topic(&id), lane: Some(role.lane(&id)) },
            None => Self { topic: topic.clone(), lane: None },
        }
    }

    /// All of its topics.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Topic> {
        std::iter::once(&self.topic).chain(&self.lane)
    }

    /// The estates of these, with how much there is in each; in the order of what was given.
    pub(super) fn among(waiting: impl IntoIterator<Item = Waiting>) -> Vec<(Self, u64)> {
        let mut estates: Vec<(Self, u64)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for Waiting { topic, messages, .. } in waiting {
            let estate = Self::of(&topic);
            let place = *places.entry(estate.topic.clone()).or_insert(estates.len());
            match estates.get_mut(place) {
                Some((_, sum)) => *sum += messages,
                None => estates.push((estate, messages)),
            }
        }
        estates
    }

    /// What is left of it, as it is found; sorted it is in order.
    pub(super) async fn left(&self, bus: &dyn Bus) -> Result<Vec<Left>, BusError> {
        let mut left = Vec::new();
        for topic in self.topics() {
            let topics = ScanTopics::One(topic.clone());
            let mut records = bus.scan(Scan { topics, from: ScanFrom::Oldest, follow: false }).await?;
            let enough = left.len() + AT_A_TIME;
            while left.len() < enough
                && let Some(record) = records.next().await
            {
                left.extend(Left::of(&record?));
            }
        }
        Ok(left)
    }

    /// The topic that something of it stands in.
    pub(super) fn topic_of(&self, left: Left) -> &Topic {
        match (&self.lane, left.place) {
            (Some(lane), Place::Lane) => lane,
            _ => &self.topic,
        }
    }
}

// === impl Left ===

impl Left {
    /// `None` for a lane record that is not ours: it stays.
    fn of(record: &Record) -> Option<Self> {
        let is_lane = record.topic.family() == Family::Lane;
        let (order, place) = if is_lane {
            (Ticket::of_lane(record)?.order, Place::Lane)
        } else {
            (Order::of(record), Place::Topic)
        };
        Some(Self { order, place, seq: record.seq })
    }
}
