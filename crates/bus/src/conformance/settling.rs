//! What becomes of a delivery: settled, retried, returned, dropped, held long.

use std::time::Duration;

use chatbus_event::Topic;

use super::check::{
    QUIET, eventually, id_of, join, next, nothing_comes, put, put_many, settle, take, take_n, within,
};
use super::harness::{Harness, HarnessExt};
use crate::Settlement;

/// Clocks of a server and of this process may differ by their rounding.
const ROUNDING: Duration = Duration::from_millis(10);

/// A retried message comes again no sooner than it was told, and others pass it.
pub async fn a_retry_comes_after_its_delay_and_others_pass_meanwhile<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let clock = harness.runtime().clock;
    let topic = Topic::ingress();
    // A window of one: a message that waits for its time must not fill it.
    let mut member = join(&bus, &topic, "readers", 1).await;
    put_many(&bus, &topic, "m", 4).await;
    let after = Duration::from_millis(1500);
    let first = next(&mut member).await;
    assert_eq!((first.failures(), first.deliveries()), (0, 1));
    let retried_at = clock.instant();
    settle(first, Settlement::Retry { after }).await;
    assert_eq!(take_n(&mut member, 3).await, ["m-0001", "m-0002", "m-0003"]);
    assert!(clock.instant() - retried_at < after, "the others did not pass");
    let again = next(&mut member).await;
    let waited = clock.instant() - retried_at;
    assert_eq!(id_of(&again), "m-0000");
    assert!(waited + ROUNDING >= after, "it came after {waited:?}");
    assert_eq!((again.failures(), again.deliveries()), (1, 2));
    settle(again, Settlement::Ack).await;
    nothing_comes(&mut member, QUIET, "all are settled").await;
    bus.close().await;
}

/// However many messages wait for their time, the others still come.
pub async fn many_waiting_retries_stall_nothing<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 4).await;
    put_many(&bus, &topic, "later", 100).await;
    for _ in 0..100 {
        let delivery = next(&mut member).await;
        assert!(id_of(&delivery).starts_with("later"));
        settle(delivery, Settlement::Retry { after: Duration::from_secs(3600) }).await;
    }
    let sent = put_many(&bus, &topic, "now", 20).await;
    assert_eq!(take_n(&mut member, 20).await, sent);
    bus.close().await;
}

/// Each retry counts one failure; giving back counts none.
pub async fn a_retry_counts_a_failure_and_a_return_none<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 1).await;
    put(&bus, &topic, "m").await;
    for failures in 0..3 {
        let delivery = next(&mut member).await;
        assert_eq!((id_of(&delivery).as_str(), delivery.failures()), ("m", failures));
        settle(delivery, Settlement::Return).await;
        let returned = next(&mut member).await;
        assert_eq!(returned.failures(), failures, "giving back counted as a failure");
        settle(returned, Settlement::Retry { after: Duration::ZERO }).await;
    }
    let last = next(&mut member).await;
    assert_eq!(last.failures(), 3);
    assert!(last.deliveries() >= 4, "{} deliveries after three failures", last.deliveries());
    settle(last, Settlement::Ack).await;
    bus.close().await;
}

/// What is given back goes to whoever is there, also after its member left.
pub async fn a_returned_delivery_comes_to_another_member<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let other = harness.second(&bus).await;
    let topic = Topic::ingress();
    let mut first = join(&bus, &topic, "readers", 1).await;
    put(&bus, &topic, "m").await;
    let delivery = next(&mut first).await;
    drop(first);
    settle(delivery, Settlement::Return).await;
    let mut second = join(&other, &topic, "readers", 1).await;
    assert_eq!(take(&mut second).await, "m");
    nothing_comes(&mut second, QUIET, "it was acknowledged").await;
    bus.close().await;
    other.close().await;
}

/// A delivery that is dropped unsettled comes back without waiting for anything to time out.
pub async fn a_dropped_delivery_comes_back<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 1).await;
    put_many(&bus, &topic, "m", 2).await;
    let dropped = next(&mut member).await;
    let body = dropped.record().message.body.clone();
    drop(dropped);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let delivery = next(&mut member).await;
        assert_eq!(delivery.failures(), 0, "dropping counted as a failure");
        if id_of(&delivery) == "m-0000" {
            assert_eq!(delivery.record().message.body, body);
        }
        ids.push(id_of(&delivery));
        settle(delivery, Settlement::Ack).await;
    }
    ids.sort();
    assert_eq!(ids, ["m-0000", "m-0001"]);
    bus.close().await;
}

/// A handler may take as long as it needs: what it holds is not given to another meanwhile.
pub async fn a_delivery_held_longer_than_the_ack_wait_is_not_redelivered<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let other = harness.second(&bus).await;
    let topic = Topic::ingress();
    let mut slow = join(&bus, &topic, "readers", 1).await;
    put(&bus, &topic, "slow").await;
    let held = next(&mut slow).await;
    let mut idle = join(&other, &topic, "readers", 1).await;
    let long = harness.capabilities().ack_wait.mul_f64(2.5).max(Duration::from_secs(1));
    nothing_comes(&mut idle, long, "the handler still works on it").await;
    settle(held, Settlement::Ack).await;
    nothing_comes(&mut idle, QUIET, "it was acknowledged").await;
    put(&bus, &topic, "next").await;
    let either = futures::future::select(slow.next(), idle.next());
    let next_one = within("a delivery", either).await.factor_first().0;
    assert_eq!(next_one.map(|d| id_of(&d)).as_deref(), Some("next"));
    bus.close().await;
    other.close().await;
}

/// Acknowledged without waiting for the bus's word, a message is as settled as any other.
pub async fn what_is_acknowledged_unconfirmed_does_not_come_again<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    for topic in [Topic::egress(), Topic::ingress()] {
        let mut member = join(&bus, &topic, "readers", 2).await;
        let sent = put_many(&bus, &topic, "m", 6).await;
        for id in &sent {
            let delivery = next(&mut member).await;
            assert_eq!(id_of(&delivery), *id);
            delivery.ack_unconfirmed();
        }
        eventually("nothing is unsettled", || async {
            let lag = bus.lag().await.ok()?;
            lag.iter().all(|lag| lag.topic != topic || (lag.pending, lag.in_flight) == (0, 0)).then_some(())
        })
        .await;
        drop(member);
        let mut other = join(&bus, &topic, "readers", 2).await;
        nothing_comes(&mut other, QUIET, "all are settled").await;
    }
    bus.close().await;
}
