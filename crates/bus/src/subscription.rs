//! Who reads what, and from where.

use std::fmt;
use std::sync::Arc;

use chatbus_event::{Family, Timestamp, Topic};

use crate::limits;

/// The durable name of a group of competing consumers: 1 to 64 of `A-Z a-z 0-9 _ -`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group(Arc<str>);

/// Why a text is not a [`Group`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a group is named by 1 to 64 of A-Z a-z 0-9 _ -, which {0:?} is not")]
pub struct InvalidGroup(pub String);

/// A group on one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: Topic,
    /// The group. On an egress or lane topic there is one at a time: another is refused, and may be
    /// tried again, until [`Bus::delete_group`](crate::Bus::delete_group) removed the first.
    pub group: Group,
    /// How many deliveries one member may hold unsettled.
    pub max_in_flight: usize,
}

/// What to read back without a group and without settling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Which topics.
    pub topics: ScanTopics,
    /// Where to begin.
    pub from: ScanFrom,
    /// Whether to go on with what is published later, or to end at what was there at the call.
    pub follow: bool,
}

/// Which topics a [`Scan`] reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanTopics {
    /// One topic.
    One(Topic),
    /// Every topic of a family.
    Family(Family),
    /// Everything, in the order of each family.
    All,
}

/// Where a [`Scan`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanFrom {
    /// With the oldest that is kept.
    Oldest,
    /// With the first accepted at or after this time.
    Time(Timestamp),
    /// With the last `n` of each family.
    Last(u32),
    /// With what is published after the call.
    New,
}

// === impl Group ===

impl Group {
    /// Checks the text.
    ///
    /// # Errors
    /// When it is empty, over 64 characters, or holds any other character.
    pub fn parse(text: &str) -> Result<Self, InvalidGroup> {
        let valid = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if valid { Ok(Self(text.into())) } else { Err(InvalidGroup(text.to_owned())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

// === impl Subscription ===

impl Subscription {
    /// A subscription with the default bound.
    pub fn new(topic: Topic, group: Group) -> Self {
        Self { topic, group, max_in_flight: limits::MAX_IN_FLIGHT }
    }

    /// With another bound; zero counts as one.
    #[must_use]
    pub fn max_in_flight(mut self, n: usize) -> Self {
        self.max_in_flight = n.max(1);
        self
    }
}
