//! How a delivery ended, as it is published on a finalizer topic.

use bytes::Bytes;
use serde::Serialize;

use crate::attributes::{Attributes, names};
use crate::clock::{Timestamp, as_text};
use crate::draft::MAX_EVENT_BYTES;
use crate::ids::MessageId;
use crate::json::Raw;
use crate::writer::Writer;

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The platform confirmed it.
    Sent,
    /// Handed over; the platform gives no verdict.
    Accepted,
    /// Not said; there is a dead letter.
    Failed,
    /// There was nothing to say.
    None,
}

/// One attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// When it ended.
    pub at: Timestamp,
    /// Which instance made it.
    pub instance: String,
    /// What came of it: `sent`, `accepted`, or the platform's code.
    pub outcome: String,
}

/// A stable code, and what happened for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorInfo {
    /// The code.
    pub code: String,
    /// The message.
    pub message: String,
}

/// The finalize event of contract section 5: the one record of how a delivery ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Finalize<'a> {
    /// Ties it to what it answers.
    pub correlation_id: &'a str,
    /// Names the delivery.
    pub delivery_id: &'a str,
    /// Where it was to go: the topic it was read from.
    pub destination: &'a str,
    /// When it ended.
    pub delivered_at: Timestamp,
    /// How it ended.
    pub status: Status,
    /// The platform's id of what was said.
    pub provider_message_id: Option<&'a str>,
    /// Why it was not said.
    pub error: Option<&'a ErrorInfo>,
    /// Every attempt.
    pub attempts: &'a [Attempt],
    /// The event's candidates.
    pub candidates: Option<Raw>,
    /// The event's annotations.
    pub annotations: Option<Raw>,
    /// The event's routing slip, where it was routed by one.
    pub routing_slip: Option<Raw>,
    /// The event's metadata, where it was routed: which rules matched, and when.
    pub metadata: Option<Raw>,
    /// The event's `qos`, where it has one: how long it is kept.
    pub qos: Option<Raw>,
}

/// The `type` attribute of finalize events.
pub const FINALIZE_TYPE: &str = "egress.finalized.v1";

// === impl Status ===

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "SENT",
            Self::Accepted => "ACCEPTED",
            Self::Failed => "FAILED",
            Self::None => "NONE",
        }
    }

    /// The status this word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Sent, Self::Accepted, Self::Failed, Self::None]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}

// === impl Finalize ===

impl Finalize<'_> {
    /// Its dedupe id: made from the delivery's, so that a repeat is a duplicate.
    pub fn message_id(&self) -> MessageId {
        MessageId::new(self.delivery_id).step("outcome")
    }

    /// Its attributes. `source` is the service that ended it; status and delivery id stand in them
    /// so that outcomes can be read back without their bodies.
    pub fn attributes(&self, source: &str, traceparent: Option<&str>) -> Attributes {
        self.described(source, traceparent).1
    }

    /// Its dedupe id and its attributes.
    pub fn described(&self, source: &str, traceparent: Option<&str>) -> (MessageId, Attributes) {
        let id = self.message_id();
        let mut attributes = Attributes::with_capacity(12);
        attributes.put(names::CORRELATION_ID, self.correlation_id);
        attributes.push(names::TYPE, FINALIZE_TYPE);
        attributes.put(names::SOURCE, source);
        if let Some(traceparent) = traceparent {
            attributes.put(names::TRACEPARENT, traceparent);
        }
        attributes.put(names::MESSAGE_ID, id.as_str());
        attributes.put(names::DELIVERY_ID, self.delivery_id);
        attributes.push(names::STATUS, self.status.as_str());
        attributes.put(names::CE_ID, id.as_str());
        attributes.push(names::CE_TYPE, FINALIZE_TYPE);
        attributes.put(names::CE_SOURCE, source);
        attributes.push(names::CE_SPECVERSION, "1.0");
        attributes.push(names::CE_TIME, as_text(&self.delivered_at.ascii()));
        (id, attributes)
    }

    /// Its body. Candidates, annotations, slip and metadata are left out where it would be too long with them.
    pub fn body(&self) -> Bytes {
        let body = self.write(true);
        if body.len() <= MAX_EVENT_BYTES { body } else { self.write(false) }
    }

    fn write(&self, with_lists: bool) -> Bytes {
        let mut w = Writer::with_capacity(512);
        w.open_object();
        w.member_text("correlationId", self.correlation_id);
        w.member_text("deliveryId", self.delivery_id);
        w.member_text("destination", self.destination);
        w.member_fixed("deliveredAt", as_text(&self.delivered_at.ascii()));
        w.member_fixed("status", self.status.as_str());
        if let Some(id) = self.provider_message_id {
            w.member_text("providerMessageId", id);
        }
        if let Some(error) = self.error {
            w.key("error");
            w.open_object();
            w.member_text("code", &error.code);
            w.member_text("message", &error.message);
            w.close_object();
        }
        w.key("attempts");
        w.open_array();
        for attempt in self.attempts {
            w.item();
            w.open_object();
            w.member_fixed("at", as_text(&attempt.at.ascii()));
            w.member_text("instance", &attempt.instance);
            w.member_text("outcome", &attempt.outcome);
            w.close_object();
        }
        w.close_array();
        for (key, list) in [
            ("candidates", &self.candidates),
            ("annotations", &self.annotations),
            ("routingSlip", &self.routing_slip),
            ("metadata", &self.metadata),
            ("qos", &self.qos),
        ] {
            if let (true, Some(list)) = (with_lists, list) {
                w.member_raw(key, list.as_bytes());
            }
        }
        w.close_object();
        w.finish().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(test: impl FnOnce(Finalize<'_>)) {
        let error = ErrorInfo { code: "no_text".into(), message: "nothing to say".into() };
        let attempt = Attempt { at: Timestamp::EPOCH, instance: "i".into(), outcome: "msg_ratelimit".into() };
        test(Finalize {
            correlation_id: "c",
            delivery_id: "d",
            destination: "internal.egress.v1",
            delivered_at: Timestamp::EPOCH,
            status: Status::Failed,
            provider_message_id: None,
            error: Some(&error),
            attempts: &[attempt],
            candidates: None,
            annotations: Some(Raw::of(&[1])),
            routing_slip: None,
            metadata: None,
            qos: None,
        });
    }

    #[test]
    fn a_finalize_event_has_the_members_of_the_contract() {
        told(|finalize| {
            assert_eq!(
                finalize.body(),
                r#"{"correlationId":"c","deliveryId":"d","destination":"internal.egress.v1","deliveredAt":"1970-01-01T00:00:00.000Z","status":"FAILED","error":{"code":"no_text","message":"nothing to say"},"attempts":[{"at":"1970-01-01T00:00:00.000Z","instance":"i","outcome":"msg_ratelimit"}],"annotations":[1]}"#
            );
            let attributes = finalize.attributes("ingress-egress.i", Some("00-1-2-01"));
            assert_eq!(attributes.get("deliveryid"), Some("d"));
            assert_eq!(attributes.get("status").and_then(Status::parse), Some(Status::Failed));
            assert_eq!(attributes.get("messageId"), Some("d/outcome"));
        });
    }

    #[test]
    fn what_would_make_it_too_long_is_left_out() {
        told(|finalize| {
            let long = Finalize { candidates: Some(Raw::of(&"x".repeat(MAX_EVENT_BYTES))), ..finalize };
            assert!(long.body().len() < 1000);
        });
    }

    #[test]
    fn every_status_is_found_by_its_word() {
        for status in [Status::Sent, Status::Accepted, Status::Failed, Status::None] {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("sent"), None);
    }
}
