//! The steps of an event's way, and what it is found by.

use chatbus_event::{Status, Topic};
use chatbus_store::{EventFilter, EventStatus, Events, Page, Sources};
use serde_json::json;

use crate::fixture::{Fixture, NOW, chat, enriched, ingress, outcome, record, routed, time, with};

#[tokio::test]
async fn an_ingested_event_is_kept_whole_under_its_correlation_id() {
    let f = Fixture::new();
    let input = ingress(&with(chat("c-1"), json!({"unknown": [1, {"deep": "kept"}]})));
    f.keep(std::slice::from_ref(&input)).await;
    let (event, steps) = f.event("c-1").await;
    assert_eq!(event.status, EventStatus::Ingested);
    assert_eq!(event.body, Some(input.message.body));
    assert_eq!(event.first_at.as_millis(), NOW, "not when it was received");
    let facts = &event.facts;
    assert_eq!((facts.kind.as_str(), facts.source.as_str()), ("chat.message.v1", "ingress.twitch"));
    assert_eq!((facts.platform.as_deref(), facts.channel.as_deref()), (Some("twitch"), Some("#a")));
    assert_eq!((facts.user_id.as_deref(), facts.user_name.as_deref()), (Some("1337"), Some("Ada")));
    assert_eq!(facts.text.as_deref(), Some("Hello World!"));
    assert_eq!((steps.len(), steps[0].name.as_str()), (1, "received"));
    assert_eq!(steps[0].key, "internal.ingress.v1/c-1/in");
}

#[tokio::test]
async fn all_three_shapes_are_kept_and_found_the_same() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/envelope/");
    for shape in ["flat", "nested", "v1"] {
        let f = Fixture::new();
        let body = std::fs::read(format!("{folder}{shape}.json")).unwrap();
        f.keep(&[record(Topic::ingress(), "m", 0, body)]).await;
        let filter =
            EventFilter { user: Some("1337".into()), text: Some("hello".into()), ..EventFilter::default() };
        let found = f.store.events(&filter, &Page::default()).await.unwrap();
        assert_eq!(found.len(), 1, "{shape}");
        assert_eq!(found[0].correlation_id, "00000000-0000-4000-8000-000000000002", "{shape}");
        assert_eq!(found[0].facts.platform.as_deref(), Some("twitch"), "{shape}");
        assert!(found[0].facts.channel.as_deref().is_some_and(|channel| channel.ends_with("my_channel")));
    }
}

#[tokio::test]
async fn each_service_adds_its_step_and_what_it_knows() {
    let f = Fixture::new();
    f.keep(&[ingress(&chat("c-1"))]).await;
    f.keep(&[enriched(chat("c-1"))]).await;
    let (event, _) = f.event("c-1").await;
    assert_eq!(event.status, EventStatus::InProgress);
    assert_eq!(event.facts.user_id.as_deref(), Some("twitch:1337"));
    let told = f.detail("c-1", "enriched").await;
    assert_eq!((&told["matched"], &told["userRef"]), (&json!(true), &json!("users/twitch:1337")));
    assert_eq!((&told["roles"], &told["tags"]), (&json!(["vip"]), &json!(["NEW_USER"])));
    f.keep(&[routed(chat("c-1"))]).await;
    let told = f.detail("c-1", "routed").await;
    assert_eq!((&told["matchedRuleIds"], &told["chosenRuleId"]), (&json!(["r-1", "r-2"]), &json!("r-1")));
    f.keep(&[outcome("c-1", "d-1", Status::Sent)]).await;
    assert_eq!(f.names("c-1").await, ["received", "enriched", "routed", "outcome"]);
    let told = f.detail("c-1", "outcome").await;
    assert_eq!((&told["status"], &told["providerMessageId"]), (&json!("SENT"), &json!("p-1")));
    assert_eq!(f.event("c-1").await.0.status, EventStatus::Finalized);
}

#[tokio::test]
async fn sent_accepted_and_none_finalize_an_event_and_failed_does_not() {
    for (status, expected) in [
        (Status::Sent, EventStatus::Finalized),
        (Status::Accepted, EventStatus::Finalized),
        (Status::None, EventStatus::Finalized),
        (Status::Failed, EventStatus::Error),
    ] {
        for topic in Topic::finalizers() {
            let f = Fixture::new();
            let mut record = outcome("c", "d", status);
            record.topic = topic;
            f.keep(&[record]).await;
            assert_eq!(f.event("c").await.0.status, expected, "{status:?}");
        }
    }
}

