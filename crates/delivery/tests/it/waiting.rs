//! What waits holds nothing up, and keeps its order.

use std::time::Duration;

use chatbus_connector::Verdict;
use chatbus_event::names;
use serde_json::json;

use crate::sink::FakeSink;
use crate::world::{World, event};

fn retry(ms: u64) -> Verdict {
    Verdict::Retry { after: Duration::from_millis(ms), code: "slow_mode".into(), message: "wait".into() }
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("{n:04}")).collect()
}

#[tokio::test(start_paused = true)]
async fn order_holds_in_a_conversation_through_retries_and_others_do_not_wait() {
    let world = World::new();
    world.brook.answers("0000", [retry(1_000), retry(0), Verdict::NotNow]);
    world.brook.answers("0003", [Verdict::NotNow, retry(3_000)]);
    world.brook.answers("0004", [Verdict::Reauth { code: "login".into(), message: "again".into() }]);
    let engine = world.running().await;
    let began = world.now();
    for text in numbered(0..8) {
        world.say("#a", &text).await;
        world.say("#b", &format!("b{text}")).await;
    }
    world.until_finalized(8).await;
    assert!(world.now() - began < Duration::from_millis(100), "#b does not wait for #a");
    assert_eq!(world.brook.texts("#b").len(), 8);
    world.until(Duration::from_secs(1), async || world.held_and_pending().await == (0, 0)).await;
    for text in numbered(8..10) {
        world.say("#a", &text).await;
    }
    world.until_finalized(18).await;
    world.one_outcome_each(18).await;
    assert_eq!(world.brook.texts("#a"), numbered(0..10));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn five_thousand_for_a_limited_channel_hold_no_slot_and_the_rest_flows() {
    let mut world = World::new();
    world.config.deadline = Duration::from_secs(3_600);
    world.config.limits.lane = 10_000;
    world.brook.limits("#slow", Duration::from_millis(500));
    let engine = world.running().await;
    for text in numbered(0..5_000) {
        world.say("#slow", &text).await;
    }
    world.until(Duration::from_secs(30), async || world.held_and_pending().await.0 <= 1).await;
    let began = world.now();
    for n in 0..100 {
        world.say(&format!("#c{n}"), &format!("c{n}")).await;
    }
    world
        .until(Duration::from_secs(1), async || {
            world.brook.said().iter().filter(|s| s.text.starts_with('c')).count() == 100
        })
        .await;
    assert!(world.now() - began < Duration::from_millis(50));
    world.until(Duration::from_millis(50), async || world.held_and_pending().await <= (1, 1)).await;
    assert!(world.metrics.render().contains("chatbus_egress_waiting 49"));
    world.until(Duration::from_secs(10), async || world.brook.texts("#slow").len() >= 12).await;
    let said = world.brook.texts("#slow");
    assert_eq!(said, numbered(0..said.len()));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_conversation_gives_up_its_slots_when_all_are_taken() {
    let mut world = World::new();
    world.config.limits.slots = 16;
    world.brook.set_takes(Duration::from_millis(200));
    let engine = world.running().await;
    let began = world.now();
    for text in numbered(0..40) {
        world.say("#a", &text).await;
    }
    world.say("#b", "other").await;
    world.until(Duration::from_secs(1), async || world.brook.texts("#b").len() == 1).await;
    assert!(world.now() - began < Duration::from_millis(100), "took {:?}", world.now() - began);
    world.until_finalized(41).await;
    world.one_outcome_each(41).await;
    assert_eq!(world.brook.texts("#a"), numbered(0..40));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_fast_conversation_is_read_as_fast_as_it_is_said_and_uses_no_lane() {
    let mut world = World::new();
    world.config.limits.slots = 16;
    world.config.limits.lane = 10;
    let engine = world.running().await;
    for text in numbered(0..2_000) {
        world.say("#a", &text).await;
    }
    world.until_finalized(2_000).await;
    let outcomes = world.one_outcome_each(2_000).await;
    assert!(outcomes.values().all(|status| status == "SENT"));
    assert_eq!(world.brook.texts("#a"), numbered(0..2_000));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_lane_is_overloaded_and_what_waits_is_still_said_in_order() {
    let mut world = World::new();
    world.config.limits.lane = 20;
    world.brook.set_connected(false);
    let engine = world.running().await;
    for text in numbered(0..30) {
        world.say("#a", &text).await;
    }
    world.until_finalized(10).await;
    world.brook.set_connected(true);
    world.until_finalized(30).await;
    let outcomes = world.one_outcome_each(30).await;
    let overloaded: Vec<&String> =
        outcomes.iter().filter(|(_, v)| *v == "overloaded").map(|(k, _)| k).collect();
    assert_eq!(overloaded, numbered(20..30).iter().collect::<Vec<_>>());
    assert_eq!(world.brook.texts("#a"), numbered(0..20));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn all_lanes_together_are_bounded_and_so_are_conversations() {
    let mut world = World::new();
    world.config.limits.waiting = 50;
    world.brook.set_connected(false);
    let engine = world.running().await;
    for n in 0..60 {
        world.say(&format!("#c{n}"), &format!("{n:04}")).await;
    }
    world.until_finalized(10).await;
    world.until(Duration::from_secs(1), async || world.in_lane().await == 50).await;
    world.brook.set_connected(true);
    world.until_finalized(60).await;
    let outcomes = world.one_outcome_each(60).await;
    assert_eq!(outcomes.values().filter(|v| *v == "overloaded").count(), 10);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_connection_is_said_in_order_when_it_is_back() {
    let world = World::new();
    world.brook.set_connected(false);
    let engine = world.running().await;
    for text in numbered(0..50) {
        world.say("#a", &text).await;
    }
    world.until(Duration::from_secs(1), async || world.in_lane().await == 50).await;
    assert_eq!(world.held_and_pending().await, (0, 0));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(world.brook.said().is_empty());
    world.brook.set_connected(true);
    for text in numbered(50..60) {
        world.say("#a", &text).await;
    }
    world.until_finalized(60).await;
    world.one_outcome_each(60).await;
    assert_eq!(world.brook.texts("#a"), numbered(0..60));
    assert!(
        world.finalized().await.iter().all(|f| f["attempts"].as_array().unwrap().len() == 1),
        "waiting is no attempt"
    );
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_what_waits_with_what_it_waited_for() {
    let world = World::new();
    world.brook.limits("#limited", Duration::from_secs(1_000));
    world.brook.does_not_serve("#nobody");
    world.brook.answers("refused", std::iter::repeat_n(retry(0), 50));
    let mut world = world;
    let delta = FakeSink::new("delta", world.runtime.clock.clone());
    delta.set_connected(false);
    world.also_serve(delta.clone());
    let engine = world.running().await;
    let began = world.now();
    world.say("#limited", "first").await;
    world.say("#limited", "limited").await;
    world.say_with("#limited", "short", json!({"metadata": {"deadlineMs": 2_000}})).await;
    world.say("#nobody", "nobody").await;
    world.say("#refused", "refused").await;
    world.say("#refused", "behind").await;
    world.say_with("#x", "offline", json!({"egress": {"destination": "delta"}})).await;
    world
        .say_with(
            "#x",
            "timeout",
            json!({"egress": {"destination": "delta"}, "timeoutAt": "2025-01-01T00:00:05Z"}),
        )
        .await;
    world.until_finalized(3).await;
    assert!(world.now() - began < Duration::from_millis(5_100));
    world.until_finalized(8).await;
    let took = world.now() - began;
    assert!(took > Duration::from_secs(59) && took < Duration::from_secs(62), "{took:?}");
    let outcomes = world.one_outcome_each(8).await;
    let expected = [
        ("behind", "expired"),
        ("first", "SENT"),
        ("limited", "expired"),
        ("nobody", "no_instance"),
        ("offline", "no_instance"),
        ("refused", "expired"),
        ("short", "expired"),
        ("timeout", "expired"),
    ];
    assert_eq!(outcomes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_first_read_after_its_deadline_still_gets_one_attempt_unless_it_is_old() {
    let world = World::new();
    world.running().await.stop().await;
    world.say("#a", "old").await;
    tokio::time::sleep(Duration::from_secs(500)).await;
    world.say("#a", "late").await;
    world.say("#b", "refused").await;
    world.say_with("#c", "stated", json!({})).await;
    let stated = [(names::DEADLINE, "2025-01-01T00:09:00Z")];
    world.publish(&chatbus_event::Topic::egress(), &stated, event("#d", "attribute", json!({}))).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    world.brook.answers("refused", [retry(1_000)]);
    world.brook.set_connected(false);
    let engine = world.running().await;
    world.until_finalized(1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.brook.set_connected(true);
    world.until_finalized(5).await;
    let outcomes = world.one_outcome_each(5).await;
    assert_eq!(outcomes["old"], "no_instance");
    assert_eq!(outcomes["late"], "SENT");
    assert_eq!(outcomes["refused"], "expired");
    assert_eq!(outcomes["stated"], "SENT");
    assert_eq!(outcomes["attribute"], "SENT");
    engine.stop().await;
}

fn long(text: &str) -> String {
    format!("{text} {}", "x".repeat(8_000))
}

#[tokio::test(start_paused = true)]
async fn a_slow_conversation_of_long_events_gives_up_their_bytes_and_the_rest_flows() {
    let mut world = World::new();
    world.config.deadline = Duration::from_secs(3_600);
    // Half of it is for what is held: four of these are more than that.
    world.config.limits.bytes = 60_000;
    world.brook.set_takes(Duration::from_secs(20));
    let engine = world.running().await;
    let texts: Vec<String> = numbered(0..20).iter().map(|text| long(text)).collect();
    for text in &texts {
        world.say("#slow", text).await;
    }
    world.until(Duration::from_secs(5), async || !world.brook.said().is_empty()).await;
    world.brook.set_takes(Duration::from_millis(1));
    for n in 0..50 {
        world.say(&format!("#c{n}"), &long(&format!("c{n}"))).await;
    }
    // The first of the slow ones is still under way.
    world
        .until(Duration::from_secs(5), async || {
            let (held, _) = world.held_and_pending().await;
            assert!(held <= 4, "{held} are held");
            world.finalized().await.len() == 50
        })
        .await;
    assert_eq!(world.in_lane().await, 19, "what waits behind it holds no bytes");
    world.until_finalized(70).await;
    world.one_outcome_each(70).await;
    assert_eq!(world.brook.texts("#slow"), texts);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn few_bytes_to_load_with_keep_nothing_in_the_lanes() {
    let mut world = World::new();
    world.config.deadline = Duration::from_secs(3_600);
    world.config.limits.bytes = 60_000;
    world.brook.set_connected(false);
    let engine = world.running().await;
    let texts: Vec<String> = numbered(0..12).iter().map(|text| long(text)).collect();
    for text in &texts {
        for channel in 0..10 {
            world
                .say_with(
                    &format!("#c{channel}"),
                    text,
                    json!({ "correlationId": format!("{channel} {text}") }),
                )
                .await;
        }
    }
    world.until(Duration::from_secs(30), async || world.in_lane().await == 120).await;
    world.brook.set_connected(true);
    world.until_finalized(120).await;
    world.one_outcome_each(120).await;
    for channel in 0..10 {
        assert_eq!(world.brook.texts(&format!("#c{channel}")), texts);
    }
    engine.stop().await;
}
