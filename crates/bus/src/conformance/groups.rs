//! Who gets which message, and in which order.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chatbus_event::Topic;
use futures::future::{Either, select};

use super::check::{
    DEADLINE, QUIET, declare, eventually, id_of, join, kept_ids, next, next_n, nothing_comes, put, put_many,
    settle, take, take_n, topic, within,
};
use super::harness::{Harness, HarnessExt};
use crate::{Lag, Settlement};

/// Each message goes to one member of a group, and every member gets some.
pub async fn members_of_a_group_share_its_messages<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let other = harness.second(&bus).await;
    let topic = Topic::ingress();
    let mut a = join(&bus, &topic, "readers", 1).await;
    let mut b = join(&other, &topic, "readers", 1).await;
    let sent: BTreeSet<String> = put_many(&bus, &topic, "m", 20).await.into_iter().collect();

    // Neither can hold both, so each holds one.
    let (from_a, from_b) = (next(&mut a).await, next(&mut b).await);
    let mut got = vec![id_of(&from_a), id_of(&from_b)];
    settle(from_a, Settlement::Ack).await;
    settle(from_b, Settlement::Ack).await;
    while got.len() < 20 {
        let delivery = match within("a delivery", select(a.next(), b.next())).await {
            Either::Left((delivery, _)) | Either::Right((delivery, _)) => delivery,
        };
        let delivery = delivery.expect("the bus is open");
        got.push(id_of(&delivery));
        settle(delivery, Settlement::Ack).await;
    }
    assert_eq!(got.iter().cloned().collect::<BTreeSet<_>>(), sent, "a message is missing or came twice");
    nothing_comes(&mut a, QUIET, "everything was acknowledged").await;
    nothing_comes(&mut b, Duration::from_millis(50), "everything was acknowledged").await;
    bus.close().await;
    other.close().await;
}

/// Groups do not compete, and one that is slow holds no other back.
pub async fn every_group_gets_every_message<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut auth = join(&bus, &topic, "auth", 64).await;
    let mut persistence = join(&bus, &topic, "persistence", 2).await;
    let sent = put_many(&bus, &topic, "m", 30).await;
    let held = next_n(&mut persistence, 2).await;
    assert_eq!(take_n(&mut auth, 30).await, sent);
    drop(held);
    let got: BTreeSet<String> = take_n(&mut persistence, 30).await.into_iter().collect();
    assert_eq!(got, sent.into_iter().collect());
    bus.close().await;
}

/// A group for each instance gives each instance a copy.
pub async fn each_instance_gets_a_copy_of_its_own<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let other = harness.second(&bus).await;
    let topic = Topic::finalizer();
    let mut one = join(&bus, &topic, "watch-instance-1", 8).await;
    let mut two = join(&other, &topic, "watch-instance-2", 8).await;
    let sent = put_many(&bus, &topic, "m", 10).await;
    assert_eq!(take_n(&mut one, 10).await, sent);
    assert_eq!(take_n(&mut two, 10).await, sent);
    bus.close().await;
    other.close().await;
}

/// A group misses nothing from its declaration on, whether or not a member lives.
pub async fn a_declared_group_gets_what_came_while_no_member_lived<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::enriched();
    declare(&bus, &topic, "router").await;
    put(&bus, &topic, "before-the-first-member").await;
    let mut member = join(&bus, &topic, "router", 8).await;
    assert_eq!(take(&mut member).await, "before-the-first-member");
    drop(member);
    put(&bus, &topic, "while-none-lived").await;
    let mut member = join(&bus, &topic, "router", 8).await;
    assert_eq!(take(&mut member).await, "while-none-lived");
    bus.close().await;
}

