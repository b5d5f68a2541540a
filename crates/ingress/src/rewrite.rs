//! The three changes ingress makes to an event: marked late, cut, or replaced by a dead letter.
//!
//! A bus that takes less than the 256 KiB to which connectors cut would hold the whole line up with
//! one message. The platform's raw payload is left out first: what people said is then still an event,
//! under the same id. Where even that is too long, a dead letter stands for it.

use bytes::Bytes;
use chatbus_event::json::{Object, Raw};
use chatbus_event::{DeadLetter, ErrorInfo, Event, Reason, Timestamp, sha256_hex};

use crate::kept::{Kept, Route};
use crate::pack::pack;

/// The body with `metadata.late: true`; unchanged when it is no event.
pub(crate) fn late(body: &Bytes) -> Bytes {
    let Ok(mut event) = Event::decode(body) else { return body.clone() };
    event.set_metadata("late", Raw::of(&true));
    event.encode()
}

/// The body without its raw payloads, which are marked as truncated; `None` when there are none.
pub(crate) fn cut(body: &Bytes) -> Option<Bytes> {
    let mut event = Event::decode(body).ok()?;
    for path in
        [&["message", "rawPlatformPayload", "raw"][..], &["externalEvent", "rawPayload"], &["payload", "raw"]]
    {
        let (member, rest) = path.split_first()?;
        if let Some(changed) = event.member(member).and_then(|value| truncated(&value, rest)) {
            event.set(member, changed);
        }
    }
    let out = event.encode();
    (out.len() < body.len()).then_some(out)
}

/// What stands for an event the bus can never take. `max` is the longest body it takes.
pub(crate) fn dead_letter(
    kept: &Kept,
    code: &str,
    why: &str,
    source: &str,
    max: usize,
    at: Timestamp,
) -> Kept {
    let letter = DeadLetter {
        key: kept.id.as_str(),
        original: &kept.body,
        reason: Reason::Rejected,
        error: Some(ErrorInfo { code: code.to_owned(), message: why.to_owned() }),
        source,
        attempts: &[],
        at,
    };
    let (attributes, mut body) = letter.encode();
    if body.len() > max {
        body = by_reference(&body, &kept.body).unwrap_or(body);
    }
    Kept {
        id: letter.message_id(),
        attributes: pack(&attributes),
        body,
        route: Route::DeadLetter,
        ..kept.clone()
    }
}

/// The dead letter with its original named by hash and size.
fn by_reference(letter: &Bytes, original: &Bytes) -> Option<Bytes> {
    let mut event = Event::decode(letter).ok()?;
    let mut payload = event.payload()?.as_object()?;
    let reference: Object = [("sha256", Raw::of(&sha256_hex(original))), ("size", Raw::of(&original.len()))]
        .into_iter()
        .collect();
    payload.set("original", Raw::NULL);
    payload.set("originalRef", reference.to_raw());
    event.set("payload", payload.to_raw());
    Some(event.encode())
}

fn truncated(value: &Raw, path: &[&str]) -> Option<Raw> {
    let Some((member, rest)) = path.split_first() else {
        return Some([("truncated", Raw::of(&true))].into_iter().collect::<Object>().to_raw());
    };
    let mut object = value.as_object()?;
    let changed = truncated(&object.get(member)?, rest)?;
    object.set(member, changed);
    Some(object.to_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use chatbus_connector::Inbound;
    use chatbus_event::{Attributes, MessageId};

    fn kept(body: String) -> Kept {
        let inbound = Inbound {
            id: MessageId::new("m-1"),
            attributes: Attributes::new(),
            body: body.into(),
            conversation: "#a".into(),
            received_at: Timestamp::EPOCH,
        };
        Kept::new("test", inbound).0
    }

    #[test]
    fn a_late_event_says_so_and_keeps_all_else() {
        let body = Bytes::from_static(br#"{"type":"t","x":1e999,"metadata":{"a":1}}"#);
        assert_eq!(late(&body), &br#"{"type":"t","x":1e999,"metadata":{"a":1,"late":true}}"#[..]);
        assert_eq!(late(&Bytes::from_static(b"no event")), &b"no event"[..]);
    }

    #[test]
    fn raw_payloads_are_cut_in_every_shape_and_marked() {
        for (body, expected) in [
            (
                r#"{"type":"t","message":{"text":"hi","rawPlatformPayload":{"text":"hi","raw":{"tags":"long long long"}}}}"#,
                r#"{"type":"t","message":{"text":"hi","rawPlatformPayload":{"text":"hi","raw":{"truncated":true}}}}"#,
            ),
            (
                r#"{"type":"t","externalEvent":{"id":"1","rawPayload":{"tags":"long long long"}}}"#,
                r#"{"type":"t","externalEvent":{"id":"1","rawPayload":{"truncated":true}}}"#,
            ),
            (
                r#"{"source":{"platform":"p"},"type":"t","payload":{"text":"hi","raw":"long long long long"}}"#,
                r#"{"source":{"platform":"p"},"type":"t","payload":{"text":"hi","raw":{"truncated":true}}}"#,
            ),
        ] {
            assert_eq!(cut(&Bytes::from(body)).unwrap(), expected.as_bytes());
        }
        assert_eq!(cut(&Bytes::from_static(br#"{"type":"t","message":{}}"#)), None);
        assert_eq!(cut(&Bytes::from_static(b"no event")), None);
    }

    #[test]
    fn a_dead_letter_holds_the_original_or_names_it_when_the_bus_takes_less() {
        let event = kept(format!(r#"{{"type":"t","correlationId":"c","text":"{}"}}"#, "x".repeat(4000)));
        let whole = dead_letter(&event, "too_large", "too long", "ingress.i", usize::MAX, Timestamp::EPOCH);
        assert_eq!(whole.id.as_str(), "m-1/deadletter");
        assert_eq!(whole.route, Route::DeadLetter);
        assert!(whole.body.len() > 4000);
        assert_eq!(whole.message().attributes.get("correlationId"), Some("c"));

        let named = dead_letter(&event, "too_large", "too long", "ingress.i", 2000, Timestamp::EPOCH);
        assert!(named.body.len() < 2000);
        let letter = Event::decode(&named.body).unwrap().payload().unwrap();
        assert!(letter.get("original").unwrap().is_null());
        assert_eq!(letter.at(&["originalRef", "size"]).unwrap().as_u64(), Some(event.body.len() as u64));
        assert_eq!(
            letter.at(&["originalRef", "sha256"]).unwrap().as_str().as_deref(),
            Some(&*sha256_hex(&event.body))
        );
        assert_eq!(letter.at(&["error", "code"]).unwrap().as_str().as_deref(), Some("too_large"));
    }
}
