//! A repeat within the window is dropped, and only a repeat.

use std::sync::Arc;
use std::time::Duration;

use chatbus_event::Topic;

use super::check::{eventually, join, kept_ids, message, put, put_message, take, topic};
use super::harness::{Harness, HarnessExt, OpenOptions};
use crate::Bus;

/// The second one with an id is dropped, its receipt says so, and no reader sees it.
pub async fn a_repeat_is_dropped_and_said_so<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 8).await;
    put_message(&bus, &topic, message("same", "first body")).await;
    // Without waiting between them, as a window resent after a break.
    let receipts = [
        bus.publish(&topic, message("same", "second body")),
        bus.publish(&topic, message("other", "other")),
        bus.publish(&topic, message("other", "other again")),
    ];
    let mut duplicates = Vec::new();
    for receipt in receipts {
        duplicates.push(super::check::answer(receipt).await.expect("a repeat is no error").duplicate);
    }
    assert_eq!(duplicates, [true, false, true]);
    assert_eq!(kept_ids(&bus, &topic).await, ["same", "other"]);
    assert_eq!(take(&mut member).await, "same");
    assert_eq!(take(&mut member).await, "other");
    bus.close().await;
}

/// The same id on another topic is another message, in another family and in the same.
pub async fn the_same_id_on_another_topic_is_another_message<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topics = [
        Topic::ingress(),
        Topic::enriched(),
        topic("internal.egress.v1.a"),
        topic("internal.egress.v1.b"),
        topic("internal.custom.a"),
        topic("internal.custom.b"),
    ];
    for topic in &topics {
        assert!(!put(&bus, topic, "same").await.duplicate, "on {topic}");
    }
    for topic in &topics {
        assert!(put(&bus, topic, "same").await.duplicate, "on {topic}");
        assert_eq!(kept_ids(&bus, topic).await, ["same"], "on {topic}");
    }
    bus.close().await;
}

/// Once the window is over the id is free again, and not before.
pub async fn after_the_window_a_repeat_is_a_message<H: Harness + ?Sized>(harness: &H) {
    let window = Duration::from_secs(2);
    let bus = harness.open_as(OpenOptions { dedupe_window: window, ..OpenOptions::default() }).await;
    let clock = harness.runtime().clock;
    let topic = Topic::ingress();
    let before = clock.instant();
    put(&bus, &topic, "same").await;
    let repeat = || async {
        let stored = put(&bus, &topic, "same").await;
        (!stored.duplicate).then_some(())
    };
    eventually("the window is over", repeat).await;
    let held = clock.instant() - before;
    assert!(held + Duration::from_millis(50) >= window, "the id was free after {held:?}");
    assert_eq!(kept_ids(&bus, &topic).await, ["same", "same"]);
    bus.close().await;
}

/// Settling and removing forget the message, not its id.
pub async fn a_repeat_of_a_settled_message_is_dropped<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    for topic in [Topic::ingress(), Topic::egress()] {
        let mut member = join(&bus, &topic, "readers", 8).await;
        put(&bus, &topic, "settled").await;
        assert_eq!(take(&mut member).await, "settled");
        assert!(put(&bus, &topic, "settled").await.duplicate, "on {topic}");
        put(&bus, &topic, "next").await;
        assert_eq!(take(&mut member).await, "next", "on {topic}");
    }
    let lane = topic("internal.lane.v1.a");
    let stored = put(&bus, &lane, "removed").await;
    bus.remove(&lane, stored.seq).await.expect("the bus removes");
    assert!(put(&bus, &lane, "removed").await.duplicate);
    assert_eq!(kept_ids(&bus, &lane).await, Vec::<String>::new());
    bus.close().await;
}

/// Ids are remembered over an orderly restart and over a kill.
pub async fn a_repeat_after_a_restart_is_dropped<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let (ingress, egress) = (Topic::ingress(), Topic::egress());
    let mut owner = join(&bus, &egress, "owner", 8).await;
    put(&bus, &ingress, "kept").await;
    put(&bus, &egress, "acked").await;
    assert_eq!(take(&mut owner).await, "acked");
    drop(owner);
    bus.close().await;
    drop(bus);

    let bus = harness.open().await;
    assert_duplicates(&bus, "after a close").await;
    put(&bus, &ingress, "second").await;
    harness.crash(bus).await;

    let bus = harness.open().await;
    assert_duplicates(&bus, "after a kill").await;
    assert!(put(&bus, &ingress, "second").await.duplicate, "after a kill");
    assert_eq!(kept_ids(&bus, &ingress).await, ["kept", "second"]);
    assert_eq!(kept_ids(&bus, &egress).await, Vec::<String>::new());
    bus.close().await;
}

async fn assert_duplicates(bus: &Arc<dyn Bus>, when: &str) {
    assert!(put(bus, &Topic::ingress(), "kept").await.duplicate, "a kept message {when}");
    assert!(put(bus, &Topic::egress(), "acked").await.duplicate, "an acknowledged message {when}");
}
