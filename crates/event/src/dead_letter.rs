//! What is given up, kept whole, with why.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use uuid::Uuid;

use crate::attributes::{Attributes, names};
use crate::clock::Timestamp;
use crate::draft::MAX_EVENT_BYTES;
use crate::event::Event;
use crate::ids::{MessageId, sha256_hex};
use crate::json::Raw;
use crate::outcome::{Attempt, ErrorInfo};
use crate::reason::Reason;
use crate::view::Step;
use crate::writer::Writer;

/// What a dead letter is made of.
#[derive(Debug, Clone)]
pub struct DeadLetter<'a> {
    /// Names what is given up, a delivery or a message on a topic, so that a repeat is a duplicate.
    pub key: &'a str,
    /// The bytes as they stood on the bus.
    pub original: &'a Bytes,
    /// The stable reason.
    pub reason: Reason,
    /// What failed, if anything did.
    pub error: Option<ErrorInfo>,
    /// Who gave up, such as `ingress-egress.{instanceId}`.
    pub source: &'a str,
    /// Every attempt to deliver.
    pub attempts: &'a [Attempt],
    /// When.
    pub at: Timestamp,
}

/// The `type` of dead letters.
pub const DEAD_LETTER_TYPE: &str = "router.deadletter.v1";

/// Bytes that are no JSON are kept up to this many.
const NOT_JSON_BYTES: usize = 64 * 1024;
/// A payload longer than this is not previewed.
const PREVIEW_BYTES: usize = 1000;
/// Names the UUIDs made here, so that no other version 5 UUID can be the same.
const NAMESPACE: Uuid = uuid::uuid!("6f1c1f0e-8d0b-4d5c-9d0a-3d8f0f9f6f0a");

// === impl DeadLetter ===

