//! How a delivery ends, and where that is published.

use std::time::Duration;

use chatbus_connector::{PermanentReason, Verdict};
use chatbus_event::{Topic, names};
use serde_json::json;

use crate::world::{World, event, instance};

fn retry(after: Duration) -> Verdict {
    Verdict::Retry { after, code: "slow_mode".into(), message: "wait".into() }
}

#[tokio::test(start_paused = true)]
async fn what_was_said_is_finalized_once_with_everything_the_contract_names() {
    let world = World::new();
    let engine = world.running().await;
    world.brook.answers("hi", [retry(Duration::from_secs(2))]);
    let more = json!({"candidates": [{"id": "1", "text": "hi"}], "annotations": [], "message": {"role": "user", "text": "x"}});
    let attributes = [(names::TRACEPARENT, "00-1-2-01")];
    world.publish(&Topic::egress_of(&instance()), &attributes, event("#a", "hi", more)).await;
    world.until_finalized(1).await;
    let outcomes = world.one_outcome_each(1).await;
    assert_eq!(outcomes["hi"], "SENT");
    let finalize = &world.finalized().await[0];
    assert_eq!(
        (finalize["destination"].as_str(), finalize["providerMessageId"].as_str(), finalize.get("error")),
        (Some("internal.egress.v1.me"), Some("p-hi"), None)
    );
    assert_eq!(finalize["candidates"], json!([{"id": "1", "text": "hi"}]));
    assert_eq!(finalize["annotations"], json!([]));
    let words: Vec<_> =
        finalize["attempts"].as_array().unwrap().iter().map(|a| a["outcome"].clone()).collect();
    assert_eq!(words, ["slow_mode", "sent"]);
    assert_eq!(finalize["attempts"][0]["instance"], "me");
    let record = &world.records(chatbus_bus::ScanTopics::One(Topic::finalizer())).await[0];
    let attribute = |name| record.message.attributes.get(name).map(str::to_owned);
    assert_eq!(attribute("deliveryId").as_deref(), finalize["deliveryId"].as_str());
    assert_eq!(attribute("status").as_deref(), Some("SENT"));
    assert_eq!(attribute("traceparent").as_deref(), Some("00-1-2-01"));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn where_the_platform_says_nothing_twice_an_attempt_without_a_verdict_is_made_again() {
    let world = World::new();
    let cut = || Verdict::Unverified { code: "cut".into(), message: "lost".into() };
    world.brook.remembers(Duration::from_secs(30));
    world.brook.answers("again", [cut(), cut()]);
    world.brook.answers("never", std::iter::repeat_with(cut).take(99));
    // Within the deadline, but then the platform has forgotten.
    world.brook.answers("late", [cut(), retry(Duration::from_secs(40))]);
    let no = Verdict::Permanent {
        reason: PermanentReason::Rejected,
        code: "msg_banned".into(),
        message: "banned".into(),
    };
    world.brook.answers("refused", [cut(), no]);
    let engine = world.running().await;
    // What is published at the start might have been tried by an earlier life.
    tokio::time::sleep(Duration::from_secs(10)).await;
    for (channel, text) in [("#a", "again"), ("#b", "never"), ("#c", "late"), ("#d", "refused")] {
        world.say_with(channel, text, json!({})).await;
    }
    world.until_finalized(4).await;
    let outcomes = world.one_outcome_each(4).await;
    let expected =
        [("again", "SENT"), ("late", "unverified"), ("never", "unverified"), ("refused", "rejected")];
    assert_eq!(outcomes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    let said = world.brook.said();
    let again: Vec<_> = said.iter().filter(|s| s.text == "again").map(|s| s.may_have_been_sent).collect();
    assert_eq!(again, [false, true, true], "whoever says it again knows that it may be a repeat");
    // 0.5, 1, 2, 4, 8 and 10 s apart, while 30 s are not over.
    assert_eq!(said.iter().filter(|said| said.text == "never").count(), 7);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_life_may_have_said_is_unverified_at_its_deadline_where_trying_would_have_told() {
    let world = World::new();
    world.brook.remembers(Duration::from_secs(600));
    world.brook.set_connected(false);
    let engine = world.running().await;
    world.say("#a", "early").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.say("#a", "later").await;
    world.until_finalized(2).await;
    let outcomes = world.one_outcome_each(2).await;
    assert_eq!((outcomes["early"].as_str(), outcomes["later"].as_str()), ("unverified", "no_instance"));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn every_reason_one_instance_can_meet_ends_in_one_outcome_and_one_dead_letter() {
    let world = World::new();
    let no = |reason| Verdict::Permanent { reason, code: "msg_banned".into(), message: "banned".into() };
    world.brook.answers("rejected", [no(PermanentReason::Rejected)]);
    world.brook.answers("unsupported", [no(PermanentReason::Unsupported)]);
    world.brook.answers("accepted", [Verdict::Accepted]);
    world.brook.answers("unverified", [Verdict::Unverified { code: "cut".into(), message: "lost".into() }]);
    world.brook.answers("hopeless", [retry(Duration::from_secs(120))]);
    world.brook.panics_on("panic");
    world.brook.hangs_on("hang");
    world.brook.does_not_serve("#nowhere");
    let engine = world.running().await;
    let go = async |channel: &str, text: &str, more| world.say_with(channel, text, more).await;
    go("#a", "no_text", json!({"message": {"role": "user", "text": "own"}, "payload": {"text": "own"}}))
        .await;
    go("#a", "no_platform", json!({"egress": {"destination": "system"}})).await;
    go("bad", "no_channel", json!({})).await;
    go("#a", "no_recipient", json!({"egress": {"destination": "brook", "type": "dm"}})).await;
    go("#a", "no_event", json!({"egress": {"destination": "brook", "type": "event"}})).await;
    go("#b", "rejected", json!({})).await;
    go("#c", "unsupported", json!({})).await;
    go("#d", "accepted", json!({})).await;
    go("#e", "unverified", json!({})).await;
    go("#f", "hopeless", json!({})).await;
    go("#g", "panic", json!({})).await;
    go("#h", "hang", json!({})).await;
    go("#nowhere", "no_instance", json!({})).await;
    go("#a", "elsewhere", json!({"egress": {"destination": "delta"}})).await;
    go("#a", "private", json!({"source": "hall-gateway", "userId": "u", "egress": {}})).await;
    go("#i", "timeout", json!({"timeoutAt": "2024-12-31T23:59:59Z"})).await;
    go("#i", "sent", json!({"timeoutAt": "2025-01-01T00:00:59Z"})).await;
    let long = "x".repeat(300 * 1024);
    go("#j", "too_long", json!({"payload": {"x": long}})).await;
    world.until_finalized(18).await;
    let outcomes = world.one_outcome_each(18).await;
    let expected = [
        ("accepted", "ACCEPTED"),
        ("elsewhere", "no_instance"),
        ("hang", "unverified"),
        ("hopeless", "expired"),
        ("no_channel", "no_channel"),
        ("no_event", "unsupported"),
        ("no_instance", "no_instance"),
        ("no_platform", "no_platform"),
        ("no_recipient", "no_recipient"),
        ("no_text", "no_text"),
        ("panic", "unverified"),
        ("private", "user_offline"),
        ("rejected", "rejected"),
        ("sent", "SENT"),
        ("timeout", "expired"),
        ("too_long", "invalid_event"),
        ("unsupported", "unsupported"),
        ("unverified", "unverified"),
    ];
    assert_eq!(outcomes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    for letter in world.dead_letters().await {
        let code = letter["payload"]["error"]["code"].as_str().unwrap();
        match letter["correlationId"].as_str().unwrap() {
            "rejected" | "unsupported" => assert_eq!(code, "msg_banned"),
            _ => assert_eq!(code, letter["payload"]["reason"], "our own codes are the reasons"),
        }
    }
    assert!(!world.brook.said().iter().any(|said| said.text == "private"), "private stays private");
    let text = world.metrics.render();
    for line in [
        r#"chatbus_egress_failed_total{platform="brook",reason="rejected"} 1"#,
        r#"chatbus_egress_failed_total{platform="none",reason="no_text"} 1"#,
        r#"chatbus_egress_sent_total{platform="brook",status="SENT"} 1"#,
        r#"chatbus_deadletters_total{reason="unverified"} 3"#,
        "chatbus_egress_waiting 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_event_have_an_outcome_and_a_dead_letter_too() {
    let world = World::new();
    let engine = world.running().await;
    world.publish(&Topic::egress(), &[(names::CORRELATION_ID, "known")], &b"\xff\xfe"[..]).await;
    world.publish(&Topic::egress(), &[], &b"[]"[..]).await;
    world.until_finalized(2).await;
    let finalized = world.finalized().await;
    assert_eq!(finalized[0]["correlationId"], "known");
    assert_eq!(finalized[1]["correlationId"], finalized[1]["deliveryId"]);
    for finalize in &finalized {
        assert_eq!(
            (&finalize["status"], &finalize["error"]["code"]),
            (&json!("FAILED"), &json!("invalid_event"))
        );
    }
    world.until(Duration::from_secs(5), async || world.dead_letters().await.len() == 2).await;
    assert_eq!(world.dead_letters().await[0]["payload"]["original"]["encoding"], "base64");
    world.until(Duration::from_secs(5), async || world.held_and_pending().await == (0, 0)).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn all_three_shapes_are_said() {
    let world = World::new();
    world.brook.set_default_channel("#first");
    let engine = world.running().await;
    let own = Topic::egress_of(&instance());
    let nested = json!({"envelope": {"v": "1", "source": "ingress.brook", "correlationId": "nested",
        "egressDestination": "internal.egress.v1.me"}, "type": "t", "channel": "#n", "payload": {"chat": {"text": "nested"}}});
    let v1 = json!({"v": "1", "correlationId": "v1", "type": "external.chat.message.v1",
        "source": {"platform": "brook", "channel": "#v"}, "payload": {"text": "v1"}});
    world
        .publish(&own, &[], event("#f", "flat", json!({"egress": {"destination": "internal.egress.v1.me"}})))
        .await;
    world.publish(&own, &[], nested.to_string()).await;
    world.publish(&own, &[], v1.to_string()).await;
    world.until_finalized(3).await;
    let outcomes = world.one_outcome_each(3).await;
    assert!(outcomes.values().all(|status| status == "SENT"), "{outcomes:?}");
    for (channel, text) in [("#f", "flat"), ("#n", "nested"), ("#v", "v1")] {
        assert_eq!(world.brook.texts(channel), [text]);
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_best_candidate_is_said() {
    let world = World::new();
    let engine = world.running().await;
    let candidates = json!({"candidates": [
        {"text": "worse", "priority": 5}, {"text": "no", "priority": 0, "status": "rejected"},
        {"text": "  ", "priority": 0}, {"text": "best", "priority": 1}]});
    world.say_with("#a", "c", candidates).await;
    world.until_finalized(1).await;
    assert_eq!(world.brook.texts("#a"), ["best"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn outcomes_go_only_to_topics_we_know() {
    let mut world = World::new();
    world.config.known_topics = vec![Topic::parse("internal.custom.v1").unwrap()];
    let engine = world.running().await;
    let go = async |text: &str, more| world.say_with("#a", text, more).await;
    go("a", json!({"finalizationDestination": "internal.persistence.finalize.v1"})).await;
    go("b", json!({"finalizationDestination": "internal.ingress.v1"})).await;
    go("c", json!({"finalizationDestination": "dev.internal.finalize.v1", "replyTo": "internal.secret.v1"}))
        .await;
    go("d", json!({"replyTo": "internal.custom.v1"})).await;
    go("e", json!({"replyTo": "internal.finalize.v1"})).await;
    go("f", json!({"replyTo": "internal.llmbot.v1"})).await;
    world.until_finalized(6).await;
    world.one_outcome_each(6).await;
    let on = async |topic: &str| -> Vec<String> {
        let topic = chatbus_bus::ScanTopics::One(Topic::parse(topic).unwrap());
        let body =
            |r: &chatbus_bus::Record| serde_json::from_slice::<serde_json::Value>(&r.message.body).unwrap();
        let records = world.records(topic).await;
        records.iter().map(|r| body(r)["correlationId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(on("internal.persistence.finalize.v1").await, ["a"]);
    assert_eq!(on("internal.finalizer.v1").await, ["b", "c", "d", "e", "f"]);
    assert_eq!(on("internal.custom.v1").await, ["d"]);
    assert_eq!(on("internal.llmbot.v1").await, ["f"]);
    for none in ["internal.ingress.v1", "internal.secret.v1", "internal.finalize.v1"] {
        assert!(on(none).await.is_empty(), "{none}");
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_serves_waits_here_and_holds_no_slot() {
    let world = World::new();
    let engine = world.running().await;
    let own = Topic::egress_of(&instance());
    world.publish(&own, &[], event("#a", "x", json!({"egress": {"destination": "delta"}}))).await;
    world.until(Duration::from_secs(5), async || world.in_lane().await == 1).await;
    let parked = &world.records(chatbus_bus::ScanTopics::One(Topic::lane_of(&instance()))).await[0];
    assert_eq!(parked.message.attributes.get(names::HOPS), Some("0"));
    assert_eq!(world.held_and_pending().await, (0, 0));
    world.until_finalized(1).await;
    assert_eq!(world.one_outcome_each(1).await["x"], "no_instance");
    assert_eq!(world.finalized().await[0]["destination"], "internal.egress.v1.me");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_repeat_of_a_delivery_is_acknowledged_and_not_said() {
    let world = World::new();
    world.brook.set_takes(Duration::from_millis(100));
    let engine = world.running().await;
    let same = [(names::DELIVERY_ID, "d-1")];
    // While it is being said, then when it is over.
    for _ in 0..2 {
        world.publish(&Topic::egress(), &same, event("#a", "once", json!({}))).await;
        world.publish(&Topic::egress_of(&instance()), &same, event("#a", "once", json!({}))).await;
        world.until_finalized(1).await;
        world.until(Duration::from_secs(5), async || world.held_and_pending().await == (0, 0)).await;
    }
    world.one_outcome_each(1).await;
    assert_eq!(world.brook.texts("#a"), ["once"]);
    engine.stop().await;
}
