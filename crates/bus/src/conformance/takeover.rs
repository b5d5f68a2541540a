//! Topics whose reader is gone, and groups that are deleted under a member that may live.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chatbus_event::{Family, Topic};

use super::check::{
    QUIET, declare, eventually, group, id_of, join, kept_ids, next, next_n, nothing_comes, put, put_many,
    settle, take, take_n, topic, within,
};
use super::harness::{Harness, HarnessExt};
use crate::{Bus, Consumer, Settlement, Subscription, Waiting, limits};

/// An egress topic and a lane: drivers may keep them in different ways.
fn queues() -> [Topic; 2] {
    [topic("internal.egress.v1.dead"), topic("internal.lane.v1.dead")]
}

/// What waits in a topic's family on that topic.
async fn waiting(bus: &Arc<dyn Bus>, topic: &Topic) -> Option<Waiting> {
    let listed = within("waiting", bus.waiting(topic.family())).await.expect("the bus lists what waits");
    assert!(listed.is_sorted_by(|a, b| a.topic < b.topic), "{listed:?}");
    listed.into_iter().find(|waiting| waiting.topic == *topic)
}

fn waits(topic: &Topic, messages: u64, groups: &[&str]) -> Option<Waiting> {
    let groups = groups.iter().map(|name| group(name)).collect();
    Some(Waiting { topic: topic.clone(), messages, groups })
}

async fn delete(bus: &Arc<dyn Bus>, topic: &Topic, name: &str) {
    within("delete_group", bus.delete_group(topic, &group(name))).await.expect("the bus deletes a group");
}

/// Deletes the owner's group and joins the takeover's, anew where a living owner was faster.
async fn take_over(bus: &Arc<dyn Bus>, topic: &Topic, max: usize) -> Box<dyn Consumer> {
    eventually("the takeover has the topic", || async {
        delete(bus, topic, "owner").await;
        let takeover = Subscription::new(topic.clone(), group("takeover")).max_in_flight(max);
        bus.subscribe(takeover).await.ok()
    })
    .await
}

/// Whoever looks finds each topic that holds messages, also one that nobody here or elsewhere ever
/// read or declared; one that only has a group; and none that is empty.
pub async fn topics_that_hold_messages_are_listed_even_when_nobody_ever_subscribed<H: Harness + ?Sized>(
    harness: &H,
) {
    let bus = harness.open().await;
    let other = harness.second(&bus).await;
    for family in Family::ALL {
        let listed = within("waiting", other.waiting(family)).await.expect("the bus lists what waits");
        assert_eq!(listed, [], "{family:?} on an empty store");
    }
    put(&bus, &Topic::ingress(), "of-a-log").await;
    declare(&bus, &Topic::ingress(), "readers").await;
    for family in Family::ALL.into_iter().filter(|f| !f.is_egress() && *f != Family::Lane) {
        let listed = within("waiting", other.waiting(family)).await.expect("the bus lists what waits");
        assert_eq!(listed, [], "{family:?} is no queue");
    }
    for base in ["internal.egress.v1", "internal.api.egress.v1", "internal.lane.v1"] {
        let [never_seen, idle, read] =
            ["never-seen", "idle", "read"].map(|id| topic(&format!("{base}.{id}")));
        put_many(&bus, &never_seen, "m", 3).await;
        declare(&bus, &idle, "owner").await;
        let mut owner = join(&bus, &read, "owner", 8).await;
        put_many(&bus, &read, "m", 2).await;
        let held = next(&mut owner).await;
        assert_eq!(waiting(&other, &never_seen).await, waits(&never_seen, 3, &[]));
        assert_eq!(waiting(&other, &idle).await, waits(&idle, 0, &["owner"]));
        assert_eq!(waiting(&other, &read).await, waits(&read, 2, &["owner"]));
        let listed = other.waiting(read.family()).await.expect("the bus lists what waits");
        assert_eq!(listed.len(), 3, "{listed:?}");
        settle(held, Settlement::Ack).await;
        assert_eq!(waiting(&other, &read).await, waits(&read, 1, &["owner"]), "a settled message is counted");
        take(&mut owner).await;
        drop(owner);
        delete(&other, &read, "owner").await;
        assert_eq!(waiting(&bus, &read).await, None, "nothing is left of it");
    }
    put(&bus, &Topic::egress(), "for-anyone").await;
    assert_eq!(waiting(&other, &Topic::egress()).await, waits(&Topic::egress(), 1, &[]));
    bus.close().await;
    other.close().await;
}

/// What a deleted group's member held, what waited for its retry and what nobody had read comes to the
/// next group, each once; what was settled does not.
pub async fn a_deleted_groups_held_messages_come_to_the_next_group<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let other = harness.second(&bus).await;
    for topic in queues() {
        let mut owner = join(&bus, &topic, "owner", 2).await;
        let mut left: BTreeSet<String> = put_many(&bus, &topic, "m", 6).await.into_iter().collect();
        assert!(left.remove(&take(&mut owner).await));
        settle(next(&mut owner).await, Settlement::Retry { after: Duration::from_secs(3600) }).await;
        let held = next_n(&mut owner, 2).await;
        let mut takeover = take_over(&other, &topic, 8).await;
        let got: BTreeSet<String> = take_n(&mut takeover, left.len()).await.into_iter().collect();
        assert_eq!(got, left, "on {topic}");
        drop(held);
        let quiet = harness.capabilities().ack_wait.mul_f64(1.5).max(QUIET);
        nothing_comes(&mut takeover, quiet, "all of it was settled").await;
        assert_eq!(kept_ids(&other, &topic).await, Vec::<String>::new());
    }
    bus.close().await;
    other.close().await;
}

