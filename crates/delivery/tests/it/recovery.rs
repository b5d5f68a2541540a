//! Crashes, breaks of the bus, and stops: nothing is lost, and what is said twice is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use chatbus_bus::{Message, Scan, ScanFrom, ScanTopics};
use chatbus_connector::Verdict;
use chatbus_event::{Attributes, MessageId, Topic, names};
use chatbus_testkit::SeededEntropy;
use serde_json::json;

use crate::world::{World, event, instance};

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("{n:04}")).collect()
}

fn times_said(world: &World) -> BTreeMap<String, usize> {
    world.brook.said().into_iter().fold(BTreeMap::new(), |mut counts, said| {
        *counts.entry(said.text).or_default() += 1;
        counts
    })
}

#[tokio::test(start_paused = true)]
async fn a_full_lane_is_taken_up_again_after_a_crash_in_order() {
    let world = World::new();
    world.brook.set_connected(false);
    let engine = world.running().await;
    for text in numbered(0..100) {
        world.say("#a", &text).await;
    }
    world.until(Duration::from_secs(5), async || world.in_lane().await == 100).await;
    engine.kill().await;
    for text in numbered(100..110) {
        world.say("#a", &text).await;
    }
    let engine = world.running().await;
    world.brook.set_connected(true);
    world.until_finalized(110).await;
    world.one_outcome_each(110).await;
    assert_eq!(world.brook.texts("#a"), numbered(0..110));
    let flagged: Vec<_> =
        world.brook.said().into_iter().filter(|s| s.may_have_been_sent).map(|s| s.text).collect();
    assert_eq!(
        flagged.first().map(String::as_str),
        Some("0000"),
        "only the head may have been said: {flagged:?}"
    );
    engine.stop().await;
}

/// Kills the engine at a random moment, again and again, while messages come for channels that are
/// fast, slow, limited, and refused at first.
#[tokio::test(start_paused = true)]
async fn killed_at_any_moment_each_event_has_one_outcome_and_only_a_cut_send_is_repeated() {
    let (mut repeats, mut cuts, mut lanes) = (0, 0, 0);
    for seed in 0..12 {
        let mut world = World::new();
        world.config.limits.slots = 8;
        world.config.deadline = Duration::from_secs(3_000);
        world.brook.limits("#limited", Duration::from_millis(40));
        world.brook.set_takes(Duration::from_millis(3));
        let entropy = SeededEntropy::new(seed);
        let random = |below: u64| chatbus_event::Entropy::next_u64(&entropy) % below;
        let mut published = 0;
        let mut cut_in_flight = 0;
        for _ in 0..15 {
            let engine = world.start();
            for _ in 0..random(40) {
                let channel = ["#a", "#b", "#limited"][random(3) as usize];
                let text = format!("{published:04}");
                if random(5) == 0 {
                    let again = Verdict::Retry {
                        after: Duration::from_millis(random(30)),
                        code: "x".into(),
                        message: String::new(),
                    };
                    world.brook.answers(&text, [again]);
                }
                world.say(channel, &text).await;
                published += 1;
            }
            for _ in 0..random(2_000) {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_micros(random(60_000))).await;
            for _ in 0..random(50) {
                tokio::task::yield_now().await;
            }
            let outcomes = world.finalized().await.len();
            lanes += usize::from(world.in_lane().await > 0);
            engine.kill().await;
            // Said, and not yet on record, when the engine died: these may be said again.
            cut_in_flight += world.brook.said().len().saturating_sub(outcomes);
        }
        let engine = world.running().await;
        world.until_finalized(published).await;
        let outcomes = world.one_outcome_each(published).await;
        assert!(outcomes.values().all(|status| status == "SENT"), "seed {seed}: {outcomes:?}");
        let said = times_said(&world);
        assert_eq!(said.len(), published);
        let repeated: usize = said.values().map(|times| times - 1).sum();
        assert!(repeated <= cut_in_flight, "seed {seed}: {repeated} repeated, {cut_in_flight} were cut");
        for channel in ["#a", "#b", "#limited"] {
            let mut texts = world.brook.texts(channel);
            texts.dedup();
            assert!(texts.is_sorted(), "seed {seed}: {channel} out of order: {texts:?}");
        }
        engine.stop().await;
        repeats += repeated;
        cuts += cut_in_flight;
    }
    assert!(
        cuts > 0 && repeats > 0 && lanes > 0,
        "the faults hit: {cuts} cut, {repeats} repeated, {lanes} lanes"
    );
}