impl DeadLetter<'_> {
    /// Its dedupe id, made from the key.
    pub fn message_id(&self) -> MessageId {
        MessageId::new(self.key).step("deadletter")
    }

    /// Its attributes and its body: a flat envelope whose payload holds the whole original.
    ///
    /// An original over [`MAX_EVENT_BYTES`] is named by its hash and size instead; the dead letter of
    /// a smaller one may itself be longer than that by what it adds.
    pub fn encode(&self) -> (Attributes, Bytes) {
        let event = Event::decode(self.original).ok();
        let derived = Uuid::new_v5(&NAMESPACE, self.key.as_bytes());
        let correlation_id = event
            .as_ref()
            .and_then(Event::correlation_id)
            .unwrap_or_else(|| derived.hyphenated().to_string().into());
        let trace_id = event.as_ref().and_then(trace_of).unwrap_or(derived);
        let body_with = |as_text| self.body(event.as_ref(), &derived, &correlation_id, &trace_id, as_text);
        let mut body = body_with(false);
        // Two levels deeper than the original, the letter may be deeper than any reader takes.
        if Event::decode(&body).is_err() {
            body = body_with(true);
        }
        let id = self.message_id();
        let mut attributes = Attributes::with_capacity(11);
        attributes.set(names::CORRELATION_ID, correlation_id);
        attributes.set(names::TYPE, DEAD_LETTER_TYPE);
        attributes.set(names::SOURCE, self.source);
        attributes.set(names::TRACEPARENT, crate::draft::traceparent(&trace_id, &derived));
        attributes.set(names::MESSAGE_ID, id.as_str());
        if let Some(channel) = event.as_ref().and_then(Event::channel) {
            attributes.set(names::CHANNEL, channel);
        }
        attributes.set(names::CE_ID, id.as_str());
        attributes.set(names::CE_TYPE, DEAD_LETTER_TYPE);
        attributes.set(names::CE_SOURCE, self.source);
        attributes.set(names::CE_SPECVERSION, "1.0");
        attributes.set(names::CE_TIME, self.at.to_string());
        (attributes, body)
    }

    fn body(
        &self,
        event: Option<&Event>,
        id: &Uuid,
        correlation_id: &str,
        trace_id: &Uuid,
        as_text: bool,
    ) -> Bytes {
        let mut w = Writer::with_capacity(self.original.len() + 1024);
        w.open_object();
        w.member_fixed("v", "1");
        w.member_fixed("id", &id.hyphenated().to_string());
        w.member_text("correlationId", correlation_id);
        w.member_fixed("traceId", &trace_id.simple().to_string());
        w.member_fixed("timestamp", &self.at.to_string());
        w.member_fixed("type", DEAD_LETTER_TYPE);
        w.member_text("source", self.source);
        if let Some(channel) = event.and_then(Event::channel) {
            w.member_text("channel", &channel);
        }
        if let Some(user) = event.and_then(Event::user_id) {
            w.member_text("userId", &user);
        }
        w.member_raw("routingSlip", b"[]");
        w.key("payload");
        w.open_object();
        self.payload(&mut w, event, as_text);
        w.close_object();
        w.close_object();
        w.finish().into()
    }

    fn payload(&self, w: &mut Writer, event: Option<&Event>, as_text: bool) {
        let steps = event.map(Event::routing_slip).unwrap_or_default();
        let last = steps.iter().find(|step| !step.is_done()).or(steps.last());
        w.member_fixed("reason", self.reason.as_str());
        w.member_raw("error", self.error.as_ref().map_or(Raw::NULL, Raw::of).as_bytes());
        w.member_raw("lastStepId", last.map_or(Raw::NULL, |step| Raw::of(&step.id)).as_bytes());
        let kind = event.map(Event::kind).filter(|kind| !kind.is_empty());
        w.member_raw("originalType", kind.map_or(Raw::NULL, |kind| Raw::of(&kind)).as_bytes());
        w.member_text("slipSummary", &summary(&steps));
        w.member_raw("originalPayloadPreview", preview(event).as_bytes());
        let source = event.map(Event::source).filter(|source| !source.is_empty());
        w.member_raw("egressSource", source.map_or(Raw::NULL, |source| Raw::of(&source)).as_bytes());
        w.member_raw("attempts", Raw::of(self.attempts).as_bytes());
        self.original(w, as_text);
    }

    fn original(&self, w: &mut Writer, as_text: bool) {
        if self.original.len() > MAX_EVENT_BYTES {
            w.member_raw("original", b"null");
            w.key("originalRef");
            w.open_object();
            w.member_fixed("sha256", &sha256_hex(self.original));
            w.member_number("size", i64::try_from(self.original.len()).unwrap_or(i64::MAX));
            w.close_object();
            return;
        }
        match Raw::parse(self.original) {
            Ok(raw) if !as_text => w.member_raw("original", raw.as_bytes()),
            parsed => {
                let kept = if parsed.is_ok() { self.original.len() } else { NOT_JSON_BYTES };
                let kept = &self.original[..self.original.len().min(kept)];
                w.key("original");
                w.open_object();
                w.member_fixed("encoding", "base64");
                w.member_fixed("data", &BASE64.encode(kept));
                w.member_number("size", i64::try_from(self.original.len()).unwrap_or(i64::MAX));
                w.close_object();
            }
        }
    }
}

/// `[id:STATUS#attempt,…]`
fn summary(steps: &[Step]) -> String {
    let parts: Vec<String> = steps
        .iter()
        .map(|step| match step.attempt {
            Some(attempt) => format!("{}:{}#{attempt}", step.id, step.status),
            None => format!("{}:{}", step.id, step.status),
        })
        .collect();
    format!("[{}]", parts.join(","))
}

fn preview(event: Option<&Event>) -> Raw {
    match event.and_then(Event::payload) {
        None => Raw::NULL,
        Some(payload) if payload.as_bytes().len() <= PREVIEW_BYTES => payload,
        Some(payload) => Raw::of(&serde_json::json!({"truncated": true, "length": payload.as_bytes().len()})),
    }
}

