//! The life of events.

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Page, SourceChange, StoreError, StoredLetter};

/// How far an event is. Only moves forward, in this order, whatever order messages come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventStatus {
    /// It is on the bus.
    Ingested,
    /// A service has had it.
    InProgress,
    /// It ended, and nothing failed.
    Finalized,
    /// It ended, and one of its deliveries failed or it was given up.
    Error,
}

/// Something to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A step of an event's way.
    Step(StepEntry),
    /// A dead letter. Its step is an entry of its own.
    Letter(StoredLetter),
    /// What became known of a source.
    Source(SourceChange),
    /// Something that is none of these, kept as it is so that nobody tries for ever.
    Raw {
        /// The topic and the message's id: a repeat is written once.
        key: String,
        /// Its bytes.
        body: Bytes,
        /// Why it is kept raw.
        why: String,
        /// When.
        at: Timestamp,
        /// When it may go.
        expires_at: Timestamp,
    },
}

/// A step of an event's way.
#[derive(Debug, Clone, PartialEq)]
pub struct StepEntry {
    /// Whose way: all that has this correlation id is one event's life.
    pub correlation_id: String,
    /// Names the step among those of its event; one that is there already is not written again, and its
    /// [`status`](Self::status) counts all the same.
    pub key: String,
    /// What was done, such as `received`, `enriched`, `routed`, `answered`, `outcome`, `dead_letter`, `replayed`.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// More about it: a JSON object.
    pub detail: Bytes,
    /// The event as it was then; `None` where it is that of an earlier step.
    pub snapshot: Option<Bytes>,
    /// How far the event is with it.
    pub status: EventStatus,
    /// What the event says of itself. Of each field the one counts that the step told which leads furthest, and of
    /// several such the latest; what is not told, or empty, says nothing.
    pub facts: Option<EventFacts>,
    /// When the event may go; the latest of its steps counts.
    pub expires_at: Timestamp,
}

/// By what an event is found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventFacts {
    /// `type`.
    pub kind: String,
    /// `source`.
    pub source: String,
    /// The platform's name, where it has one.
    pub platform: Option<String>,
    /// `channel`.
    pub channel: Option<String>,
    /// The user: `provider:id` once auth has seen the event, else the raw id.
    pub user_id: Option<String>,
    /// The user's name as shown or login.
    pub user_name: Option<String>,
    /// What was said.
    pub text: Option<String>,
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Its correlation id.
    pub correlation_id: String,
    /// How far it is.
    pub status: EventStatus,
    /// By what it is found.
    pub facts: EventFacts,
    /// When its first step was.
    pub first_at: Timestamp,
    /// When its last step was.
    pub last_at: Timestamp,
    /// The event as the last step with a snapshot had it.
    pub body: Option<Bytes>,
}

/// A step as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineStep {
    /// See [`StepEntry::key`].
    pub key: String,
    /// See [`StepEntry::name`].
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// A JSON object.
    pub detail: Bytes,
    /// The event as it was then, where that was kept.
    pub snapshot: Option<Bytes>,
}

/// Which events; every field that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// `provider:id`, or a raw id, or a name as shown: any of them is this.
    pub user: Option<String>,
    /// The channel, as events name it.
    pub channel: Option<String>,
    /// The platform.
    pub platform: Option<String>,
    /// A part of what was said, whatever the case of ASCII letters.
    pub text: Option<String>,
    /// How far it is.
    pub status: Option<EventStatus>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// The life of events.
#[async_trait]
pub trait Events: Send + Sync {
    /// Writes all of these or none, in one transaction.
    ///
    /// # Errors
    /// [`Refused`](crate::StoreErrorKind::Refused) with the place of an entry that can never be written; else
    /// when the store is out of reach.
    async fn record(&self, entries: &[Entry]) -> Result<(), StoreError>;

    /// An event and its way, steps by time and then by key.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn event(
        &self,
        correlation_id: &str,
    ) -> Result<Option<(StoredEvent, Vec<TimelineStep>)>, StoreError>;

    /// Events, by their first step, newest first.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn events(&self, filter: &EventFilter, page: &Page) -> Result<Vec<StoredEvent>, StoreError>;
}

// === impl Entry ===

impl From<StepEntry> for Entry {
    fn from(step: StepEntry) -> Self {
        Self::Step(step)
    }
}

// === impl EventStatus ===

impl EventStatus {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Ingested, Self::InProgress, Self::Finalized, Self::Error];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingested => "INGESTED",
            Self::InProgress => "IN_PROGRESS",
            Self::Finalized => "FINALIZED",
            Self::Error => "ERROR",
        }
    }

    /// The status of this word, in any case.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(word))
    }
}