#[tokio::test(start_paused = true)]
async fn a_redelivery_whose_outcome_is_on_record_is_not_said_again() {
    let world = World::new();
    world.running().await.stop().await;
    // An earlier life said it and published its outcome, but its acknowledgement never arrived.
    world.publish(&Topic::egress(), &[(names::DELIVERY_ID, "d-1")], event("#a", "done", json!({}))).await;
    let outcome: Attributes = [(names::DELIVERY_ID, "d-1"), (names::STATUS, "SENT")].into_iter().collect();
    let body = json!({"correlationId": "done", "deliveryId": "d-1", "status": "SENT"}).to_string();
    let finalize = Message::new(MessageId::new("d-1/outcome"), outcome, body);
    world.bus.publish(&Topic::parse("internal.finalize.v1").unwrap(), finalize).await.unwrap();
    world.say("#a", "new").await;
    // Long after the dedupe window, so only the look-back can know.
    tokio::time::sleep(Duration::from_secs(550)).await;
    let engine = world.running().await;
    world.until_finalized(2).await;
    world.one_outcome_each(2).await;
    assert_eq!(world.brook.texts("#a"), ["new"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_on_record_without_its_dead_letter_gets_the_letter_and_is_not_said() {
    let world = World::new();
    world.running().await.stop().await;
    // An earlier life died between the outcome and the dead letter of the one, and after both of the other.
    for id in ["d-1", "d-2"] {
        world.publish(&Topic::egress(), &[(names::DELIVERY_ID, id)], event("#a", id, json!({}))).await;
        let outcome: Attributes = [(names::DELIVERY_ID, id), (names::STATUS, "FAILED")].into_iter().collect();
        let body = json!({"correlationId": id, "deliveryId": id, "status": "FAILED",
            "error": {"code": "msg_banned", "message": "banned"}});
        let finalize = Message::new(MessageId::new(&format!("{id}/outcome")), outcome, body.to_string());
        world.bus.publish(&Topic::finalizer(), finalize).await.unwrap();
    }
    let attributes: Attributes = [(names::DELIVERY_ID, "d-2")].into_iter().collect();
    let letter = Message::new(MessageId::new("d-2/deadletter"), attributes, json!({"type": "x"}).to_string());
    world.bus.publish(&Topic::dead_letter(), letter).await.unwrap();
    // Long after the dedupe window, so that a second letter would be one more.
    tokio::time::sleep(Duration::from_secs(550)).await;
    let engine = world.running().await;
    world.until(Duration::from_secs(5), async || world.held_and_pending().await == (0, 0)).await;
    let scan = Scan { topics: ScanTopics::One(Topic::dead_letter()), from: ScanFrom::Oldest, follow: false };
    let mut records = world.bus.scan(scan).await.unwrap();
    let mut letters = Vec::new();
    while let Some(record) = records.next().await {
        letters.push(record.unwrap());
    }
    let ids: Vec<_> =
        letters.iter().filter_map(|letter| letter.message.attributes.get(names::DELIVERY_ID)).collect();
    assert_eq!(ids, ["d-2", "d-1"]);
    let owed: serde_json::Value = serde_json::from_slice(&letters[1].message.body).unwrap();
    assert_eq!(owed["payload"]["reason"], "rejected");
    assert_eq!(owed["payload"]["error"]["code"], "msg_banned");
    assert_eq!(owed["payload"]["original"]["channel"], "#a");
    assert_eq!(world.brook.texts("#a"), [""; 0]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_break_of_the_bus_says_nothing_twice_and_loses_no_outcome() {
    let world = World::new();
    world.brook.set_takes(Duration::from_millis(50));
    let engine = world.running().await;
    for round in 0..5 {
        for channel in ["#a", "#b", "#c"] {
            for n in 0..4 {
                world.say(channel, &format!("{channel}{round}{n}")).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(20 + 30 * round)).await;
        world.store.disconnect();
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.store.connect();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.until_finalized(60).await;
    let outcomes = world.one_outcome_each(60).await;
    assert!(outcomes.values().all(|status| status == "SENT"), "{outcomes:?}");
    assert!(times_said(&world).values().all(|times| *times == 1));
    for channel in ["#a", "#b", "#c"] {
        assert!(world.brook.texts(channel).is_sorted());
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn unconfirmed_outcomes_are_bounded_while_the_bus_is_gone() {
    let mut world = World::new();
    world.config.limits.unconfirmed = 5;
    let engine = world.running().await;
    world.brook.set_takes(Duration::from_millis(200));
    for n in 0..40 {
        world.say(&format!("#c{}", n % 2), &format!("{n:04}")).await;
    }
    world.until(Duration::from_secs(1), async || world.held_and_pending().await.0 == 40).await;
    world.store.disconnect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let said = world.brook.said().len();
    // Two conversations: one more each may have been in flight when the bound was reached.
    assert!((5..=7).contains(&said), "{said}");
    world.store.connect();
    world.until_finalized(40).await;
    world.one_outcome_each(40).await;
    assert!(times_said(&world).values().all(|times| *times == 1));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_is_in_hand_and_returns_the_rest() {
    let world = World::new();
    world.brook.set_takes(Duration::from_secs(2));
    let engine = world.running().await;
    for text in numbered(0..10) {
        world.say("#a", &text).await;
    }
    world.until(Duration::from_secs(1), async || world.brook.said().len() == 1).await;
    let began = world.now();
    engine.stop().await;
    assert!(world.now() - began < Duration::from_secs(3));
    assert_eq!(world.finalized().await.len(), 1);
    assert_eq!(world.held_and_pending().await, (0, 9));
    let engine = world.running().await;
    world.until_finalized(10).await;
    world.one_outcome_each(10).await;
    assert_eq!(world.brook.texts("#a"), numbered(0..10));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_up_a_send_without_a_verdict_as_unverified() {
    let world = World::new();
    world.brook.hangs_on("hang");
    let engine = world.running().await;
    world.say("#a", "hang").await;
    world.say("#a", "next").await;
    world.until(Duration::from_secs(1), async || world.brook.said().len() == 1).await;
    let began = world.now();
    engine.stop().await;
    assert!(world.now() - began <= Duration::from_secs(8));
    let engine = world.running().await;
    world.until_finalized(2).await;
    let outcomes = world.one_outcome_each(2).await;
    assert_eq!((outcomes["hang"].as_str(), outcomes["next"].as_str()), ("unverified", "SENT"));
    assert!(times_said(&world).values().all(|times| *times == 1));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_starts_before_the_bus_reads_when_it_is_there() {
    let world = World::new();
    world.say("#a", "x").await;
    world.store.disconnect();
    let mut engine = world.start();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(*engine.state.borrow_and_update(), chatbus_delivery::EngineState::LookingBack);
    world.store.connect();
    world.until_finalized(1).await;
    assert_eq!(world.one_outcome_each(1).await["x"], "SENT");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_record_that_the_bus_lost_is_made_good_by_the_redelivery() {
    let world = World::new();
    world.brook.set_connected(false);
    let engine = world.running().await;
    let same = [(names::DELIVERY_ID, "d-1")];
    world.publish(&Topic::egress(), &same, event("#a", "once", json!({}))).await;
    let lane = Topic::lane_of(&instance());
    world.until(Duration::from_secs(1), async || world.in_lane().await == 1).await;
    // Handed over again while the record is there: it is let go.
    world.publish(&Topic::egress(), &same, event("#a", "once", json!({}))).await;
    world.until(Duration::from_secs(1), async || world.held_and_pending().await == (0, 0)).await;
    // And when it is lost: this copy takes its place.
    let seq = world.records(ScanTopics::One(lane.clone())).await[0].seq;
    world.bus.remove(&lane, seq).await.unwrap();
    world.publish(&Topic::egress(), &same, event("#a", "once", json!({}))).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.brook.set_connected(true);
    world.until_finalized(1).await;
    assert_eq!(world.one_outcome_each(1).await["once"], "SENT");
    assert_eq!(world.brook.texts("#a"), ["once"]);
    engine.stop().await;
}
