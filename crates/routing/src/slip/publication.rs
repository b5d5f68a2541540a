//! What is decided, as it is published.

use std::borrow::Cow;

use bytes::Bytes;
use chatbus_event::{
    Attributes, DeadLetter, Event, Family, Finalize, MAX_EVENT_BYTES, MessageId, Reason, Status, Topic,
    names, sha256_hex,
};

use super::onward::{Onward, OnwardContext};

/// The message that was handled.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Its id on its topic.
    pub message_id: &'a MessageId,
    /// The topic it was read from.
    pub topic: &'a Topic,
    /// Its attributes.
    pub attributes: &'a Attributes,
}

/// Something to publish. Its `messageId` is `<input's messageId>/<step>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Where.
    pub topic: Topic,
    /// Names it among those of its input.
    pub step: String,
    /// All attributes of the contract.
    pub attributes: Attributes,
    /// The event.
    pub body: Bytes,
}

/// A delivery's id may be so long.
const MAX_DELIVERY_ID_BYTES: usize = 200;

// === impl Onward ===

impl Onward {
    /// What is published, first the outcome where there is one: one publication, and for an outcome a copy to
    /// the event's `replyTo` where that is a topic we know.
    pub fn publications(&self, input: &Input<'_>, cx: &OnwardContext<'_>) -> Vec<Publication> {
        match self {
            Self::Event { topic, step, event } => {
                let body = event.encode();
                if body.len() > MAX_EVENT_BYTES {
                    return vec![too_long(&body, input, cx)];
                }
                let attributes = attributes_of(event, &input.message_id.step(step), topic, input, cx);
                vec![Publication { topic: topic.clone(), step: step.clone(), attributes, body }]
            }
            Self::Nothing { event } => outcome(event, input, cx),
            Self::DeadLetter { topic, reason, error, event } => {
                let body = event.encode();
                vec![letter(topic, *reason, error.clone(), &body, input, cx)]
            }
        }
    }
}

/// The attributes of an event that goes on. Of the input's only the trace stays true; the rest is said anew
/// from the body, and what we do not know was said of another message.
fn attributes_of(
    event: &Event,
    id: &MessageId,
    topic: &Topic,
    input: &Input<'_>,
    cx: &OnwardContext<'_>,
) -> Attributes {
    let kind = event.kind();
    let mut attributes = Attributes::with_capacity(12);
    if let Some(correlation_id) = correlation_id(event, input) {
        attributes.set(names::CORRELATION_ID, correlation_id);
    }
    attributes.set(names::TYPE, &kind);
    attributes.set(names::SOURCE, cx.source);
    if let Some(traceparent) = input.attributes.get(names::TRACEPARENT) {
        attributes.set(names::TRACEPARENT, traceparent);
    }
    attributes.set(names::MESSAGE_ID, id.as_str());
    if let Some(channel) = event.channel() {
        attributes.set(names::CHANNEL, channel);
    }
    // The deadline is the egress engine's to say: it runs from this publication, for as long as is configured.
    if topic.family().is_egress() {
        attributes.set(names::DELIVERY_ID, delivery_id(id));
    }
    attributes.set(names::CE_ID, id.as_str());
    attributes.set(names::CE_TYPE, &kind);
    attributes.set(names::CE_SOURCE, cx.source);
    attributes.set(names::CE_SPECVERSION, "1.0");
    attributes.set(names::CE_TIME, cx.now.to_string());
    attributes
}

fn correlation_id<'a>(event: &'a Event, input: &Input<'a>) -> Option<Cow<'a, str>> {
    event.correlation_id().or_else(|| input.attributes.get(names::CORRELATION_ID).map(Cow::Borrowed))
}

fn delivery_id(id: &MessageId) -> Cow<'_, str> {
    let text = id.as_str();
    if text.len() <= MAX_DELIVERY_ID_BYTES { text.into() } else { sha256_hex(text.as_bytes()).into() }
}

/// The outcome `NONE`, and its copy.
fn outcome(event: &Event, input: &Input<'_>, cx: &OnwardContext<'_>) -> Vec<Publication> {
    let delivery = input.message_id.step("none");
    let finalize = Finalize {
        correlation_id: &correlation_id(event, input).unwrap_or(Cow::Borrowed(delivery.as_str())),
        delivery_id: delivery.as_str(),
        destination: input.topic.as_str(),
        delivered_at: cx.now,
        status: Status::None,
        provider_message_id: None,
        error: None,
        attempts: &[],
        candidates: event.member("candidates"),
        annotations: event.member("annotations"),
    };
    let attributes = finalize.attributes(cx.source, input.attributes.get(names::TRACEPARENT));
    let asked = event.finalization_destination().and_then(|text| Topic::parse(&text).ok());
    let topic = asked.filter(|topic| topic.family() == Family::Finalizer).unwrap_or_else(Topic::finalizer);
    // On another finalizer topic a copy would be a second outcome.
    let copy_to = event
        .reply_to()
        .and_then(|text| Topic::parse(&text).ok())
        .filter(|to| to.family() != Family::Finalizer && super::is_followed(to, cx.known_topics));
    let publication = |topic| Publication {
        topic,
        step: "none/outcome".to_owned(),
        attributes: attributes.clone(),
        body: finalize.body(),
    };
    std::iter::once(topic).chain(copy_to).map(publication).collect()
}

fn letter(
    topic: &Topic,
    reason: Reason,
    error: Option<chatbus_event::ErrorInfo>,
    original: &Bytes,
    input: &Input<'_>,
    cx: &OnwardContext<'_>,
) -> Publication {
    let key = input.message_id.step("slip");
    let letter = DeadLetter {
        key: key.as_str(),
        original,
        reason,
        error,
        source: cx.source,
        attempts: &[],
        at: cx.now,
    };
    let (attributes, body) = letter.encode();
    Publication { topic: topic.clone(), step: "slip/deadletter".to_owned(), attributes, body }
}

/// An event that grew beyond what we publish: nobody would read it.
fn too_long(body: &Bytes, input: &Input<'_>, cx: &OnwardContext<'_>) -> Publication {
    let message = format!("{} bytes, at most {MAX_EVENT_BYTES} are published", body.len());
    let error = chatbus_event::ErrorInfo { code: "too_large".to_owned(), message };
    letter(&Topic::dead_letter(), Reason::InvalidEvent, Some(error), body, input, cx)
}
