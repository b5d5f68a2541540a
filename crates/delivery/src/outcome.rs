//! The records of how a delivery ended: its finalize event, and for a failure its dead letter.

use std::borrow::Cow;

use bytes::Bytes;
use chatbus_bus::Message;
use chatbus_event::{Attributes, DeadLetter, Event, Family, Finalize, Timestamp, Topic, names};

use crate::decide::Ending;
use crate::ticket::Ticket;

/// What is published when a delivery ends, in this order.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Where the finalize event goes.
    pub(crate) topic: Topic,
    /// The finalize event.
    pub(crate) finalize: Message,
    /// Where a copy of it goes.
    pub(crate) copy_to: Option<Topic>,
}

// === impl Outcome ===

impl Outcome {
    /// The outcome of a delivery; `event` when its body is one. Goes to the event's
    /// `finalizationDestination` if that is a finalizer topic, with a copy to its `replyTo` if that is
    /// a topic we know: a text from outside never becomes a topic.
    pub(crate) fn of(
        ticket: &Ticket,
        attributes: &Attributes,
        event: Option<&Event>,
        ending: &Ending,
        source: &str,
        known_topics: &[Topic],
        now: Timestamp,
    ) -> Self {
        let correlation_id = event
            .and_then(Event::correlation_id)
            .or_else(|| attributes.get(names::CORRELATION_ID).map(Cow::Borrowed))
            .unwrap_or(Cow::Borrowed(&ticket.id));
        let mut finalize = Finalize {
            correlation_id: &correlation_id,
            delivery_id: &ticket.id,
            destination: ticket.origin.as_str(),
            delivered_at: now,
            status: ending.status(),
            provider_message_id: None,
            error: None,
            attempts: &ticket.attempts,
            candidates: event.and_then(|event| event.member("candidates")),
            annotations: event.and_then(|event| event.member("annotations")),
            routing_slip: None,
            metadata: None,
            qos: event.and_then(|event| event.member("qos")),
        };
        // What was routed tells by which rule and how, so that its life can be read as one page.
        if let Some(slip) =
            event.and_then(|event| event.member("routingSlip")).filter(|slip| slip.as_bytes().len() > 2)
        {
            finalize.routing_slip = Some(slip);
            finalize.metadata = event.and_then(|event| event.member("metadata"));
        }
        match ending {
            Ending::Sent { provider_message_id } => {
                finalize.provider_message_id = provider_message_id.as_deref();
            }
            Ending::Accepted => {}
            Ending::Failed { error, .. } => finalize.error = Some(error),
        }
        let (id, described) = finalize.described(source, attributes.get(names::TRACEPARENT));
        let message = Message::new(id, described, finalize.body());
        let asked = event.and_then(Event::finalization_destination).and_then(|text| Topic::parse(&text).ok());
        let topic =
            asked.filter(|topic| topic.family() == Family::Finalizer).unwrap_or_else(Topic::finalizer);
        // On another finalizer topic a copy would be a second outcome.
        let copy_to =
            event.and_then(Event::reply_to).and_then(|text| Topic::parse(&text).ok()).filter(|to| {
                match to.family() {
                    Family::Finalizer | Family::Lane => false,
                    Family::Other => known_topics.contains(to),
                    _ => true,
                }
            });
        Self { topic, finalize: message, copy_to }
    }
}

/// The dead letter of a failed delivery.
pub(crate) fn dead_letter(
    ticket: &Ticket,
    original: &Bytes,
    ending: &Ending,
    source: &str,
    now: Timestamp,
) -> Option<Message> {
    let Ending::Failed { reason, error } = ending else { return None };
    let letter = DeadLetter {
        key: &ticket.id,
        original,
        reason: *reason,
        error: Some(error.clone()),
        source,
        attempts: &ticket.attempts,
        at: now,
    };
    let id = letter.message_id();
    let (mut attributes, body) = letter.encode();
    attributes.set(names::DELIVERY_ID, &*ticket.id);
    Some(Message::new(id, attributes, body))
}
