//! What was missed, as an event: nothing is lost without a word.

use chatbus_connector::Inbound;
use chatbus_event::{Content, ExternalContent, MessageId, Timestamp, Value};

use super::external::{SOURCE, VERSION};
use super::{Normalizer, Person, Subject};
use crate::PLATFORM;

const GAP_TYPE: &str = "system.source.gap.v1";

/// A time in which what Discord told was not heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    /// What was last heard.
    pub(crate) from: Timestamp,
    /// Since when all is heard again.
    pub(crate) to: Timestamp,
    /// Why.
    pub(crate) reason: &'static str,
    /// The channels that are read.
    pub(crate) channels: Vec<String>,
    /// Messages of these that were fetched.
    pub(crate) backfilled: usize,
    /// Channels whose messages of that time could not all be fetched.
    pub(crate) open: Vec<String>,
}

// === impl Normalizer ===

impl Normalizer {
    /// Edits, deletions, threads, direct messages and everything else of that time is missed even where all messages of
    /// the channels could be fetched.
    pub(crate) fn gap(&mut self, gap: &Gap, received_at: Timestamp) -> Inbound {
        let (from, to) = (gap.from.to_string(), gap.to.to_string());
        let channels: Vec<&str> = gap.channels.iter().map(String::as_str).collect();
        let open: Vec<&str> = gap.open.iter().map(String::as_str).collect();
        let payload = [
            ("platform", Value::Text(PLATFORM)),
            ("from", Value::Text(&from)),
            ("to", Value::Text(&to)),
            ("reason", Value::Text(gap.reason)),
            ("channels", Value::Texts(&channels)),
            ("backfilled", Value::Number(i64::try_from(gap.backfilled).unwrap_or(i64::MAX))),
            ("open", Value::Texts(&open)),
        ];
        let id = MessageId::new(&format!("discord:gap:{}:{}", gap.from.as_millis(), gap.to.as_millis()));
        let content = ExternalContent {
            id: id.as_str(),
            source: SOURCE,
            kind: "gap",
            version: VERSION,
            created_at: gap.to,
            payload: &payload,
            tags: &[],
            raw: &[],
        };
        let subject = Subject { channel: None, is_direct: false, user: Person::default(), received_at };
        self.finish(subject, &id, GAP_TYPE, false, Content::External(content))
    }
}