#[tokio::test]
async fn whatever_comes_late_or_twice_takes_no_event_back() {
    let f = Fixture::new();
    let messages = [outcome("c", "d", Status::Sent), enriched(chat("c")), ingress(&chat("c"))];
    for message in messages.iter().chain(&messages) {
        f.keep(std::slice::from_ref(message)).await;
    }
    assert_eq!(f.event("c").await.0.status, EventStatus::Finalized);
    assert_eq!(f.names("c").await, ["received", "enriched", "outcome"]);
    assert_eq!(f.event("c").await.0.facts.user_id.as_deref(), Some("twitch:1337"));
}

#[tokio::test]
async fn what_a_finalize_event_tells_of_rules_and_steps_is_read_from_it() {
    let f = Fixture::new();
    let body = json!({
        "correlationId": "c", "deliveryId": "d", "status": "SENT", "deliveredAt": time(40),
        "metadata": {"matchedRuleIds": ["r"], "chosenRuleId": "r", "routedAt": time(8)},
        "routingSlip": [
            {"id": "llm-bot", "status": "OK", "attempt": 1, "startedAt": time(10), "endedAt": time(30)},
            {"id": "later", "status": "PENDING", "endedAt": null},
        ],
        "candidates": [{"id": "x", "status": "selected", "text": "Hi"}],
    });
    f.keep(&[record(Topic::finalizer(), "d/outcome", 41, body.to_string())]).await;
    assert_eq!(f.names("c").await, ["routed", "answered", "outcome"]);
    let answered = f.detail("c", "answered").await;
    assert_eq!(
        (&answered["by"], &answered["status"], &answered["attempt"]),
        (&json!("llm-bot"), &json!("OK"), &json!(1))
    );
    assert_eq!(f.detail("c", "outcome").await["candidates"][0]["status"], "selected");
    f.keep(&[routed(chat("c"))]).await;
    assert_eq!(f.names("c").await, ["routed", "answered", "outcome"], "the same routing is told twice");
}

#[tokio::test]
async fn older_finalize_events_are_read_too() {
    for (body, status) in [
        (json!({"envelope": {"correlationId": "c"}, "status": "FINALIZED"}), EventStatus::Finalized),
        (json!({"correlationId": "c", "finalizedAt": time(1)}), EventStatus::Finalized),
        (json!({"correlationId": "c", "error": {"code": "x"}}), EventStatus::Error),
    ] {
        let f = Fixture::new();
        f.keep(&[record(Topic::finalizer(), "m", 0, body.to_string())]).await;
        assert_eq!(f.event("c").await.0.status, status, "{body}");
    }
}

#[tokio::test]
async fn system_events_are_kept_as_events_and_tell_of_their_source() {
    let f = Fixture::new();
    let status = json!({"type": "system.source.status", "source": "ingress.twilio", "correlationId": "s", "timestamp": time(0),
        "payload": {"platform": "twilio", "id": "+1555", "status": "connected", "displayName": "Line", "metrics": {"n": 1}}});
    f.keep(&[ingress(&status)]).await;
    assert_eq!(f.names("s").await, ["received"]);
    let row = f.store.sources().await.unwrap().remove(0);
    assert_eq!((row.platform.as_str(), row.id.as_str()), ("twilio", "+1555"));
    assert_eq!(row.status.map(|(word, at)| (word, at.as_millis())), Some(("CONNECTED".into(), NOW)));
    assert_eq!(row.display_name.as_deref(), Some("Line"));
    assert!(row.stream.is_none());
}

#[tokio::test]
async fn a_stream_is_kept_under_its_broadcaster_and_never_under_its_own_id() {
    let f = Fixture::new();
    let stream = |id: &str, kind: &str, at: i64, payload: serde_json::Value| {
        ingress(
            &json!({"type": "system.stream.v1", "source": "ingress.twitch", "correlationId": id, "timestamp": time(at),
            "externalEvent": {"source": "twitch.eventsub", "kind": kind, "payload": payload}}),
        )
    };
    let online = json!({"id": "stream-9", "broadcasterId": "12345", "broadcaster_user_name": "Ada", "viewer_count": 100});
    f.keep(&[stream("on", "stream.online", 0, online)]).await;
    f.keep(&[stream("off", "stream.offline", 2, json!({"broadcasterId": 12345}))]).await;
    let rows = f.store.sources().await.unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0].platform.as_str(), rows[0].id.as_str()), ("twitch", "12345"));
    assert_eq!(rows[0].stream.as_ref().map(|(word, _)| word.as_str()), Some("OFFLINE"));
    let nobodys = json!({"id": "stream-9"});
    f.keep(&[stream("bad", "stream.online", 3, nobodys)]).await;
    assert_eq!(f.store.sources().await.unwrap().len(), 1, "a stream's own id names no source");
    assert_eq!(f.names("bad").await, ["received"], "but the event is kept");
}