/// A group that is new replays nothing, by declaring or by joining.
pub async fn a_new_group_replays_nothing_old<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    put_many(&bus, &topic, "old", 10).await;
    declare(&bus, &topic, "declared").await;
    let mut joined = join(&bus, &topic, "joined", 8).await;
    put(&bus, &topic, "new").await;
    let mut declared = join(&bus, &topic, "declared", 8).await;
    assert_eq!(take(&mut joined).await, "new");
    assert_eq!(take(&mut declared).await, "new");
    bus.close().await;
}

/// Declaring what is there changes nothing: not its place, not what is in flight.
pub async fn declaring_again_changes_nothing<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    declare(&bus, &topic, "readers").await;
    put_many(&bus, &topic, "m", 3).await;
    declare(&bus, &topic, "readers").await;
    let mut member = join(&bus, &topic, "readers", 1).await;
    let held = next(&mut member).await;
    declare(&bus, &topic, "readers").await;
    declare(&harness.second(&bus).await, &topic, "readers").await;
    let first = id_of(&held);
    settle(held, Settlement::Ack).await;
    assert_eq!([first, take(&mut member).await, take(&mut member).await], ["m-0000", "m-0001", "m-0002"]);
    nothing_comes(&mut member, QUIET, "three were published").await;
    bus.close().await;
}

/// What asks to be said waits for its reader, even when its topic was never declared.
pub async fn an_egress_message_waits_for_its_first_reader<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = topic("internal.egress.v1.never-seen");
    put(&bus, &topic, "early").await;
    let mut owner = join(&bus, &topic, "owner", 8).await;
    assert_eq!(take(&mut owner).await, "early");
    bus.close().await;
}

/// One member gets a topic's messages in the order in which they were accepted.
pub async fn a_member_gets_messages_in_order<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 16).await;
    let sent = put_many(&bus, &topic, "m", 500).await;
    assert_eq!(kept_ids(&bus, &topic).await, sent);
    assert_eq!(take_n(&mut member, 500).await, sent);
    bus.close().await;
}

/// Topics of one family do not see each other's messages.
pub async fn topics_of_one_family_are_apart<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let (a, b) = (topic("internal.egress.v1.a"), topic("internal.egress.v1.a-b"));
    let mut of_a = join(&bus, &a, "owner", 8).await;
    let mut of_b = join(&bus, &b, "owner", 8).await;
    put(&bus, &a, "for-a").await;
    put(&bus, &b, "for-b").await;
    put(&bus, &a, "for-a-too").await;
    assert_eq!(take_n(&mut of_a, 2).await, ["for-a", "for-a-too"]);
    assert_eq!(take(&mut of_b).await, "for-b");
    nothing_comes(&mut of_b, QUIET, "one was for it").await;
    bus.close().await;
}

/// A thousand messages go through a window of eight, each once, while they are still being published.
pub async fn a_thousand_messages_through_a_small_window_arrive_once_each<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 8).await;
    let publisher = put_many(&bus, &topic, "m", 1000);
    let (sent, got) = futures::join!(publisher, take_n(&mut member, 1000));
    assert_eq!(got.iter().collect::<BTreeSet<_>>().len(), 1000, "one came twice");
    assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), sent.into_iter().collect());
    nothing_comes(&mut member, QUIET, "all were acknowledged").await;
    bus.close().await;
}

