//! What came of a question, and how an event says so. Pure.

use chatbus_event::json::Raw;
use chatbus_event::{Event, MessageId, Timestamp};
use chatbus_routing::slip::Done;
use serde_json::json;

use crate::model::ModelFailure;

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This is to be said.
    Said(String),
    /// There is nothing to say; why, for people.
    Nothing(&'static str),
    /// It failed.
    Failed(ModelFailure),
}

/// Says so in the event, and gives how its step ended. `at` is the time of the message, not of the answer, so that
/// a redelivery leads to the same bytes.
pub(crate) fn apply(outcome: Outcome, event: &mut Event, id: &MessageId, model: &str, at: Timestamp) -> Done {
    match outcome {
        Outcome::Said(text) => {
            let candidate = json!({
                "id": format!("cand-{id}"), "kind": "text", "source": crate::NAME, "createdAt": at,
                "status": "proposed", "priority": 10, "text": text, "reason": format!("model:{model}"),
            });
            append(event, "candidates", &candidate);
            Done::Ok
        }
        Outcome::Nothing(why) => Done::Skip { why: why.to_owned() },
        Outcome::Failed(ModelFailure { code, message }) => {
            let error = json!({ "source": crate::NAME, "code": code, "message": message, "at": at });
            append(event, "errors", &error);
            // The call was tried again as often as makes sense, with waits that the slip cannot make.
            Done::Error { code: code.to_owned(), message, retryable: false }
        }
    }
}

/// Adds to a list of the event. What stands there and is no list is replaced: no reader makes anything of it.
fn append(event: &mut Event, name: &str, item: &serde_json::Value) {
    let mut list = event.member(name).and_then(|raw| raw.as_array()).unwrap_or_default();
    list.push(Raw::of(item));
    event.set(name, Raw::of(&list));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &'static str) -> Event {
        Event::decode(&bytes::Bytes::from_static(json.as_bytes())).unwrap()
    }

    fn applied(outcome: Outcome, event: &mut Event) -> Done {
        apply(outcome, event, &MessageId::new("m-1"), "m", Timestamp::EPOCH)
    }

    #[test]
    fn an_answer_is_one_more_candidate() {
        for shape in [
            r#"{"type":"t","source":"ingress.a","candidates":[{"id":"rule","x":1e2}]}"#,
            r#"{"envelope":{"source":"ingress.a"},"type":"t","payload":{"candidates":[{"id":"rule","x":1e2}]}}"#,
        ] {
            let mut event = event(shape);
            assert_eq!(applied(Outcome::Said("hi".into()), &mut event), Done::Ok);
            let candidates = event.member("candidates").unwrap();
            assert_eq!(
                String::from_utf8_lossy(candidates.as_bytes()),
                r#"[{"id":"rule","x":1e2},{"createdAt":"1970-01-01T00:00:00.000Z","id":"cand-m-1","kind":"text","priority":10,"reason":"model:m","source":"llm-bot","status":"proposed","text":"hi"}]"#
            );
        }
    }

    #[test]
    fn a_failure_is_recorded_and_leaves_no_candidate() {
        let mut event = event(r#"{"type":"t","message":{"text":"secret"}}"#);
        let failure = ModelFailure { code: "timeout", message: "late".into() };
        let done = applied(Outcome::Failed(failure), &mut event);
        assert_eq!(done, Done::Error { code: "timeout".into(), message: "late".into(), retryable: false });
        assert!(event.candidates().is_empty());
        let errors = event.member("errors").unwrap();
        assert_eq!(
            String::from_utf8_lossy(errors.as_bytes()),
            r#"[{"at":"1970-01-01T00:00:00.000Z","code":"timeout","message":"late","source":"llm-bot"}]"#
        );
    }

    #[test]
    fn nothing_to_say_changes_nothing_but_the_step() {
        let mut event = event(r#"{"type":"t"}"#);
        let before = event.encode();
        assert_eq!(applied(Outcome::Nothing("why"), &mut event), Done::Skip { why: "why".into() });
        assert_eq!(event.encode(), before);
    }
}
