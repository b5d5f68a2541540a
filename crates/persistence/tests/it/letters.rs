//! Dead letters, as they are kept.

use bytes::Bytes;
use chatbus_event::{DeadLetter, ErrorInfo, Reason, Timestamp, Topic};
use chatbus_store::{EventStatus, LetterState};
use serde_json::json;

use crate::fixture::{Fixture, NOW, chat, ingress, outcome, record, with};

fn letter(key: &str, original: &Bytes, reason: Reason) -> chatbus_bus::Record {
    let letter = DeadLetter {
        key,
        original,
        reason,
        error: Some(ErrorInfo { code: "msg_banned".into(), message: "banned".into() }),
        source: "ingress-egress.i-1",
        attempts: &[],
        at: Timestamp::from_millis(NOW + 20),
    };
    record(Topic::dead_letter(), letter.message_id().as_str(), 21, letter.encode().1)
}

#[tokio::test]
async fn a_dead_letter_is_kept_whole_with_its_original_and_the_event_ends_in_error() {
    let f = Fixture::new();
    let original = Bytes::from(
        with(chat("c"), json!({"routingSlip": [{"id": "llm-bot", "status": "ERROR"}]})).to_string(),
    );
    let input = letter("internal.ingress.v1/m-1", &original, Reason::Rejected);
    f.keep(&[ingress(&chat("c"))]).await;
    f.keep(std::slice::from_ref(&input)).await;
    let kept = f.letters().await.remove(0);
    assert_eq!(kept.id, "internal.ingress.v1/m-1/deadletter");
    assert_eq!((kept.correlation_id.as_str(), kept.reason.as_str()), ("c", "rejected"));
    assert_eq!((kept.error_code.as_deref(), kept.platform.as_deref()), (Some("msg_banned"), Some("twitch")));
    assert_eq!(kept.topic.as_deref(), Some("internal.ingress.v1"));
    assert_eq!((kept.letter, kept.original), (input.message.body, Some(original)));
    assert_eq!((kept.state, kept.at.as_millis()), (LetterState::Open, NOW + 20));
    assert_eq!(f.event("c").await.0.status, EventStatus::Error);
    assert_eq!(f.names("c").await, ["received", "dead_letter"]);
    let told = f.detail("c", "dead_letter").await;
    assert_eq!((&told["reason"], &told["lastStepId"]), (&json!("rejected"), &json!("llm-bot")));
    assert_eq!(told["error"], json!({"code": "msg_banned", "message": "banned"}));
}

#[tokio::test]
async fn a_letter_and_its_failed_outcome_are_one_error_whichever_comes_last() {
    let original = Bytes::from(chat("c").to_string());
    let messages =
        [letter("d-1", &original, Reason::NoText), outcome("c", "d-1", chatbus_event::Status::Failed)];
    for order in [[0, 1], [1, 0]] {
        let f = Fixture::new();
        for at in order {
            f.keep(std::slice::from_ref(&messages[at])).await;
        }
        assert_eq!(f.event("c").await.0.status, EventStatus::Error);
        assert_eq!(f.letters().await.len(), 1);
    }
}

#[tokio::test]
async fn the_older_shape_of_a_letter_is_read_too() {
    let f = Fixture::new();
    let body = json!({"envelope": {"v": "1", "source": "router", "correlationId": "c"}, "type": "router.deadletter.v1",
        "payload": {"reason": "egress_delivery_failed", "error": null, "lastStepId": "llm-bot", "egressSource": "ingress.twitch"}});
    f.keep(&[record(Topic::dead_letter(), "l", 0, body.to_string())]).await;
    let kept = f.letters().await.remove(0);
    assert_eq!((kept.correlation_id.as_str(), kept.reason.as_str()), ("c", "egress_delivery_failed"));
    assert_eq!((kept.platform.as_deref(), kept.original, kept.error_code), (Some("twitch"), None, None));
}

#[tokio::test]
async fn what_matched_no_rule_is_a_letter_as_it_is() {
    let f = Fixture::new();
    let body = Bytes::from(chat("c").to_string());
    f.keep(&[record(Topic::router_dlq(), "l", 0, body.clone())]).await;
    let kept = f.letters().await.remove(0);
    assert_eq!((kept.reason.as_str(), kept.topic.as_deref()), ("no_rule", Some("internal.user.enriched.v1")));
    assert_eq!((kept.original.as_ref(), &kept.letter), (Some(&body), &body));
    assert_eq!(f.event("c").await.0.status, EventStatus::Error);
}

#[tokio::test]
async fn an_original_is_kept_only_where_the_letter_has_all_of_it() {
    let deep = format!(r#"{{"type":"t","correlationId":"deep","x":{}{}}}"#, "[".repeat(99), "]".repeat(99));
    for (name, original, kept) in [
        ("bytes", Bytes::from_static(b"\xff\x00{"), true),
        ("bytes cut", Bytes::from(vec![0xff; 100_000]), false),
        ("too deep for a letter", Bytes::from(deep), true),
        ("too large", Bytes::from(format!(r#"{{"type":"t","x":"{}"}}"#, "x".repeat(300 * 1024))), false),
    ] {
        let f = Fixture::new();
        f.keep(&[letter("internal.ingress.v1/m", &original, Reason::InvalidEvent)]).await;
        let letter = f.letters().await.remove(0);
        assert_eq!(letter.original, kept.then_some(original), "{name}");
    }
}

#[tokio::test]
async fn a_letter_handed_over_twice_is_one_and_what_was_done_about_it_stays() {
    use chatbus_store::DeadLetters;
    let f = Fixture::new();
    let input = letter("d", &Bytes::from(chat("c").to_string()), Reason::Expired);
    f.keep(std::slice::from_ref(&input)).await;
    f.store.settle_letter("d/deadletter", LetterState::Discarded).await.unwrap();
    f.keep(&[input]).await;
    let letters = f.letters().await;
    assert_eq!((letters.len(), letters[0].state), (1, LetterState::Discarded));
}