/// Giving up waiting for a delivery loses none.
pub async fn waiting_for_a_delivery_can_be_given_up<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 8).await;
    let given_up = AtomicU32::new(0);
    let publisher = async {
        let mut sent = Vec::new();
        for i in 0..20 {
            let waits = || async { (given_up.load(Ordering::SeqCst) > i).then_some(()) };
            eventually("waits are given up", waits).await;
            sent.extend(put_many(&bus, &topic, &format!("batch-{i:02}"), 10).await);
        }
        sent
    };
    let reader = async {
        let mut got = Vec::new();
        let all = within("all of them", async {
            while got.len() < 200 {
                // Sometimes at once, sometimes after a while: a wait can be anywhere when it ends.
                let patience = Duration::from_micros(u64::from(given_up.load(Ordering::SeqCst) % 5) * 300);
                match tokio::time::timeout(patience, member.next()).await {
                    Ok(delivery) => {
                        let delivery = delivery.expect("the bus is open");
                        assert_eq!(delivery.deliveries(), 1, "it had to be delivered again");
                        got.push(id_of(&delivery));
                        settle(delivery, Settlement::Ack).await;
                    }
                    Err(_) => {
                        given_up.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        });
        all.await;
        got
    };
    let (sent, got) = futures::join!(publisher, reader);
    assert_eq!(got, sent);
    bus.close().await;
}

/// A member that holds its share gets no more until it settles; publishing goes on meanwhile.
pub async fn a_member_holds_no_more_than_it_asked_for<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 3).await;
    let mut held = next_n_of_fifty(&bus, &topic, &mut member).await;
    nothing_comes(&mut member, QUIET, "three are held").await;
    put_many(&bus, &topic, "more", 10).await;
    settle(held.remove(0), Settlement::Ack).await;
    held.push(next(&mut member).await);
    nothing_comes(&mut member, QUIET, "three are held again").await;
    assert_eq!(held.iter().map(id_of).collect::<Vec<_>>(), ["m-0001", "m-0002", "m-0003"]);
    bus.close().await;
}

async fn next_n_of_fifty(
    bus: &std::sync::Arc<dyn crate::Bus>,
    topic: &Topic,
    member: &mut Box<dyn crate::Consumer>,
) -> Vec<crate::Delivery> {
    put_many(bus, topic, "m", 50).await;
    next_n(member, 3).await
}

/// A member that leaves gives back all it held, fetched ahead or in hand.
pub async fn a_member_that_leaves_gives_back_what_it_held<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut leaver = join(&bus, &topic, "readers", 4).await;
    let sent: BTreeSet<String> = put_many(&bus, &topic, "m", 6).await.into_iter().collect();
    let in_hand = next(&mut leaver).await;
    drop(leaver);
    drop(in_hand);
    let mut stayer = join(&bus, &topic, "readers", 8).await;
    assert_eq!(take_n(&mut stayer, 6).await.into_iter().collect::<BTreeSet<_>>(), sent);
    nothing_comes(&mut stayer, QUIET, "all were acknowledged").await;
    bus.close().await;
}

/// Lag counts what is not settled, says what is in flight and how old the oldest is, for each group.
pub async fn lag_counts_what_is_not_settled<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    declare(&bus, &topic, "idle").await;
    let mut member = join(&bus, &topic, "busy", 2).await;
    put_many(&bus, &topic, "m", 5).await;
    let held = next_n(&mut member, 2).await;
    let of = |name: &'static str, what: &'static str, wanted: fn(&Lag) -> bool| {
        let bus = &bus;
        async move {
            eventually(what, || async move {
                let lags = bus.lag().await.expect("the bus tells its lag");
                lags.into_iter().find(|lag| lag.group.as_str() == name && wanted(lag))
            })
            .await
        }
    };
    let lag = of("busy", "two of five are in flight", |l| (l.pending, l.in_flight) == (5, 2)).await;
    assert_eq!((&lag.topic, lag.family, lag.lost), (&topic, topic.family(), 0));
    assert!(lag.oldest.is_some_and(|age| age < DEADLINE * 2), "{lag:?}");
    let lag = of("idle", "nothing of five is in flight", |l| (l.pending, l.in_flight) == (5, 0)).await;
    assert!(lag.oldest.is_some_and(|age| age < DEADLINE * 2), "{lag:?}");
    for delivery in held {
        settle(delivery, Settlement::Ack).await;
    }
    of("busy", "three of five wait", |l| l.pending == 3).await;
    take_n(&mut member, 3).await;
    let lag = of("busy", "none waits", |l| (l.pending, l.in_flight) == (0, 0)).await;
    assert_eq!(lag.oldest, None);
    bus.close().await;
}
