//! Processes that die, and buses that close.

use std::collections::BTreeSet;

use chatbus_event::Topic;

use super::check::{
    QUIET, answer, declare, eventually, id_of, join, kept_ids, message, next, next_n, nothing_comes, put,
    put_many, settle, take, within,
};
use super::harness::{Harness, HarnessExt};
use crate::{BusErrorKind, Scan, ScanFrom, ScanTopics, Settlement, Subscription};

/// What a member held when its process was killed comes again, the same to the byte, and is counted.
pub async fn a_kill_redelivers_the_same_message<H: Harness + ?Sized>(harness: &H) {
    let topic = Topic::ingress();
    let mut bus = harness.open().await;
    let mut member = join(&bus, &topic, "readers", 8).await;
    let sent: BTreeSet<String> = put_many(&bus, &topic, "m", 3).await.into_iter().collect();
    let mut deliveries = 0;
    for round in 1..=2 {
        let held = next_n(&mut member, 3).await;
        assert_eq!(held.iter().map(id_of).collect::<BTreeSet<_>>(), sent, "in round {round}");
        for delivery in &held {
            assert_eq!(delivery.record().message.body, delivery.record().message.id.as_str());
            assert_eq!(delivery.failures(), 0, "a kill is no failure of the handler");
        }
        let counted = held.iter().map(crate::Delivery::deliveries).min().unwrap_or_default();
        assert!(counted > deliveries, "delivery {counted} after delivery {deliveries}");
        deliveries = counted;
        harness.crash(bus).await;
        drop((held, member));
        bus = harness.open().await;
        member = join(&bus, &topic, "readers", 8).await;
    }
    let mut left = sent;
    while let Some(_more) = left.first() {
        let delivery = next(&mut member).await;
        assert!(delivery.deliveries() > deliveries);
        assert!(left.remove(&id_of(&delivery)), "{} came twice", id_of(&delivery));
        settle(delivery, Settlement::Ack).await;
    }
    bus.close().await;
}

/// What was acknowledged before the kill does not come again; what was published is still there.
pub async fn a_kill_loses_nothing_that_was_confirmed<H: Harness + ?Sized>(harness: &H) {
    let topic = Topic::ingress();
    let bus = harness.open().await;
    let mut member = join(&bus, &topic, "readers", 1).await;
    let sent = put_many(&bus, &topic, "m", 5).await;
    assert_eq!(take(&mut member).await, "m-0000");
    assert_eq!(take(&mut member).await, "m-0001");
    put(&bus, &Topic::enriched(), "unread").await;
    harness.crash(bus).await;
    drop(member);

    let bus = harness.open().await;
    assert_eq!(kept_ids(&bus, &topic).await, sent);
    assert_eq!(kept_ids(&bus, &Topic::enriched()).await, ["unread"]);
    let mut member = join(&bus, &topic, "readers", 8).await;
    let mut got = BTreeSet::new();
    while got.len() < 3 {
        assert!(got.insert(take(&mut member).await), "one came twice");
    }
    assert_eq!(got, sent.into_iter().skip(2).collect());
    let quiet = harness.capabilities().ack_wait.mul_f64(1.5).max(QUIET);
    nothing_comes(&mut member, quiet, "all are acknowledged").await;
    bus.close().await;
}

/// A group keeps its place over an orderly restart: it replays nothing and misses nothing.
pub async fn a_group_keeps_its_place_over_a_restart<H: Harness + ?Sized>(harness: &H) {
    let topic = Topic::ingress();
    let bus = harness.open().await;
    put(&bus, &topic, "before-the-group").await;
    declare(&bus, &topic, "idle").await;
    let mut member = join(&bus, &topic, "readers", 8).await;
    put(&bus, &topic, "first").await;
    assert_eq!(take(&mut member).await, "first");
    put(&bus, &topic, "second").await;
    let returned = next(&mut member).await;
    settle(returned, Settlement::Return).await;
    drop(member);
    bus.close().await;
    drop(bus);

    let bus = harness.open().await;
    let mut member = join(&bus, &topic, "readers", 8).await;
    assert_eq!(take(&mut member).await, "second");
    let mut idle = join(&bus, &topic, "idle", 8).await;
    assert_eq!(take(&mut idle).await, "first");
    assert_eq!(take(&mut idle).await, "second");
    nothing_comes(&mut member, QUIET, "all are acknowledged").await;
    bus.close().await;
}

