//! What is published for a letter, and why some are not. Pure.

use std::fmt;

use bytes::Bytes;
use chatbus_bus::Message;
use chatbus_event::json::Raw;
use chatbus_event::{
    Attributes, Event, Family, MAX_EVENT_BYTES, MessageId, Timestamp, Topic, egress_text, names, sha256_hex,
};
use chatbus_store::StoredLetter;
use serde::Serialize;
use serde_json::json;

use super::ReplayTo;

/// Replays of one event in a row; what failed as often as that fails again.
const MAX_REPLAYS: u64 = 3;

/// Room for what a replay adds to its event.
const ADDED_BYTES: usize = 1024;

/// Why a letter is not replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The letter does not have its whole original.
    NoOriginal,
    /// The original is no event.
    NotAnEvent,
    /// It was replayed three times in a row.
    TooOften,
    /// It would be longer than the bus takes.
    TooLarge,
    /// Outcomes, dead letters and lanes are nothing to publish events on.
    Topic,
}

/// What a replay publishes.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) topic: Topic,
    /// The message's id and the delivery's.
    pub(super) id: MessageId,
    /// Which replay in a row it is, from 1 on.
    pub(super) count: u64,
    event: Event,
}

// === impl Plan ===

impl Plan {
    pub(super) fn of(letter: &StoredLetter, to: &ReplayTo, max_bytes: usize) -> Result<Self, Refusal> {
        let original = letter.original.as_ref().ok_or(Refusal::NoOriginal)?;
        let event = Event::decode(original).map_err(|_| Refusal::NotAnEvent)?;
        let before = event.metadata("replay").and_then(|replay| replay.get("count")?.as_u64()).unwrap_or(0);
        if before >= MAX_REPLAYS {
            return Err(Refusal::TooOften);
        }
        if original.len() + ADDED_BYTES > max_bytes.min(MAX_EVENT_BYTES) {
            return Err(Refusal::TooLarge);
        }
        let topic = match to {
            ReplayTo::Generic => Topic::egress(),
            ReplayTo::Topic(topic) => topic.clone(),
            ReplayTo::Original => home(letter, &event),
        };
        let is_end = matches!(
            topic.family(),
            Family::Finalizer | Family::DeadLetter | Family::RouterDlq | Family::Lane
        );
        if is_end {
            return Err(Refusal::Topic);
        }
        let id = MessageId::new(&letter.id).step("replay");
        Ok(Self { topic, id, count: before + 1, event })
    }

    /// The event as it was, with attributes of its own: it begins its delivery anew.
    pub(super) fn message(&self, letter: &StoredLetter, now: Timestamp) -> Message {
        let mut event = self.event.clone();
        let replay = json!({"of": letter.id, "at": now.to_string(), "count": self.count});
        event.set_metadata("replay", Raw::of(&replay));
        if event.correlation_id().is_none() {
            event.set("correlationId", Raw::of(&letter.correlation_id));
        }
        let body: Bytes = event.encode();
        Message::new(self.id.clone(), self.attributes(&event, now), body)
    }

    fn attributes(&self, event: &Event, now: Timestamp) -> Attributes {
        let id = self.id.as_str();
        let mut attributes = Attributes::with_capacity(12);
        attributes.set(names::CORRELATION_ID, event.correlation_id().unwrap_or_default());
        attributes.set(names::TYPE, event.kind());
        attributes.set(names::SOURCE, event.source());
        if let Some(traceparent) = traceparent(event, id) {
            attributes.set(names::TRACEPARENT, traceparent);
        }
        attributes.set(names::MESSAGE_ID, id);
        if let Some(channel) = event.channel() {
            attributes.set(names::CHANNEL, channel);
        }
        if self.topic.family().is_egress() {
            attributes.set(names::DELIVERY_ID, id);
        }
        attributes.set(names::CE_ID, id);
        attributes.set(names::CE_TYPE, event.kind());
        attributes.set(names::CE_SOURCE, event.source());
        attributes.set(names::CE_SPECVERSION, "1.0");
        attributes.set(names::CE_TIME, now.to_string());
        attributes
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoOriginal => "the letter does not have its whole original",
            Self::NotAnEvent => "the original is no event",
            Self::TooOften => "it was replayed three times in a row",
            Self::TooLarge => "it would be longer than the bus takes",
            Self::Topic => "no events are published on that topic",
        })
    }
}

/// Where the original stood, else where the event itself says that its answer goes. A text from outside is
/// followed to egress topics only. What a step failed to answer goes through the rules again: on an egress topic
/// there would still be nothing to say.
fn home(letter: &StoredLetter, event: &Event) -> Topic {
    let stood = letter.topic.as_deref().and_then(|topic| Topic::parse(topic).ok());
    stood.unwrap_or_else(|| {
        let has_failed = event.routing_slip().iter().any(|step| step.status == "ERROR");
        if has_failed && egress_text(event).is_none() {
            return Topic::enriched();
        }
        let named = event.egress().destination.and_then(|named| Topic::parse(&named).ok());
        named.filter(|topic| topic.family().is_egress()).unwrap_or_else(Topic::egress)
    })
}

/// W3C trace context: the event's trace, a span of this publication, sampled.
fn traceparent(event: &Event, id: &str) -> Option<String> {
    let trace: String = event.trace_id()?.chars().filter(|c| *c != '-').collect();
    let is_trace = trace.len() == 32
        && trace.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
        && trace.bytes().any(|b| b != b'0');
    let span = sha256_hex(id.as_bytes());
    is_trace.then(|| format!("00-{trace}-{}-01", span.get(..16).unwrap_or_default()))
}