/// Nothing is left of a deleted group after a restart either: neither the group, nor what it knew of
/// its messages.
pub async fn a_deleted_group_stays_deleted_over_a_restart<H: Harness + ?Sized>(harness: &H) {
    let mut bus = harness.open().await;
    for topic in queues() {
        let mut owner = join(&bus, &topic, "owner", 2).await;
        put_many(&bus, &topic, "m", 3).await;
        settle(next(&mut owner).await, Settlement::Retry { after: Duration::from_secs(3600) }).await;
        let held = next(&mut owner).await;
        delete(&bus, &topic, "owner").await;
        drop((held, owner));
        bus.close().await;
        drop(bus);
        bus = harness.open().await;
        assert_eq!(waiting(&bus, &topic).await, waits(&topic, 3, &[]));
        let mut takeover = join(&bus, &topic, "takeover", 3).await;
        for delivery in next_n(&mut takeover, 3).await {
            assert_eq!(delivery.failures(), 0, "of {}: the counts are the deleted group's", id_of(&delivery));
            settle(delivery, Settlement::Ack).await;
        }
        assert_eq!(kept_ids(&bus, &topic).await, Vec::<String>::new());
    }
    bus.close().await;
}

/// A member that was frozen while its group was deleted wakes up: whatever it does with what it still
/// holds, and however long it waits for more, the new group's messages stay in the new group's hands.
pub async fn a_woken_member_of_a_deleted_group_disturbs_nothing<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let other = harness.second(&bus).await;
    for topic in queues() {
        let mut owner = join(&bus, &topic, "owner", 4).await;
        put_many(&bus, &topic, "m", 4).await;
        let mut frozen = next_n(&mut owner, 4).await.into_iter();
        let mut takeover = take_over(&other, &topic, 8).await;
        let taken = next_n(&mut takeover, 4).await;

        let settlements = [Settlement::Ack, Settlement::Retry { after: Duration::ZERO }, Settlement::Return];
        for (delivery, settlement) in frozen.by_ref().zip(settlements) {
            // It may be told that it came too late, or not: it does not matter to anyone.
            drop(within("a settlement", delivery.settle(settlement)).await);
        }
        drop(frozen);
        put(&other, &topic, "later").await;
        let later = next(&mut takeover).await;
        assert_eq!(id_of(&later), "later");
        let long = harness.capabilities().ack_wait.mul_f64(1.5) + limits::RECLAIM_AFTER + QUIET;
        nothing_comes(&mut owner, long, "another group has the topic").await;
        nothing_comes(&mut takeover, QUIET, "it has them all").await;
        assert_eq!(waiting(&other, &topic).await, waits(&topic, 5, &["takeover"]));
        for delivery in taken.into_iter().chain([later]) {
            settle(delivery, Settlement::Ack).await;
        }
        assert_eq!(kept_ids(&other, &topic).await, Vec::<String>::new());
    }
    bus.close().await;
    other.close().await;
}

/// Neither a topic that is not there nor a group that is not, once or twice; and no other group minds.
pub async fn deleting_what_is_not_there_is_no_error<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    for topic in queues().into_iter().chain([Topic::ingress(), topic("internal.custom.v1")]) {
        delete(&bus, &topic, "nobody").await;
        let mut owner = join(&bus, &topic, "owner", 1).await;
        put(&bus, &topic, "m").await;
        let held = next(&mut owner).await;
        delete(&bus, &topic, "nobody").await;
        delete(&bus, &topic, "nobody").await;
        settle(held, Settlement::Ack).await;
        nothing_comes(&mut owner, QUIET, "it was settled").await;
        drop(owner);
        delete(&bus, &topic, "owner").await;
        delete(&bus, &topic, "owner").await;
    }
    bus.close().await;
}

/// When the takeover is over, the group can be there again, and a member that lived through it all goes
/// on with what comes then.
pub async fn a_member_that_lived_on_gets_what_comes_after_the_takeover<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let other = harness.second(&bus).await;
    for topic in queues() {
        let mut owner = join(&bus, &topic, "owner", 2).await;
        put_many(&bus, &topic, "m", 2).await;
        let held = next_n(&mut owner, 2).await;
        let mut takeover = take_over(&other, &topic, 1).await;
        assert_eq!(take(&mut takeover).await, "m-0000");
        let returned = next(&mut takeover).await;
        nothing_comes(&mut owner, QUIET, "another group has the topic").await;
        drop((takeover, returned, held));
        delete(&other, &topic, "takeover").await;
        declare(&other, &topic, "owner").await;
        put(&other, &topic, "then").await;
        let mut got = take_n(&mut owner, 2).await;
        got.sort();
        assert_eq!(got, ["m-0001", "then"], "on {topic}");
        assert_eq!(kept_ids(&other, &topic).await, Vec::<String>::new());
    }
    bus.close().await;
    other.close().await;
}

/// A group that was deleted and is nobody's is its living member's again after a while.
pub async fn a_living_member_takes_a_free_topic_back<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let other = harness.second(&bus).await;
    for topic in queues() {
        let mut owner = join(&bus, &topic, "owner", 2).await;
        put(&bus, &topic, "held").await;
        let held = next(&mut owner).await;
        delete(&other, &topic, "owner").await;
        put(&other, &topic, "later").await;
        drop(held);
        let mut got = take_n(&mut owner, 2).await;
        got.sort();
        assert_eq!(got, ["held", "later"], "on {topic}");
        assert_eq!(waiting(&other, &topic).await, waits(&topic, 0, &["owner"]));
    }
    bus.close().await;
    other.close().await;
}
