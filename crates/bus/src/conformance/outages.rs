//! A server that goes away and comes back.

use std::sync::Arc;

use chatbus_event::Topic;

use super::check::{answer, eventually, join, kept_ids, message, put, put_many, take, take_n, within};
use super::harness::{HarnessExt, Outage};
use crate::{Bus, BusErrorKind};

/// While the bus is out of reach publishes fail and the status says so; resending from the oldest
/// failure with the same ids stores each once and in order.
pub async fn publishes_fail_in_an_outage_and_a_resend_stores_each_once<H: Outage + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut sent = put_many(&bus, &topic, "a", 10).await;
    let epoch = bus.status().borrow().epoch;
    harness.outage().await;
    let ids: Vec<String> = (0..50).map(|i| format!("b-{i:04}")).collect();
    let receipts: Vec<_> = ids.iter().map(|id| bus.publish(&topic, message(id, id.clone()))).collect();
    let mut first_failed = None;
    for (i, receipt) in receipts.into_iter().enumerate() {
        if let Err(error) = answer(receipt).await {
            assert!(matches!(error.kind(), BusErrorKind::Closed | BusErrorKind::Timeout), "{error}");
            first_failed.get_or_insert(i);
        }
    }
    assert_eq!(first_failed, Some(0), "nothing can be stored without a store");
    wait_connected(&bus, false).await;
    assert!(bus.status().borrow().reason.is_some(), "the status gives no reason");
    let refused = answer(bus.publish(&topic, message("c", "c"))).await.expect_err("there is no store");
    assert_eq!(refused.kind(), BusErrorKind::Closed, "{refused}");

    harness.restore().await;
    wait_connected(&bus, true).await;
    assert!(bus.status().borrow().epoch > epoch, "a new connection is a new epoch");
    for id in &ids {
        eventually("a resend is stored", || async {
            answer(bus.publish(&topic, message(id, id.clone()))).await.ok()
        })
        .await;
    }
    sent.extend(ids);
    assert_eq!(kept_ids(&bus, &topic).await, sent, "not each once and in order");
    bus.close().await;
}

/// A member and a group outlive an outage by themselves.
pub async fn a_member_outlives_an_outage<H: Outage + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 8).await;
    let sent = put_many(&bus, &topic, "a", 5).await;
    assert_eq!(take_n(&mut member, 5).await, sent);
    for round in 0..2 {
        harness.outage().await;
        wait_connected(&bus, false).await;
        harness.restore().await;
        wait_connected(&bus, true).await;
        let id = format!("round-{round}");
        eventually("publishing works again", || async {
            answer(bus.publish(&topic, message(&id, id.clone()))).await.ok()
        })
        .await;
        // A server that was killed may deliver an acknowledged message once more.
        let member = &mut member;
        within("the new message", async { while take(member).await != id {} }).await;
    }
    put(&bus, &topic, "last").await;
    assert_eq!(take(&mut member).await, "last");
    bus.close().await;
}

async fn wait_connected(bus: &Arc<dyn Bus>, connected: bool) {
    let mut status = bus.status();
    let seen = within("a change of status", status.wait_for(|s| s.connected == connected)).await;
    assert!(seen.is_ok(), "the bus stopped telling its status");
}