/// A retry that waits for its time survives a kill.
pub async fn a_waiting_retry_survives_a_kill<H: Harness + ?Sized>(harness: &H) {
    let topic = Topic::ingress();
    let bus = harness.open().await;
    let mut member = join(&bus, &topic, "readers", 8).await;
    put(&bus, &topic, "m").await;
    let delivery = next(&mut member).await;
    settle(delivery, Settlement::Retry { after: std::time::Duration::from_millis(500) }).await;
    harness.crash(bus).await;
    drop(member);
    let bus = harness.open().await;
    let mut member = join(&bus, &topic, "readers", 8).await;
    let again = next(&mut member).await;
    assert_eq!(id_of(&again), "m");
    assert!(again.deliveries() >= 2);
    settle(again, Settlement::Ack).await;
    nothing_comes(&mut member, QUIET, "it is acknowledged").await;
    bus.close().await;
}

/// After closing, publishing and joining fail with `Closed`, members and followers end, closing again is no error.
pub async fn a_closed_bus_says_so<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 8).await;
    let scan = Scan { topics: ScanTopics::All, from: ScanFrom::New, follow: true };
    let mut follower = bus.scan(scan).await.expect("the bus scans");
    assert!(bus.status().borrow().connected);
    let accepted = bus.publish(&topic, message("last", "last"));
    answer(accepted).await.expect("it is stored");
    assert_eq!(take(&mut member).await, "last");
    within("close", bus.close()).await;
    within("close again", bus.close()).await;

    let refused = answer(bus.publish(&topic, message("late", "late"))).await.expect_err("the bus is closed");
    assert_eq!(refused.kind(), BusErrorKind::Closed, "{refused}");
    assert!(within("the member ends", member.next()).await.is_none());
    let end = within("the follower ends", async { while let Some(Ok(_)) = follower.next().await {} });
    end.await;
    let refused = bus.subscribe(Subscription::new(topic.clone(), super::check::group("readers"))).await;
    assert_eq!(refused.err().map(|error| error.kind()), Some(BusErrorKind::Closed));
    let mut status = bus.status();
    let seen = within("the status says it", status.wait_for(|status| !status.connected)).await;
    assert!(seen.is_ok_and(|status| status.reason.is_some()), "the status gives no reason");
    drop((bus, member, follower));

    let bus = harness.open().await;
    eventually("only what was accepted is kept", || async {
        (kept_ids(&bus, &topic).await == ["last"]).then_some(())
    })
    .await;
    bus.close().await;
}

/// What was accepted before closing began is stored or has failed: no receipt is left without an answer.
pub async fn closing_answers_every_receipt<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let receipts: Vec<_> = (0..200)
        .map(|i| (format!("m-{i:04}"), bus.publish(&topic, message(&format!("m-{i:04}"), "x"))))
        .collect();
    within("close", bus.close()).await;
    let mut stored = Vec::new();
    for (id, receipt) in receipts {
        match answer(receipt).await {
            Ok(_) => stored.push(id),
            Err(error) => assert_eq!(error.kind(), BusErrorKind::Closed, "{error}"),
        }
    }
    drop(bus);
    let bus = harness.open().await;
    let kept = kept_ids(&bus, &topic).await;
    assert!(stored.iter().all(|id| kept.contains(id)), "a receipt said stored and it is not there");
    assert!(kept.is_sorted() && kept.iter().collect::<BTreeSet<_>>().len() == kept.len());
    assert_eq!(stored.len(), 200, "closing finishes what was accepted");
    bus.close().await;
}