fn trace_of(event: &Event) -> Option<Uuid> {
    Uuid::try_parse(&event.trace_id()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(original: &Bytes) -> (Attributes, serde_json::Value) {
        let attempts = [Attempt { at: Timestamp::EPOCH, instance: "i".into(), outcome: "msg_banned".into() }];
        let letter = DeadLetter {
            key: "d-1",
            original,
            reason: Reason::Rejected,
            error: Some(ErrorInfo { code: "msg_banned".into(), message: "banned".into() }),
            source: "ingress-egress.i",
            attempts: &attempts,
            at: Timestamp::EPOCH,
        };
        let (attributes, body) = letter.encode();
        assert!(Event::decode(&body).is_ok());
        assert_eq!(letter.encode().1, body, "a repeat is the same letter");
        (attributes, serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn a_dead_letter_holds_the_whole_original_and_why() {
        let original = Bytes::from_static(
            br##"{"type":"chat.message.v1","source":"ingress.twitch","correlationId":"c","channel":"#a","userId":"7",
            "traceId":"000000000000400080000000000000ff","payload":{"text":"x"},"big":1e999,
            "routingSlip":[{"id":"a","status":"OK","attempt":1},{"id":"b","status":"ERROR"}]}"##,
        );
        let (attributes, value) = letter_raw(&original);
        assert_eq!(attributes.get("correlationId"), Some("c"));
        assert_eq!(attributes.get("messageId"), Some("d-1/deadletter"));
        assert!(attributes.get("traceparent").unwrap().starts_with("00-000000000000400080000000000000ff-"));
        let text = String::from_utf8(value.to_vec()).unwrap();
        for part in [
            r##""type":"router.deadletter.v1","source":"ingress-egress.i","channel":"#a","userId":"7""##,
            r#""payload":{"reason":"rejected","error":{"code":"msg_banned","message":"banned"},"lastStepId":"b","originalType":"chat.message.v1","slipSummary":"[a:OK#1,b:ERROR]","originalPayloadPreview":{"text":"x"},"egressSource":"ingress.twitch""#,
            r#""attempts":[{"at":"1970-01-01T00:00:00.000Z","instance":"i","outcome":"msg_banned"}]"#,
            r#""big":1e999"#,
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    fn letter_raw(original: &Bytes) -> (Attributes, Bytes) {
        DeadLetter {
            key: "d-1",
            original,
            reason: Reason::Rejected,
            error: Some(ErrorInfo { code: "msg_banned".into(), message: "banned".into() }),
            source: "ingress-egress.i",
            attempts: &[Attempt { at: Timestamp::EPOCH, instance: "i".into(), outcome: "msg_banned".into() }],
            at: Timestamp::EPOCH,
        }
        .encode()
    }

    #[test]
    fn bytes_that_are_no_json_are_kept_as_base64() {
        let (_, value) = letter(&Bytes::from_static(b"\xff\x00{"));
        assert_eq!(
            value["payload"]["original"],
            serde_json::json!({"encoding":"base64","data":"/wB7","size":3})
        );
        assert_eq!(value["payload"]["originalType"], serde_json::Value::Null);
        let (_, value) = letter(&Bytes::from(vec![0xff; 100_000]));
        assert_eq!(value["payload"]["original"]["size"], 100_000);
        assert_eq!(
            BASE64.decode(value["payload"]["original"]["data"].as_str().unwrap()).unwrap().len(),
            64 * 1024
        );
    }

    #[test]
    fn json_that_is_no_event_is_kept_as_json() {
        let (attributes, value) = letter(&Bytes::from_static(b"[1]"));
        assert_eq!(value["payload"]["original"], serde_json::json!([1]));
        assert!(Uuid::try_parse(attributes.get("correlationId").unwrap()).is_ok());
    }

    #[test]
    fn an_original_as_deep_as_we_take_still_makes_a_letter_that_can_be_read() {
        let deep = format!(r#"{{"type":"t","x":{}{}}}"#, "[".repeat(99), "]".repeat(99));
        let (_, value) = letter(&Bytes::from(deep.clone()));
        let data = value["payload"]["original"]["data"].as_str().unwrap();
        assert_eq!(BASE64.decode(data).unwrap(), deep.as_bytes());
    }

    #[test]
    fn what_is_too_long_is_named_by_its_hash() {
        let original = Bytes::from(format!(r#"{{"type":"t","payload":"{}"}}"#, "x".repeat(MAX_EVENT_BYTES)));
        let (_, value) = letter(&original);
        assert_eq!(value["payload"]["original"], serde_json::Value::Null);
        assert_eq!(value["payload"]["originalRef"]["sha256"], sha256_hex(&original));
        assert_eq!(value["payload"]["originalRef"]["size"], original.len());
        assert_eq!(value["payload"]["originalPayloadPreview"]["truncated"], true);
    }
}
