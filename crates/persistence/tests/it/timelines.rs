//! An event's way, as people see it.

use chatbus_event::{Status, Topic};
use chatbus_persistence::Timeline;
use serde_json::json;

use crate::fixture::{Fixture, chat, enriched, ingress, outcome, record, routed, time};

#[tokio::test]
async fn a_timeline_says_when_what_happened_how_long_it_took_and_who_answered() {
    let f = Fixture::new();
    f.keep(&[ingress(&chat("c"))]).await;
    f.keep(&[enriched(chat("c"))]).await;
    f.keep(&[routed(chat("c"))]).await;
    let body = json!({
        "correlationId": "c", "deliveryId": "d", "status": "SENT", "deliveredAt": time(400), "destination": "internal.egress.v1",
        "attempts": [{"at": time(100), "instance": "i", "outcome": "msg_ratelimit"}, {"at": time(400), "instance": "i", "outcome": "sent"}],
        "routingSlip": [{"id": "llm-bot", "status": "OK", "attempt": 1, "startedAt": time(10), "endedAt": time(80)}],
    });
    f.keep(&[record(Topic::finalizer(), "d/outcome", 401, body.to_string())]).await;
    let (event, mut steps) = f.event("c").await;
    steps.reverse();
    let timeline = Timeline::of(&event, &steps);
    let lines: Vec<_> = timeline
        .lines
        .iter()
        .map(|line| (line.name.as_str(), line.since_first_ms, line.took_ms, line.what.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            ("received", 0, 0, "on internal.ingress.v1"),
            ("enriched", 5, 5, "users/twitch:1337, vip"),
            ("routed", 8, 3, "rule r-1, of 2 that matched"),
            ("answered", 80, 70, "llm-bot OK, attempt 1"),
            ("outcome", 400, 320, "SENT to internal.egress.v1 after 2 attempts"),
        ]
    );
    assert_eq!((timeline.chosen_rule.as_deref(), timeline.matched_rules.len()), (Some("r-1"), 2));
    assert_eq!((timeline.answered_by.as_deref(), timeline.attempts), (Some("llm-bot"), 2));
    assert_eq!((timeline.outcomes.as_slice(), timeline.total_ms), (&["SENT".to_owned()][..], 400));
    let text = timeline.to_text();
    for part in [
        "c  FINALIZED  chat.message.v1\n",
        "twitch in #a by Ada (twitch:1337)\n  Hello World!\n",
        "rule r-1, answered by llm-bot, 2 attempts, outcome SENT, 400 ms in all\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let json = serde_json::to_value(&timeline).unwrap();
    assert_eq!((&json["status"], &json["lines"][3]["tookMs"]), (&json!("FINALIZED"), &json!(70)));
}

#[tokio::test]
async fn a_timeline_of_what_failed_says_why() {
    let f = Fixture::new();
    f.keep(&[outcome("c", "d", Status::Failed)]).await;
    let letter = json!({"type": "router.deadletter.v1", "correlationId": "c", "timestamp": time(60),
        "payload": {"reason": "rejected", "error": {"code": "msg_banned", "message": "banned"}}});
    f.keep(&[record(Topic::dead_letter(), "l", 61, letter.to_string())]).await;
    let (event, steps) = f.event("c").await;
    let timeline = Timeline::of(&event, &steps);
    assert_eq!(timeline.lines[1].what, "rejected, msg_banned: banned");
    assert_eq!(timeline.outcomes, ["FAILED"]);
    assert!(timeline.to_text().starts_with("c  ERROR"));
}

#[tokio::test]
async fn a_timeline_of_odd_details_is_still_one() {
    let f = Fixture::new();
    f.keep(&[ingress(&chat("c"))]).await;
    let (event, mut steps) = f.event("c").await;
    for name in ["routed", "answered", "outcome", "dead_letter", "replayed", "enriched", "unknown"] {
        for detail in ["", "null", "[]", r#"{"attempts":5,"status":{},"error":"x","matchedRuleIds":"r"}"#] {
            let mut step = steps[0].clone();
            (step.name, step.detail) = (name.to_owned(), detail.to_owned().into());
            steps.push(step);
        }
    }
    assert_eq!(Timeline::of(&event, &steps).lines.len(), steps.len());
    assert_eq!(Timeline::of(&event, &[]).total_ms, event.last_at.since(event.first_at).as_millis() as u64);
}
